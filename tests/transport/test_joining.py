"""When the head of an answer is written, over real sockets."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from strawberry.types.execution import ExecutionResult
from support.server import serving
from support.waiting import WAIT_SECONDS

from graphql_api.schema import schema
from graphql_api.transport.delivery.delivery import Delivery
from graphql_api.transport.streams import Multipart, ServerSentEvents, Stream, StreamTransport

pytestmark = pytest.mark.anyio

REQUEST = b"GET / HTTP/1.1\r\nhost: here\r\n\r\n"


@asynccontextmanager
async def connection(app: ASGIApp) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    async with serving(app) as url, asyncio.timeout(WAIT_SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(url).port)
        try:
            yield reader, writer
        finally:
            writer.close()


class TestHead:
    async def test_it_comes_with_the_body(self) -> None:
        async with connection(PlainTextResponse("whole")) as (reader, writer):
            writer.write(REQUEST)
            answer = await reader.read(65536)

        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert answer.endswith(b"\r\n\r\nwhole")

    async def test_each_of_two_requests_at_once_gets_its_own(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await PlainTextResponse(scope["path"])(scope, receive, send)

        async with connection(app) as (reader, writer):
            writer.write(REQUEST.replace(b"/ ", b"/first ", 1) + REQUEST.replace(b"/ ", b"/second ", 1))
            first = await reader.readuntil(b"/first")
            second = await reader.readuntil(b"/second")

        assert (first.count(b"HTTP/1.1 200"), second.count(b"HTTP/1.1 200")) == (1, 1)

    async def test_one_without_a_body_comes_by_itself(self) -> None:
        async with connection(PlainTextResponse("whole")) as (reader, writer):
            writer.write(REQUEST.replace(b"GET", b"HEAD"))
            head = await reader.readuntil(b"\r\n\r\n")
            writer.write(REQUEST)
            answer = await reader.readuntil(b"whole")

        assert b"content-length: 5\r\n" in head
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")

    async def test_that_of_an_answer_that_broke_before_its_body_is_not_sent(self) -> None:
        async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            raise OSError

        async with connection(app) as (reader, writer):
            writer.write(REQUEST)

            assert await reader.read() == b""

    async def test_that_of_what_is_no_request_comes_with_its_reason(self) -> None:
        async with connection(PlainTextResponse("whole")) as (reader, writer):
            writer.write(b"nothing\r\n\r\n")
            answer = await reader.read()

        assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert b"Invalid HTTP request received." in answer

    @pytest.mark.parametrize("transport", [ServerSentEvents(), Multipart()])
    async def test_that_of_a_stream_waits_for_no_event(self, transport: StreamTransport) -> None:
        is_answered = asyncio.Event()

        async def results() -> AsyncGenerator[ExecutionResult]:
            await is_answered.wait()
            yield ExecutionResult(data={"last": True}, errors=None)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await Stream(transport, results(), Delivery(schema))(scope, receive, send)

        async with (
            serving(app) as url,
            httpx.AsyncClient(timeout=WAIT_SECONDS) as client,
            client.stream("GET", url) as answer,
        ):
            is_answered.set()
            body = await answer.aread()

        assert answer.status_code == 200
        assert b'{"last":true}' in body
