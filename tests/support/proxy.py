"""A network between clients and a server that can be cut."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Proxy:
    """Carries connections to a server on this machine.

    Args:
        target: The server's port, or the path of its socket.

    Attributes:
        port: Where the proxy listens.
        carried: How many connections it has carried.
    """

    def __init__(self, target: int | str) -> None:
        self._target = target
        self._open: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0
        self.carried = 0

    async def listen(self) -> None:
        """Take connections, on the same port each time."""
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """End all connections, as a lost network does: without a word."""
        for task in self._open:
            task.cancel()

    async def fail(self, seconds: float) -> None:
        """Cut all connections, and refuse others for some seconds."""
        await self.close()
        await asyncio.sleep(seconds)
        await self.listen()

    async def close(self) -> None:
        """Stop listening, and end all connections."""
        if self._server is not None:
            self._server.close()
        self.cut()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._target, str):
            return await asyncio.open_unix_connection(self._target)
        return await asyncio.open_connection("127.0.0.1", self._target)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        self.carried += 1
        far_writer: asyncio.StreamWriter | None = None
        try:
            far_reader, far_writer = await self._connect()
            there = asyncio.create_task(_pour(reader, far_writer))
            back = asyncio.create_task(_pour(far_reader, writer))
            try:
                await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
            finally:
                there.cancel()
                back.cancel()
        except (OSError, asyncio.CancelledError):
            pass  # the server is away, or the test cut this connection: either way it ends here
        finally:
            self._open.discard(task)
            for each in (writer, far_writer):
                if each is not None:
                    each.transport.abort()


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    except OSError:
        pass  # the other side went away, which ends the connection


@asynccontextmanager
async def proxied(target: int | str) -> AsyncIterator[Proxy]:
    """Run a proxy while the context lasts."""
    proxy = Proxy(target)
    await proxy.listen()
    try:
        yield proxy
    finally:
        await proxy.close()
