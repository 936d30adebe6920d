"""A server's WebSocket that writes once per turn of the event loop.

Seam, checked with uvicorn 0.54 and websockets 17: `WebSocketsSansIOProtocol` and its attributes `conn`, `close_sent`,
`disconnected`, `loop`, `scope`, `transport` and `writable`, and `run_asgi`. It is given to uvicorn as `ws=`; under
another server, or where compression was agreed on, messages go out through ASGI one by one.
"""

from asyncio.transports import BaseTransport
from collections.abc import Iterable
from struct import Struct
from typing import cast

from starlette.types import Message as AsgiMessage
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

EXTENSION = "orchestrator.batching"
"""Under which the application finds the protocol among the `extensions` of a WebSocket's scope."""

MAX_BATCH_BYTES = 64 * 1024
"""After this much, a batch is full: it is written without waiting for the turn's end."""

_TEXT = 0x81
_MAX_SHORT, _MAX_MEDIUM = 125, 0xFFFF
_MEDIUM = Struct(">BBH").pack


class BatchingProtocol(WebSocketsSansIOProtocol):
    """Uvicorn's WebSocket, with a way past ASGI for text messages that are bytes already."""

    def connection_made(self, transport: BaseTransport) -> None:
        """Begin with an empty batch."""
        super().connection_made(transport)
        self._batch: list[bytes] = []
        self._batched_bytes = 0

    async def run_asgi(self) -> None:
        """Offer the way past ASGI to the application, unless frames have to be compressed."""
        if not self.conn.extensions:
            extensions = cast("dict[str, object]", self.scope["extensions"])
            extensions[EXTENSION] = self
        await super().run_asgi()

    @property
    def is_writable(self) -> bool:
        """Tell whether the client reads fast enough to be sent more."""
        return self.writable.is_set() and not self.disconnected

    async def wait_writable(self) -> None:
        """Wait until the client has read enough to be sent more.

        Raises:
            ClientDisconnected: When it is gone.
        """
        await self.writable.wait()
        if self.disconnected:
            raise ClientDisconnected

    def put(self, prefix: bytes, payloads: Iterable[bytes], suffix: bytes) -> None:
        """Put text messages into the batch of this turn.

        Args:
            prefix: What each message begins with.
            payloads: What stands between, one for each message.
            suffix: What each message ends with.

        Raises:
            ClientDisconnected: When the connection is closed, or being closed.
        """
        if self.close_sent or self.transport.is_closing():
            raise ClientDisconnected
        batch = self._batch
        if not batch:
            self.loop.call_soon(self._write_batch)
        fixed, batched = len(prefix) + len(suffix), self._batched_bytes
        for payload in payloads:
            size = fixed + len(payload)
            batch += (_header(size), prefix, payload, suffix)
            batched += size
        self._batched_bytes = batched
        if batched >= MAX_BATCH_BYTES:
            self._write_batch()

    async def send(self, message: AsgiMessage) -> None:  # type: ignore[override]  # uvicorn's own type is private
        """Send what ASGI sends, after everything that was put before it."""
        if self._batch:
            self._write_batch()
        await super().send(message)  # type: ignore[arg-type]  # as above

    def shutdown(self) -> None:
        """Close, after everything that was put before."""
        self._write_batch()
        super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget what nobody will read."""
        self._batch.clear()
        super().connection_lost(exc)

    def _write_batch(self) -> None:
        batch, self._batch, self._batched_bytes = self._batch, [], 0
        if batch and not self.close_sent and not self.transport.is_closing():
            self.transport.write(b"".join(batch))


def _header(size: int) -> bytes:
    """Write what stands before a text message of a server, after RFC 6455, section 5.2."""
    if _MAX_SHORT < size <= _MAX_MEDIUM:
        return _MEDIUM(_TEXT, 126, size)
    if size <= _MAX_SHORT:
        return bytes((_TEXT, size))
    return b"\x81\x7f" + size.to_bytes(8, "big")
