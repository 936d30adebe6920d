"""Connections that can be cut anywhere, and told anything: what a well-behaved server library does not offer.

Seam, checked with uvicorn 0.54: `WebSocketsSansIOProtocol` with its attributes `scope` and `transport`, and
`Server.startup` and `Server.capture_signals`.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import cast

import uvicorn
from starlette.types import ASGIApp
from starlette.websockets import WebSocket
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode

_EXTENSION = "fakes.transport"


class OpenProtocol(WebSocketsSansIOProtocol):
    """Uvicorn's WebSocket, which hands its connection to the application."""

    async def run_asgi(self) -> None:
        """Put the connection into the scope."""
        cast("dict[str, object]", self.scope["extensions"])[_EXTENSION] = self.transport
        await super().run_asgi()


def send_raw(websocket: WebSocket, content: bytes, *, is_binary: bool) -> None:
    """Send a frame whose content is whatever it is, even text that is no UTF-8."""
    opcode = Opcode.BINARY if is_binary else Opcode.TEXT
    _transport(websocket).write(Frame(opcode, content).serialize(mask=False))


def cut(websocket: WebSocket, content: bytes = b"") -> None:
    """Cut a connection without a word, in the middle of a frame if there is content."""
    transport = _transport(websocket)
    if content:
        frame = Frame(Opcode.TEXT, content).serialize(mask=False)
        transport.write(frame[: len(frame) // 2 + 1])
    transport.close()


def _transport(websocket: WebSocket) -> asyncio.Transport:
    return cast("asyncio.Transport", websocket.scope["extensions"][_EXTENSION])


class _Server(uvicorn.Server):
    """Uvicorn, which leaves signals to its caller, and tells when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and tell."""
        await super().startup(sockets)
        self.is_listening.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take no signal."""
        yield


@asynccontextmanager
async def serving(app: ASGIApp, sockets: Sequence[socket.socket]) -> AsyncIterator[None]:
    """Serve an application on bound sockets while the context lasts."""
    config = uvicorn.Config(
        app,
        access_log=False,
        lifespan="off",
        log_config=None,
        timeout_graceful_shutdown=1,
        ws=OpenProtocol,
        ws_per_message_deflate=False,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve([*sockets]))
    listening = asyncio.create_task(server.is_listening.wait())
    try:
        await asyncio.wait([task, listening], return_when=asyncio.FIRST_COMPLETED)
        yield
    finally:
        listening.cancel()
        server.should_exit = True
        await task
