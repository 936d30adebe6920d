"""WebSockets that speak graphql-transport-ws by hand."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from support.waiting import WAIT_SECONDS

PROTOCOL = "graphql-transport-ws"


class Socket:
    """One connection."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self._numbers = count(1)

    async def send(self, message: object) -> None:
        """Send a message; a text goes as it is."""
        await self.connection.send(message if isinstance(message, str | bytes) else json.dumps(message))

    async def receive(self) -> dict[str, Any]:
        """Wait for a message."""
        async with asyncio.timeout(WAIT_SECONDS):
            message: dict[str, Any] = json.loads(await self.connection.recv())
        return message

    async def init(self, payload: object = None) -> dict[str, Any]:
        """Say who it is, and wait for the answer."""
        await self.send({"type": "connection_init"} | ({} if payload is None else {"payload": payload}))
        return await self.receive()

    async def subscribe(
        self, query: str, variables: Mapping[str, Any] | None = None, *, id_: str | None = None, **payload: object
    ) -> str:
        """Begin an operation; give its id."""
        id_ = id_ or f"operation-{next(self._numbers)}"
        operation = {"query": query, "variables": variables, **payload}
        await self.send({"type": "subscribe", "id": id_, "payload": operation})
        return id_

    async def next(self) -> dict[str, Any]:
        """Wait for a result; give its payload."""
        message = await self.receive()
        assert message["type"] == "next", message
        payload: dict[str, Any] = message["payload"]
        return payload

    async def run(self, query: str, variables: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Run an operation to its end; give all its messages."""
        id_ = await self.subscribe(query, variables)
        messages = [await self.receive()]
        while messages[-1]["type"] == "next":
            messages.append(await self.receive())
        assert {message["id"] for message in messages} == {id_}
        return messages

    async def is_alive(self) -> bool:
        """Tell whether the other end still answers."""
        await self.send({"type": "ping"})
        return await self.receive() == {"type": "pong"}

    async def close_code(self) -> int | None:
        """Wait until the other end closes; give the code."""
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while True:
                    await self.connection.recv()
        except ConnectionClosed:
            return self.connection.close_code


@asynccontextmanager
async def opened(url: str, *, protocols: tuple[str, ...] = (PROTOCOL,), **options: Any) -> AsyncIterator[Socket]:  # noqa: ANN401 - those of `connect`
    """Open a connection that has said nothing yet."""
    names = [Subprotocol(name) for name in protocols]
    async with connect(url, subprotocols=names or None, proxy=None, open_timeout=WAIT_SECONDS, **options) as connection:
        yield Socket(connection)


@asynccontextmanager
async def connected(url: str, token: str | None = None, **options: Any) -> AsyncIterator[Socket]:  # noqa: ANN401 - as above
    """Open a connection that is acknowledged."""
    async with opened(url, **options) as socket:
        answer = await socket.init({"Authorization": f"Bearer {token}"} if token else None)
        assert answer == {"type": "connection_ack"}
        yield socket
