"""Streams over HTTP: what they are asked for with, and how clients read them."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from starlette.types import ASGIApp, Message

from support.waiting import WAIT_SECONDS

SSE = "text/event-stream"
MULTIPART = 'multipart/mixed;boundary="graphql";subscriptionSpec=1.0,application/json'
STREAMS = [SSE, MULTIPART]


def events(text: str) -> list[tuple[str, Any]]:
    """Read server-sent events as urql does: split where a line is empty, by LF alone."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line and not line.startswith(":"))
        if "event" in fields:
            found.append((fields["event"], json.loads(fields["data"]) if fields.get("data") else None))
    return found


def parts(text: str) -> list[Any]:
    """Read the JSON of each part."""
    return [json.loads(part.split("\r\n\r\n", 1)[1]) for part in text.split("--graphql") if "\r\n\r\n" in part]


def framed(accept: str, *payloads: bytes) -> bytes:
    """Write a whole stream as its clients get it, without what keeps it open in between."""
    if accept == SSE:
        return b"".join(b"event: next\ndata: %b\n\n" % payload for payload in payloads) + b"event: complete\ndata: \n\n"
    head = b"\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: %d\r\n\r\n%b\r\n--graphql"
    bodies = [b"{}", *(b'{"payload":%b}' % payload for payload in payloads)]
    return b"".join(head % (len(body), body) for body in bodies) + b"\r\n--graphql--\r\n"


class AsgiStream:
    """A stream without a network.

    Attributes:
        chunks: Of the body, as the application sent them.
        reads: Whether the client reads.
    """

    def __init__(self, body: bytes) -> None:
        self.chunks: list[bytes] = []
        self.reads = asyncio.Event()
        self.reads.set()
        self._body: bytes | None = body
        self._is_over = asyncio.Event()

    async def run(self, app: ASGIApp, accept: str) -> None:
        headers = [(b"accept", accept.encode()), (b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": "/graphql", "query_string": b"", "headers": headers}
        async with asyncio.timeout(WAIT_SECONDS):
            await app(scope, self.receive, self.send)

    async def receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body}
        await self._is_over.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        await self.reads.wait()
        if message.get("body"):
            self.chunks.append(message["body"])

    def hang_up(self) -> None:
        self._is_over.set()


@asynccontextmanager
async def asgi_stream(app: ASGIApp, accept: str, query: str, **variables: object) -> AsyncIterator[AsgiStream]:
    """Run an operation until the context ends; then the client hangs up."""
    stream = AsgiStream(orjson.dumps({"query": query, "variables": variables}))
    task = asyncio.create_task(stream.run(app, accept))
    try:
        yield stream
    finally:
        stream.hang_up()
        await task


async def whole_stream(app: ASGIApp, accept: str, query: str, **variables: object) -> list[bytes]:
    """Run an operation to its end; give the body of the answer, chunk by chunk."""
    stream = AsgiStream(orjson.dumps({"query": query, "variables": variables}))
    await stream.run(app, accept)
    return stream.chunks
