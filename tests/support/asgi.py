"""A WebSocket without a network: the application's side is ASGI, the test's side sends and gets messages."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from starlette.types import ASGIApp, Message

from support.waiting import WAIT_SECONDS


class AsgiSocket:
    """A client of `graphql-transport-ws`."""

    def __init__(self) -> None:
        self._to_app: asyncio.Queue[Message] = asyncio.Queue()
        self.from_app: asyncio.Queue[Message] = asyncio.Queue()

    async def receive(self) -> Message:
        return await self._to_app.get()

    async def send(self, message: Message) -> None:
        await self.from_app.put(message)

    async def tell(self, **message: Any) -> None:  # noqa: ANN401 - any JSON
        await self._to_app.put({"type": "websocket.receive", "text": orjson.dumps(message).decode()})

    async def subscribe(self, id_: str, query: str, variables: dict[str, Any] | None = None) -> None:
        await self.tell(id=id_, type="subscribe", payload={"query": query, "variables": variables})

    async def hear(self) -> str:
        """Give the text of the next message."""
        async with asyncio.timeout(WAIT_SECONDS):
            message = await self.from_app.get()
        assert message["type"] == "websocket.send", message
        return str(message["text"])

    async def hear_until_over(self, id_: str) -> list[dict[str, Any]]:
        """Give the messages of an operation, the one that ends it included."""
        heard: list[dict[str, Any]] = []
        while not heard or heard[-1]["type"] == "next":
            message = orjson.loads(await self.hear())
            if message["id"] == id_:
                heard.append(message)
        return heard

    async def hang_up(self) -> None:
        await self._to_app.put({"type": "websocket.disconnect", "code": 1000})


@asynccontextmanager
async def asgi_socket(app: ASGIApp) -> AsyncIterator[AsgiSocket]:
    """Open a WebSocket that is acknowledged."""
    socket = AsgiSocket()
    scope = {"type": "websocket", "path": "/graphql", "headers": [], "subprotocols": ["graphql-transport-ws"]}
    await socket._to_app.put({"type": "websocket.connect"})
    task = asyncio.create_task(app({**scope, "query_string": b""}, socket.receive, socket.send))  # type: ignore[arg-type]
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            assert (await socket.from_app.get())["type"] == "websocket.accept"
        await socket.tell(type="connection_init")
        assert orjson.loads(await socket.hear())["type"] == "connection_ack"
        yield socket
    finally:
        await socket.hang_up()
        await asyncio.gather(task)
