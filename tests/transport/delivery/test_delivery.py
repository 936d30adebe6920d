import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, cast

import orjson
import pytest
import strawberry
from strawberry.extensions import SchemaExtension
from support.asgi import asgi_socket
from support.happenings import EVERYTHING, Happening, Source, make_schema, noted
from support.streams import SSE, STREAMS, asgi_stream, whole_stream
from support.waiting import until, until_still

from graphql_api.context import Engines
from graphql_api.kit.batches import Batched
from graphql_api.transport.delivery.batching import MAX_BATCH_BYTES
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


class Batches(Source):
    """A source whose events are there at once."""

    def batches(self) -> Batched[Any]:
        async def batches() -> AsyncGenerator[list[Any]]:
            yield list(self.events)

        return Batched(batches())


def schema_of_batches(source: Batches) -> strawberry.Schema:
    @strawberry.type
    class Subscription:
        @strawberry.subscription
        async def happenings(self) -> AsyncIterator[Happening]:
            return source.batches()

    return make_schema(source, subscription=Subscription)


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

    @pytest.mark.parametrize("accept", STREAMS)
    async def test_over_http_a_source_that_never_waits_leaves_others_their_turn(
        self, anyio_backend: str, accept: str
    ) -> None:
        source = Endless()
        app = app_of(make_schema(source))
        async with asgi_stream(app, accept, _SEQUENCE) as stream:
            await until(lambda: len(stream.chunks) > 2)
            assert b'{"__typename":"Query"}' in b"".join(await whole_stream(app, SSE, "{ __typename }"))
        assert source.closed == 1

    @pytest.mark.parametrize("accept", STREAMS)
    async def test_over_http_a_client_that_does_not_read_stops_the_source(
        self, anyio_backend: str, accept: str
    ) -> None:
        source = Endless()
        async with asgi_stream(app_of(make_schema(source)), accept, _SEQUENCE) as stream:
            await until(lambda: len(stream.chunks) > 2)
            stream.reads.clear()
            await until_still(lambda: source.given)
            assert source.given <= sum(chunk.count(b'"sequence"') for chunk in stream.chunks) + 1
        assert source.closed == 1

    @pytest.mark.parametrize("accept", STREAMS)
    async def test_over_http_hanging_up_closes_a_source_that_waits(self, anyio_backend: str, accept: str) -> None:
        source = Waiting([noted()])
        async with asgi_stream(app_of(make_schema(source)), accept, EVERYTHING) as stream:
            await until(lambda: b'"sequence"' in b"".join(stream.chunks))
        assert source.closed == 1

    @pytest.mark.parametrize("accept", STREAMS)
    async def test_the_events_of_a_batch_are_one_chunk_of_a_stream(self, anyio_backend: str, accept: str) -> None:
        app = app_of(schema_of_batches(Batches([noted(sequence=number) for number in range(9)])))
        chunks = await whole_stream(app, accept, _SEQUENCE)
        assert [chunk.count(b'"sequence"') for chunk in chunks if b'"sequence"' in chunk] == [9]

    @pytest.mark.parametrize("accept", STREAMS)
    async def test_what_is_much_is_sent_in_several_chunks(self, anyio_backend: str, accept: str) -> None:
        half = "x" * (MAX_BATCH_BYTES // 2)
        app = app_of(schema_of_batches(Batches([noted(text=text) for text in (half, half, half, "")])))
        query = "subscription { happenings { ... on Noted { text } } }"
        chunks = await whole_stream(app, accept, query)
        assert [chunk.count(b'"text"') for chunk in chunks if b'"text"' in chunk] == [2, 2]

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
