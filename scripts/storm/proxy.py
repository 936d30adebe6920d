"""A TCP proxy on the loopback that can cut and stall what passes."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress

Opener = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]

_PIECE = 65536
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: closing sends RST."""


class Proxy:
    """Passes connections on to a server that may come and go.

    Args:
        open_: Connects to the server.

    Attributes:
        port: On 127.0.0.1; known once it runs.
    """

    def __init__(self, open_: Opener) -> None:
        self._open = open_
        self._writers: set[asyncio.StreamWriter] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self) -> None:
        """Begin to take connections."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Take no more, and cut those that are there."""
        if self._server is not None:
            self._server.close()
        self.cut()

    @property
    def connections(self) -> int:
        """How many pass now."""
        return len(self._writers) // 2

    def cut(self) -> None:
        """Reset all connections, in both directions."""
        for writer in list(self._writers):
            connection = writer.get_extra_info("socket")
            if connection is not None and connection.family == socket.AF_INET:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()

    async def stall(self, seconds: float) -> None:
        """Let nothing pass for a while, and tell nobody."""
        self._flows.clear()
        try:
            await asyncio.sleep(seconds)
        finally:
            self._flows.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            onward_reader, onward_writer = await self._open()
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, onward_writer}
        self._writers |= pair
        ways = [
            asyncio.create_task(self._pass(reader, onward_writer)),
            asyncio.create_task(self._pass(onward_reader, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            self._writers -= pair
            for each in pair:
                each.transport.abort() if each.is_closing() else each.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await reader.read(_PIECE):
                await self._flows.wait()
                writer.write(piece)
                await writer.drain()
