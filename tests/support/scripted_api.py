"""An API that answers as a test says, and a line to it that is cut."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

Json = dict[str, Any]
SESSION = {
    "accessToken": "token",
    "refreshToken": "old",
    "expiresAt": "2999-01-01T00:00:00+00:00",
    "user": {"name": "Ada", "email": "ada@example.com"},
}
ANSWERS: dict[str, Json] = {
    "login": {"session": SESSION, "errors": []},
    "refreshSession": {"session": SESSION, "errors": []},
    "createWorkflow": {"workflow": {"id": "w", "name": "W", "draft": {"fileCount": 1, "revision": 1}}, "errors": []},
    "viewer": {"name": "Ada", "email": "ada@example.com"},
    "proposal(": {"prompt": "Do it", "status": "PROCESSING", "failure": None, "workflow": {"name": "W"}},
    "refineWorkflow": {"proposal": {"id": "p", "status": "PENDING", "baseRevision": 1}, "errors": []},
}


class ScriptedApi:
    """An API of which only the first steps work, whose agent sends what a test says.

    Args:
        messages: What the subscription is sent, as messages of graphql-transport-ws without their ids.
        is_deaf: Whether it closes each socket before it says anything.
        answers: Payloads of fields that differ from the usual ones.
    """

    def __init__(self, *messages: Json, is_deaf: bool = False, **answers: Json) -> None:
        self._is_deaf = is_deaf
        self.asked: list[str] = []
        self._messages = messages
        self._answers = {**ANSWERS, **{name.replace("_field", "("): answer for name, answer in answers.items()}}
        self.app = Starlette(
            routes=[Route("/graphql", self._answer, methods=["POST"]), WebSocketRoute("/graphql", self._watch)]
        )

    async def _answer(self, request: Request) -> Response:
        query = (await request.json())["query"]
        name = next(name for name in self._answers if name in query)
        self.asked.append(name)
        return JSONResponse({"data": {name.rstrip("("): self._answers[name]}})

    async def _watch(self, socket: WebSocket) -> None:
        await socket.accept("graphql-transport-ws")
        if self._is_deaf:
            await socket.close(4000, "Enough")
            return
        await socket.receive_json()
        await socket.send_json({"type": "connection_ack"})
        request = await socket.receive_json()
        for message in (*self._messages, {"type": "complete"}):
            await socket.send_json({"id": request["id"], **message})
        await socket.receive()


def event(kind: str, **fields: object) -> Json:
    shared = {"__typename": kind, "cursor": "c", "sequence": 1, "occurredAt": "2026-01-01T00:00:00Z"}
    return {"type": "next", "payload": {"data": {"proposalEvents": {**shared, **fields}}}}


class Line:
    """A connection to a server through which everything passes, until it is cut."""

    def __init__(self, url: str) -> None:
        self._target = urlsplit(url)
        self.cuts = 0

    @asynccontextmanager
    async def open(self, *, cut_after: int) -> AsyncIterator[str]:
        """Listen; the first WebSocket is cut once this many bytes came down through it."""
        self._left = cut_after
        server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(self._target.hostname, self._target.port)
        first = await reader.read(65536)
        up_writer.write(first)
        is_cut = b"upgrade: websocket" in first.lower() and not self.cuts
        ways = (self._copy(reader, up_writer), self._copy(up_reader, writer, is_cut=is_cut))
        tasks = [asyncio.create_task(way) for way in ways]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for end in (writer, up_writer):
            end.close()
            with suppress(OSError):
                await end.wait_closed()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_cut: bool = False) -> None:
        while piece := await reader.read(1024):
            if is_cut:
                self._left -= len(piece)
                if self._left < 0:
                    self.cuts += 1
                    return
            writer.write(piece)
            await writer.drain()
