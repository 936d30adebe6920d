"""A WebSocket's two ends without a network: uvicorn's protocol over memory, and a client that reads what it wrote."""

import asyncio
from typing import Any

import uvicorn
from uvicorn.server import ServerState
from websockets.client import ClientProtocol
from websockets.extensions.base import ClientExtensionFactory
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

from graphql_api.transport.delivery.batching import BatchingProtocol
from support.waiting import until


class MemoryTransport(asyncio.Transport):
    """Keeps what is written, write by write."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.writes: list[bytes] = []
        self._is_closed = False

    def write(self, data: Any) -> None:  # noqa: ANN401 - any buffer
        self.writes.append(bytes(data))

    def is_closing(self) -> bool:
        return self._is_closed

    def close(self) -> None:
        self._is_closed = True

    def pause_reading(self) -> None:
        """Nothing is read by itself."""

    def resume_reading(self) -> None:
        """Nothing is read by itself."""


class Wire:
    """An application's `send`, what it wrote, and what a client makes of it."""

    def __init__(self, extensions: list[ClientExtensionFactory] | None = None) -> None:
        self.transport = MemoryTransport()
        self.client = ClientProtocol(parse_uri("ws://localhost/"), extensions=extensions)
        self.scope: dict[str, Any] = {}
        self._is_over = asyncio.Event()
        config = uvicorn.Config(
            self._app, interface="asgi3", log_config=None, ws_per_message_deflate=extensions is not None
        )
        config.load()
        self.protocol = BatchingProtocol(config, ServerState(), {})
        self.protocol.connection_made(self.transport)

    async def _app(self, scope: Any, _receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI
        self.scope = scope
        await send({"type": "websocket.accept"})
        await self._is_over.wait()

    async def open(self) -> None:
        """Shake hands; the writes of that are forgotten."""
        self.client.send_request(self.client.connect())
        self.protocol.data_received(b"".join(self.client.data_to_send()))
        await until(lambda: bool(self.transport.writes))
        self.read()
        self.transport.writes.clear()

    def read(self) -> list[bytes]:
        """Let the client read all writes; give the messages."""
        self.client.receive_data(b"".join(self.transport.writes))
        frames = [event for event in self.client.events_received() if isinstance(event, Frame)]
        return [bytes(frame.data) for frame in frames if frame.opcode is Opcode.TEXT]

    async def close(self) -> None:
        """Let the application return, and the connection go."""
        self._is_over.set()
        await asyncio.gather(*self.protocol.tasks)
        self.protocol.connection_lost(None)
