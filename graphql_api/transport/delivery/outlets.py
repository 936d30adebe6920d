"""Where the events of a WebSocket's operation leave: in batches past ASGI, or one by one through it."""

from typing import Protocol

import orjson
from starlette.websockets import WebSocket, WebSocketDisconnect
from strawberry.http.exceptions import WebSocketDisconnected
from uvicorn.protocols.utils import ClientDisconnected

from graphql_api.kit.batches import Batch
from graphql_api.transport.delivery.batching import EXTENSION, BatchingProtocol

_SUFFIX = b"}"


class Outlet(Protocol):
    """Takes the events of one operation."""

    async def send(self, payloads: Batch[bytes]) -> None:
        """Send a message for each payload, and wait until the client has read enough to be sent more.

        Raises:
            WebSocketDisconnected: When nobody is there any more.
        """
        ...


class BatchOutlet:
    """Writes messages as they are, all at once.

    Args:
        connection: The server's side of the WebSocket.
        operation_id: The client's id of the operation.
    """

    __slots__ = ("_connection", "_prefix")

    def __init__(self, connection: BatchingProtocol, operation_id: str) -> None:
        self._connection = connection
        self._prefix = _prefix(operation_id)

    async def send(self, payloads: Batch[bytes]) -> None:
        """Write messages."""
        try:
            self._connection.put(self._prefix, payloads, _SUFFIX)
            if not self._connection.is_writable:
                await self._connection.wait_writable()
        except ClientDisconnected as error:
            raise WebSocketDisconnected from error


class AsgiOutlet:
    """Sends messages through ASGI, which any server has.

    Args:
        websocket: The connection.
        operation_id: The client's id of the operation.
    """

    __slots__ = ("_prefix", "_websocket")

    def __init__(self, websocket: WebSocket, operation_id: str) -> None:
        self._websocket = websocket
        self._prefix = _prefix(operation_id)

    async def send(self, payloads: Batch[bytes]) -> None:
        """Send messages one by one; the server makes this wait for a client that reads slowly."""
        try:
            for payload in payloads:
                await self._websocket.send_text((self._prefix + payload + _SUFFIX).decode())
        except WebSocketDisconnect as error:
            raise WebSocketDisconnected from error


def outlet_of(websocket: WebSocket, operation_id: str) -> Outlet:
    """Find the best way out that the server of a connection has."""
    found = websocket.scope.get("extensions", {}).get(EXTENSION)
    if isinstance(found, BatchingProtocol):
        return BatchOutlet(found, operation_id)
    return AsgiOutlet(websocket, operation_id)


def _prefix(operation_id: str) -> bytes:
    return b'{"id":' + orjson.dumps(operation_id) + b',"type":"next","payload":'
