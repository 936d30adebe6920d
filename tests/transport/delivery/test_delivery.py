import asyncio
from collections.abc import AsyncGenerator
from typing import Any, cast

import orjson
import strawberry
from strawberry.extensions import SchemaExtension
from support.asgi import asgi_socket
from support.happenings import EVERYTHING, Source, make_schema, noted
from support.waiting import until

from graphql_api.context import Engines
from graphql_api.transport.graphql import GraphQLApp

_SEQUENCE = "subscription { happenings { sequence } }"


class Endless(Source):
    """A source that never waits for anything."""

    given = 0

    async def follow(self) -> AsyncGenerator[Any]:
        try:
            while True:
                self.given += 1
                yield noted(sequence=self.given)
        finally:
            self.closed += 1


class Waiting(Source):
    """A source that waits for ever after its events."""

    async def follow(self) -> AsyncGenerator[Any]:
        try:
            for event in self.events:
                yield event
            await asyncio.Event().wait()
        finally:
            self.closed += 1


def app_of(schema: strawberry.Schema) -> GraphQLApp:
    return GraphQLApp(schema, cast("Engines", None), graphiql=None)


class TestDelivery:
    async def test_a_source_that_never_waits_leaves_others_their_turn(self, anyio_backend: str) -> None:
        source = Endless()
        async with asgi_socket(app_of(make_schema(source))) as socket:
            await socket.subscribe("endless", _SEQUENCE)
            await socket.subscribe("query", "{ __typename }")
            assert [message["type"] for message in await socket.hear_until_over("query")] == ["next", "complete"]
            await socket.tell(id="endless", type="complete")
            await until(lambda: source.closed == 1)

    async def test_completing_closes_a_source_that_waits(self, anyio_backend: str) -> None:
        source = Waiting([noted(sequence=1)])
        async with asgi_socket(app_of(make_schema(source))) as socket:
            await socket.subscribe("a", _SEQUENCE)
            assert orjson.loads(await socket.hear())["payload"] == {"data": {"happenings": {"sequence": 1}}}
            await socket.tell(id="a", type="complete")
            await until(lambda: source.closed == 1)
            await socket.subscribe("a", _SEQUENCE)
            assert orjson.loads(await socket.hear())["type"] == "next"

    async def test_hanging_up_closes_the_source(self, anyio_backend: str) -> None:
        source = Waiting([noted()])
        async with asgi_socket(app_of(make_schema(source))) as socket:
            await socket.subscribe("a", EVERYTHING)
            await socket.hear()
        assert source.closed == 1

    async def test_an_id_may_hold_anything(self, anyio_backend: str) -> None:
        async with asgi_socket(app_of(make_schema(Source([noted()])))) as socket:
            await socket.subscribe('"}\\é', _SEQUENCE)
            assert [message["type"] for message in await socket.hear_until_over('"}\\é')] == ["next", "complete"]

    async def test_events_with_and_without_resolvers_stay_in_order(self, anyio_backend: str) -> None:
        events = [noted(sequence=number, text=None if number % 2 else "t") for number in range(6)]
        query = "subscription { happenings { sequence ... on Noted { text } } }"
        async with asgi_socket(app_of(make_schema(Source(events)))) as socket:
            await socket.subscribe("a", query)
            *results, last = await socket.hear_until_over("a")
        assert last["type"] == "complete"
        assert [result["payload"]["data"] is None for result in results] == [False, True] * 3

    async def test_extensions_that_look_at_results_see_each(self, anyio_backend: str) -> None:
        class Marking(SchemaExtension):
            def on_stream_result(self, result: Any) -> Any:  # noqa: ANN401 - a hook of Strawberry
                result.extensions = {"marked": True}
                yield

        source = Source([noted(), noted()])
        async with asgi_socket(app_of(make_schema(source, extensions=[Marking]))) as socket:
            await socket.subscribe("a", _SEQUENCE)
            *results, _ = await socket.hear_until_over("a")
        assert [result["payload"]["extensions"] for result in results] == [{"marked": True}] * 2
