"""What a client gets is exactly what graphql-core gives, however it got written."""

import asyncio
from dataclasses import fields
from typing import Any, cast

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.asgi import asgi_socket
from support.happenings import (
    EVERYTHING,
    WRONG,
    Item,
    Noted,
    Operation,
    Source,
    Upset,
    executed,
    happenings,
    make_schema,
    noted,
    operations,
)
from support.streams import STREAMS, framed, whole_stream

from graphql_api.context import Engines
from graphql_api.transport.delivery.json import to_json
from graphql_api.transport.graphql import GraphQLApp

_SOURCE = Source()
_STOCK = make_schema(_SOURCE, executor=None, extensions=[])
_APP = GraphQLApp(make_schema(_SOURCE), cast("Engines", None), graphiql=None)


async def _delivered(app: GraphQLApp, operation: Operation, subscribers: int) -> list[list[dict[str, Any]]]:
    async with asgi_socket(app) as socket:
        heard = []
        for number in range(subscribers):
            await socket.subscribe(str(number), operation.query, operation.variables)
            heard.append(await socket.hear_until_over(str(number)))
        return heard


def _check(operation: Operation, events: list[object], *, subscribers: int) -> None:
    _SOURCE.events = events
    expected = [orjson.loads(each) for each in asyncio.run(executed(_STOCK, operation.query, operation.variables))]
    ends_in_error = any(isinstance(event, Exception) for event in events)
    for heard in asyncio.run(_delivered(_APP, operation, subscribers)):
        payloads = [message["payload"] for message in heard if message["type"] == "next"]
        last = heard[-1]
        # As text, since fields have to come in the order in which they were selected.
        assert orjson.dumps(payloads) == orjson.dumps(expected[: len(payloads)])
        if ends_in_error:
            assert last == {"id": last["id"], "type": "error", "payload": expected[-1]["errors"]}
            assert len(payloads) == len(expected) - 1
        else:
            assert last == {"id": last["id"], "type": "complete"}
            assert len(payloads) == len(expected)


async def _streamed(accept: str, operation: Operation, subscribers: int) -> list[bytes]:
    streams = [await whole_stream(_APP, accept, operation.query, **operation.variables) for _ in range(subscribers)]
    return [b"".join(chunks) for chunks in streams]


def _check_stream(accept: str, operation: Operation, events: list[object], *, subscribers: int) -> None:
    _SOURCE.events = events
    expected = asyncio.run(executed(_STOCK, operation.query, operation.variables))
    if any(isinstance(event, Exception) for event in events):
        # What the source raised belongs to no field, so there are no data.
        expected[-1] = to_json({"errors": orjson.loads(expected[-1])["errors"]})
    assert asyncio.run(_streamed(accept, operation, subscribers)) == [framed(accept, *expected)] * subscribers


class TestDelivery:
    @settings(deadline=None)
    @given(operation=operations(), events=st.lists(happenings(), min_size=1, max_size=3))
    def test_every_subscriber_gets_what_graphql_core_gives(self, operation: Operation, events: list[object]) -> None:
        _check(operation, events, subscribers=2)

    @pytest.mark.parametrize("field", [field.name for field in fields(Noted) if field.init])
    def test_a_wrong_value_gives_the_same_error(self, field: str) -> None:
        # What JSON can't say breaks the operation in either way; see TestBrokenEvent.
        sayable = [wrong for wrong in WRONG if field != "extra" or not isinstance(wrong, bytes | set)]
        _check(Operation(EVERYTHING, {}), [noted(**{field: wrong}) for wrong in sayable], subscribers=1)

    @pytest.mark.parametrize("accept", STREAMS)
    @settings(deadline=None)
    @given(operation=operations(), events=st.lists(happenings(), min_size=1, max_size=3))
    def test_every_stream_over_http_is_what_graphql_core_gives(
        self, accept: str, operation: Operation, events: list[object]
    ) -> None:
        _check_stream(accept, operation, events, subscribers=2)

    @pytest.mark.parametrize("accept", STREAMS)
    def test_wrong_values_give_the_same_errors_over_http(self, accept: str) -> None:
        events = [noted(**{field.name: wrong}) for field in fields(Noted) if field.init for wrong in (None, Upset("x"))]
        _check_stream(accept, Operation(EVERYTHING, {}), list[object](events), subscribers=1)

    def test_a_list_may_be_the_event(self) -> None:
        events: list[object] = [[Item(name="a", mood=None, children=[])], None, [], [None], 5]
        _check(Operation("subscription { items { name children { name } } }", {}), events, subscribers=1)

    def test_an_operation_that_is_not_valid_is_an_error_as_before(self) -> None:
        _SOURCE.events = [noted()]
        heard = asyncio.run(_delivered(_APP, Operation("subscription { happenings { nothing } }", {}), 2))
        messages = [message["payload"][0]["message"] for [message] in heard]
        assert messages == ["Cannot query field 'nothing' on type 'Happening'."] * 2

    def test_a_query_over_the_same_connection_is_executed_as_before(self) -> None:
        [heard] = asyncio.run(_delivered(_APP, Operation("{ __typename }", {}), 1))
        assert [message.get("payload") for message in heard] == [{"data": {"__typename": "Query"}}, None]


class TestBrokenEvent:
    def test_a_value_that_json_has_not_ends_the_operation_and_not_the_connection(self) -> None:
        _SOURCE.events = [noted(extra=b"x"), noted()]
        first, second = asyncio.run(_delivered(_APP, Operation(EVERYTHING, {}), 2))
        assert [message["type"] for message in first] == ["error"]
        assert first[0]["payload"][0]["extensions"]["code"] == "INTERNAL_ERROR"
        assert [message["type"] for message in second] == ["error"]

    @pytest.mark.parametrize("accept", STREAMS)
    def test_over_http_it_breaks_the_stream_off(self, accept: str) -> None:
        _SOURCE.events = [noted(extra=b"x"), noted()]
        with pytest.raises(TypeError, match="bytes"):
            asyncio.run(_streamed(accept, Operation(EVERYTHING, {}), 1))
