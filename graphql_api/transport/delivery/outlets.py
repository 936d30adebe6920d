"""Where messages leave: in batches past ASGI, or one by one through it."""

from collections.abc import Sequence
from typing import Protocol

from starlette.websockets import WebSocket, WebSocketDisconnect
from strawberry.http.exceptions import WebSocketDisconnected
from uvicorn.protocols.utils import ClientDisconnected

from graphql_api.transport.delivery.batching import EXTENSION, BatchingProtocol


class Outlet(Protocol):
    """Takes the messages of one operation."""

    @property
    def is_open(self) -> bool:
        """Whether the next message may be put at once; otherwise `wait_open` comes first."""
        ...

    def put(self, prefix: bytes, payloads: Sequence[bytes], suffix: bytes) -> int:
        """Send a message for each payload, as long as it is open.

        Args:
            prefix: What each message begins with.
            payloads: What stands between, at least one.
            suffix: What each message ends with.

        Returns:
            How many were sent, at least one; the others are to be put again after `wait_open`.

        Raises:
            WebSocketDisconnected: When nobody is there any more.
        """
        ...

    async def wait_open(self) -> None:
        """Wait until the client has read enough.

        Raises:
            WebSocketDisconnected: When nobody is there any more.
        """
        ...


class BatchOutlet:
    """Puts messages into the batch of their connection.

    Args:
        connection: The server's side of the WebSocket.
    """

    def __init__(self, connection: BatchingProtocol) -> None:
        self._connection = connection

    @property
    def is_open(self) -> bool:
        """Whether the next message may be put at once."""
        return self._connection.is_writable

    def put(self, prefix: bytes, payloads: Sequence[bytes], suffix: bytes) -> int:
        """Put messages into the batch."""
        try:
            return self._connection.put(prefix, payloads, suffix)
        except ClientDisconnected as error:
            raise WebSocketDisconnected from error

    async def wait_open(self) -> None:
        """Wait until the client has read enough."""
        try:
            await self._connection.wait_writable()
        except ClientDisconnected as error:
            raise WebSocketDisconnected from error


class AsgiOutlet:
    """Sends messages through ASGI, which any server has.

    Args:
        websocket: The connection.
    """

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._waiting: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether the last message was sent."""
        return self._waiting is None

    def put(self, prefix: bytes, payloads: Sequence[bytes], suffix: bytes) -> int:
        """Hold the first message until `wait_open` sends it."""
        self._waiting = (prefix + payloads[0] + suffix).decode()
        return 1

    async def wait_open(self) -> None:
        """Send what is held; the server makes this wait for a client that reads slowly."""
        held, self._waiting = self._waiting, None
        try:
            if held is not None:
                await self._websocket.send_text(held)
        except WebSocketDisconnect as error:
            raise WebSocketDisconnected from error


def outlet_of(websocket: WebSocket) -> Outlet:
    """Find the best way out that the server of a connection has."""
    found = websocket.scope.get("extensions", {}).get(EXTENSION)
    return BatchOutlet(found) if isinstance(found, BatchingProtocol) else AsgiOutlet(websocket)
