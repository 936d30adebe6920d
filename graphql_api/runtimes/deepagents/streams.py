"""The WebSockets of deepagents-runtime: one for each thread, opened before the run starts where that is possible."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any
from urllib.parse import quote

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from graphql_api.kit import tracing
from graphql_api.runtimes.deepagents.texts import first_of
from graphql_api.runtimes.http import HANDSHAKE_SECONDS
from graphql_api.runtimes.protocol import Frame, RuntimeFailure

MAX_FRAME_BYTES = 16 * 1024 * 1024
"""Of a frame that is read; a larger one is left out, and said so."""

MAX_TAKEN_BYTES = 2 * MAX_FRAME_BYTES
"""Of a frame that is taken at all; a larger one breaks the stream."""

ATTACHED_SECONDS = 60.0
"""How long a stream waits for somebody who reads it."""

_PING_SECONDS = 20.0
# A run blocks the runtime's event loop, for as long as a language model thinks.
_PONG_SECONDS = 60.0
_CLOSE_SECONDS = 1.0
_SHOWN = 2000


class Streams:
    """The streams of one runtime.

    Args:
        url: `ws(s)://…`, to which the thread's id is added.
        headers: Sent with each handshake.
    """

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self._url = url
        self._headers = headers
        self._attached: dict[str, ClientConnection] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def attach(self, thread_id: str) -> None:
        """Open a stream that is read later; nothing happens when it can't be opened yet."""
        try:
            connection = await self._open(thread_id)
        except RuntimeFailure:
            return
        self.detach(thread_id)
        self._attached[thread_id] = connection
        asyncio.get_running_loop().call_later(ATTACHED_SECONDS, self._expire, thread_id, connection)

    def detach(self, thread_id: str) -> None:
        """Close a stream that nobody has read."""
        connection = self._attached.pop(thread_id, None)
        if connection is not None:
            task = asyncio.create_task(connection.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def listen(self, thread_id: str) -> AsyncGenerator[Frame]:
        """Give what a stream sends, from when it was attached, or else from now on; without an end.

        Raises:
            RuntimeFailure: When it can't be opened, or is closed.
        """
        connection = self._attached.pop(thread_id, None) or await self._open(thread_id)
        try:
            while True:
                yield frame_of(await connection.recv(decode=False))
        except ConnectionClosed as error:
            # A code of its own is not worth more: servers close with 1000 in the middle of a run, too.
            close = error.rcvd or error.sent
            code = close.code if close else 1006
            raise RuntimeFailure(f"The runtime's stream was closed with {code}.", is_retryable=True) from error
        finally:
            await connection.close()

    async def close(self) -> None:
        """Close all streams that nobody has read."""
        for thread_id in list(self._attached):
            self.detach(thread_id)
        await asyncio.gather(*self._closing, return_exceptions=True)

    def _expire(self, thread_id: str, connection: ClientConnection) -> None:
        if self._attached.get(thread_id) is connection:
            self.detach(thread_id)

    async def _open(self, thread_id: str) -> ClientConnection:
        try:
            return await connect(
                f"{self._url}/{quote(thread_id, safe='')}",
                additional_headers={**self._headers, **tracing.headers()},
                open_timeout=HANDSHAKE_SECONDS,
                ping_interval=_PING_SECONDS,
                ping_timeout=_PONG_SECONDS,
                close_timeout=_CLOSE_SECONDS,
                max_size=MAX_TAKEN_BYTES,
            )
        except (OSError, TimeoutError, WebSocketException) as error:
            reason = type(error).__name__
            raise RuntimeFailure(f"The runtime's stream can't be opened: {reason}.", is_retryable=True) from error


def frame_of(message: bytes) -> Frame:
    """Read a message of a stream; one that can't be read is a frame that says so."""
    if len(message) > MAX_FRAME_BYTES:
        reason = f"A frame has at most {MAX_FRAME_BYTES} bytes; this one has {len(message)}."
        return Frame("frame_refused", {"reason": reason})
    value = _parsed(message)
    kind = first_of(value, "event_type", "event", "type")
    if not isinstance(kind, str) or not kind.strip():
        return Frame("frame_not_understood", value)
    return Frame(kind, value["data"] if "data" in value else {key: value[key] for key in value if value[key] != kind})


def _parsed(message: bytes) -> Any:  # noqa: ANN401 - any JSON value
    try:
        return orjson.loads(message)
    except orjson.JSONDecodeError:
        text = message.decode(errors="replace")
    try:
        return json.loads(text)  # it takes what Python's own servers write: NaN, lone surrogates
    except (ValueError, RecursionError):
        return text[:_SHOWN]
