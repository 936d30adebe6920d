"""A server's WebSocket that writes batches of messages.

Seam, checked with uvicorn 0.54 and websockets 17: `WebSocketsSansIOProtocol` and its attributes `conn`, `close_sent`,
`disconnected`, `queue`, `request`, `response`, `scope`, `transport` and `writable`, its `run_asgi` and
`start_keepalive`, which follows the handshake. It is given to uvicorn as `ws=`; under another server, or where
compression was agreed on, messages go out through ASGI one by one.
"""

from struct import Struct
from typing import Any, cast

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from graphql_api.kit.batches import Batch
from graphql_api.kit.signals import Inbox, Signal

EXTENSION = "orchestrator.batching"
"""Under which the application finds the protocol among the `extensions` of a WebSocket's scope."""

MAX_BATCH_BYTES = 64 * 1024
"""After this much, a batch is full: it is written before the rest, once the client has read enough."""

_TEXT = 0x81
_MAX_SHORT, _MAX_MEDIUM = 125, 0xFFFF
_MEDIUM = Struct(">BBH").pack


class BatchingProtocol(WebSocketsSansIOProtocol):
    """Uvicorn's WebSocket, with a way past ASGI for text messages that are bytes already, and half of its memory."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - whatever uvicorn's takes
        super().__init__(*args, **kwargs)
        self.queue = Inbox()  # type: ignore[assignment]  # has all of a queue that is used
        self.writable = Signal(is_set=True)  # type: ignore[assignment]  # as above

    def start_keepalive(self) -> None:
        """Begin with pings, and forget the headers of the handshake, which is done: the scope has its own."""
        super().start_keepalive()
        self.request.headers.clear()
        self.response.headers.clear()

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

    def put(self, prefix: bytes, payloads: Batch[bytes], suffix: bytes) -> None:
        """Write text messages, in one piece and at once.

        Args:
            prefix: What each message begins with.
            payloads: What stands between, one for each message.
            suffix: What each message ends with.

        Raises:
            ClientDisconnected: When the connection is closed, or being closed.
        """
        if self.close_sent or self.transport.is_closing():
            raise ClientDisconnected
        parts = payloads.made(_framed, len(prefix), suffix)
        parts[1::4] = [prefix] * len(payloads)
        self.transport.write(b"".join(parts))


def _framed(payloads: Batch[bytes], prefix_size: int, suffix: bytes) -> list[bytes]:
    """Give four parts of each message: its header, room for the prefix, the payload, and the suffix."""
    fixed = prefix_size + len(suffix)
    parts = [suffix] * (4 * len(payloads))
    parts[::4] = [_header(fixed + len(payload)) for payload in payloads]
    parts[2::4] = payloads
    return parts


def _header(size: int) -> bytes:
    """Write what stands before a text message of a server, after RFC 6455, section 5.2."""
    if _MAX_SHORT < size <= _MAX_MEDIUM:
        return _MEDIUM(_TEXT, 126, size)
    if size <= _MAX_SHORT:
        return bytes((_TEXT, size))
    return b"\x81\x7f" + size.to_bytes(8, "big")
