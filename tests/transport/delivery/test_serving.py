"""Subscriptions over real connections to a real server."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
import uvicorn
from support.happenings import EVERYTHING, Source, executed, make_schema, noted
from support.sockets import connected
from support.waiting import until, until_still
from websockets.asyncio.client import ClientConnection

from graphql_api.context import Engines
from graphql_api.transport.delivery.batching import BatchingProtocol
from graphql_api.transport.graphql import GraphQLApp

_SEQUENCE = "subscription { happenings { sequence ... on Noted { text } } }"


@asynccontextmanager
async def served(source: Source, **options: Any) -> AsyncIterator[tuple[str, uvicorn.Server]]:  # noqa: ANN401 - uvicorn's
    app = GraphQLApp(make_schema(source), cast("Engines", None), graphiql=None)
    config = uvicorn.Config(app, port=0, log_config=None, lifespan="off", **{"ws": BatchingProtocol, **options})
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve())
    await until(lambda: server.started)
    try:
        yield f"ws://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/", server
    finally:
        server.should_exit = True
        await task


class Endless(Source):
    """A source that never waits for anything."""

    given = 0

    async def follow(self) -> AsyncGenerator[Any]:
        try:
            while True:
                self.given += 1
                yield noted(sequence=self.given, text="x" * 50_000)
        finally:
            self.closed += 1


class TestServing:
    @pytest.mark.parametrize("options", [{}, {"ws": "websockets-sansio"}, {"ws_per_message_deflate": False}])
    async def test_all_events_arrive_in_order_under_any_protocol(
        self, anyio_backend: str, options: dict[str, Any]
    ) -> None:
        texts = ["x" * size for size in (0, 10, 100, 200, 70_000, 1, 300_000)]
        source = Source([noted(sequence=number, text=text) for number, text in enumerate(texts)])
        async with served(source, **options) as (url, _), connected(url) as client:
            *results, last = await client.run(_SEQUENCE)
        assert last["type"] == "complete"
        assert [result["payload"]["data"]["happenings"] for result in results] == [
            {"sequence": number, "text": text} for number, text in enumerate(texts)
        ]

    async def test_a_client_that_does_not_read_costs_a_bounded_part_of_memory(self, anyio_backend: str) -> None:
        source = Endless()
        async with served(source) as (url, server), connected(url) as idle:
            await idle.subscribe(_SEQUENCE)
            idle.connection.transport.pause_reading()
            await until(lambda: any(not _is_writable(each) for each in server.server_state.connections))
            await until_still(lambda: source.given)
            stopped_at = source.given
            async with connected(url) as other:
                assert (await other.run("{ __typename }"))[0]["payload"] == {"data": {"__typename": "Query"}}
            assert source.given == stopped_at
            [size] = [each.transport.get_write_buffer_size() for each in _sockets(server)]
            assert size < 1024 * 1024
            # A close handshake would have to wait for all that was not read.
            idle.connection.transport.abort()
            await until(lambda: source.closed == 1)

    async def test_a_client_that_reads_everything_leaves_others_their_turn(self, anyio_backend: str) -> None:
        source = Endless()
        async with served(source) as (url, _), connected(url) as greedy:
            await greedy.subscribe(_SEQUENCE)
            reading = asyncio.create_task(_read_for_ever(greedy.connection))
            async with connected(url) as other:
                assert (await other.run("{ __typename }"))[0]["payload"] == {"data": {"__typename": "Query"}}
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            greedy.connection.transport.abort()
            await until(lambda: source.closed == 1)

    async def test_two_clients_get_the_same_bytes(self, anyio_backend: str) -> None:
        source = Source([noted(sequence=number) for number in range(3)])
        async with served(source) as (url, _), connected(url) as one, connected(url) as two:
            first, second = await one.run(EVERYTHING), await two.run(EVERYTHING)
        assert [each["payload"] for each in first[:-1]] == [each["payload"] for each in second[:-1]]
        assert len(await executed(make_schema(source), EVERYTHING)) == len(first) - 1


def _sockets(server: uvicorn.Server) -> list[BatchingProtocol]:
    return [each for each in server.server_state.connections if isinstance(each, BatchingProtocol)]


def _is_writable(connection: object) -> bool:
    return not isinstance(connection, BatchingProtocol) or connection.is_writable


async def _read_for_ever(connection: ClientConnection) -> None:
    async for _ in connection:
        pass
