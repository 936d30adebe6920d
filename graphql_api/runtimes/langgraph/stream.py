"""Server-sent events of one response as frames, within bounds."""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import httpx
import orjson
from httpx_sse import EventSource, ServerSentEvent, SSEError

from graphql_api.runtimes.protocol import Frame, RuntimeFailure

MAX_FRAME_BYTES = 16 * 1024 * 1024
"""Of one event; a larger one is refused, and the stream goes on."""

REFUSED = "frame_refused"
"""Kind of the frame that stands for one that was refused."""

_CUT = "\0"
"""Stands where the rest of an event was left out; no JSON has it."""

_MAX_MOMENT_DIGITS = 18


class Position:
    """Where a reader of a stream is.

    The ids of events are `<milliseconds>-<number>`, and several events may have the same: whoever goes on after one of
    them misses the others. So a reader goes on before them, and skips those that it has.
    """

    def __init__(self) -> None:
        self._moment: int | None = None
        self._at_moment = 0
        self._read = 0

    @property
    def before(self) -> str:
        """The `Last-Event-ID` to go on with; `-1` is before the first event."""
        return "-1" if self._moment is None else f"{self._moment - 1}-0"

    @property
    def skip(self) -> int:
        """How many of the events after that were read."""
        return self._read if self._moment is None else self._at_moment

    def pass_by(self, event_id: str) -> None:
        """Note that an event was read."""
        text = event_id.partition("-")[0]
        moment = int(text) if text.isdecimal() and len(text) <= _MAX_MOMENT_DIGITS else None
        self._read += 1
        self._at_moment = self._at_moment + 1 if moment == self._moment else 1
        self._moment = moment


async def frames_of(
    response: httpx.Response, *, max_frame_bytes: int = MAX_FRAME_BYTES
) -> AsyncGenerator[tuple[str, Frame]]:
    """Give the frames of a stream, each with the id of its event; one that can't be read is given as refused.

    Raises:
        RuntimeFailure: When the response is no stream.
        httpx.HTTPError: When the stream breaks.
    """
    bounded = httpx.Response(
        response.status_code,
        headers={"content-type": response.headers.get("content-type", "")},
        stream=_Bounded(response, max_frame_bytes),
    )
    async with aclosing(EventSource(bounded).aiter_sse()) as events:
        try:
            async for event in events:
                # After an event with an id, the blank line of each heartbeat ends an empty one.
                if event.data:
                    yield event.id, _frame(event, max_frame_bytes)
        except SSEError as error:
            raise RuntimeFailure(
                "The runtime answered with something else than a stream.", is_retryable=True
            ) from error


def _frame(event: ServerSentEvent, max_frame_bytes: int) -> Frame:
    try:
        return Frame(event.event, _parsed(event.data))
    except (ValueError, RecursionError):
        reason = f"It has more than {max_frame_bytes} bytes." if _CUT in event.data else "It is not JSON."
        return Frame(REFUSED, {"event": event.event, "reason": reason})


def _parsed(text: str) -> Any:  # noqa: ANN401 - any JSON value
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        # Python writes NaN and lone surrogates, and reads them; what can't be stored of it is replaced later.
        return json.loads(text)


class _Bounded(httpx.AsyncByteStream):
    """The content of a response, but for what an event has beyond its bound.

    Args:
        response: Whose content it is.
        max_bytes: Of the lines of one event.
    """

    def __init__(self, response: httpx.Response, max_bytes: int) -> None:
        self._response = response
        self._max_bytes = max_bytes
        self._line_bytes = 0
        self._event_bytes = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._response.aiter_bytes():
            yield b"".join(self._kept(line) for line in chunk.splitlines(keepends=True))

    def _kept(self, line: bytes) -> bytes:
        """Give what is kept of a line, or of a piece of one; ends of lines always are."""
        content = line.rstrip(b"\r\n")
        room = self._max_bytes - self._event_bytes
        self._line_bytes += len(content)
        self._event_bytes += len(content)
        kept = content if len(content) <= room else content[:room] + _CUT.encode() if room >= 0 else b""
        if len(content) == len(line):
            return kept
        if self._line_bytes == 0:
            self._event_bytes = 0
        self._line_bytes = 0
        return kept + line[len(content) :]
