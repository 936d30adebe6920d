"""Server-sent events of one response as frames, within bounds."""

import json
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from email.utils import parsedate_to_datetime
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
_RECENT_EVENTS = 2_000
_HANDOVER_SECONDS = 3.0


class Position:
    """Where a reader of a stream is.

    The ids of events are `<milliseconds>-<number>`, and several events may have the same: whoever goes on after one of
    them misses the others. So a reader goes on before them, and skips those that it has.

    A server that hands a reader over from what it kept to what happens now may send the last of what it kept twice, in
    the same order. It shows by ids that go back; within one millisecond it can't be told from an agent that repeats
    itself, so that only around the moment of the connection a repetition is taken for one of the server's.
    """

    def __init__(self) -> None:
        self._moment: int | None = None
        self._at_moment = 0
        self._read = 0
        self._recent: deque[tuple[int | None, int]] = deque(maxlen=_RECENT_EVENTS)
        self._repeated: list[int] = []

    @property
    def before(self) -> str:
        """The `Last-Event-ID` to go on with; `-1` is before the first event."""
        return "-1" if self._moment is None else f"{self._moment - 1}-0"

    @property
    def skip(self) -> int:
        """How many of the events after that were read."""
        return self._read if self._moment is None else self._at_moment

    def pass_by(self, event: ServerSentEvent, connected_at: float | None = None) -> bool:
        """Note that an event was read; False when it was before.

        Args:
            event: As it came.
            connected_at: Seconds since 1970 when the stream began, by the server's clock; None when it does not tell.
        """
        text = event.id.partition("-")[0]
        moment = int(text) if text.isdecimal() and len(text) <= _MAX_MOMENT_DIGITS else None
        key = hash((event.id, event.event, event.data))
        if self._is_repetition(moment, key, connected_at):
            return False
        self._recent.append((moment, key))
        self._read += 1
        self._at_moment = self._at_moment + 1 if moment == self._moment else 1
        self._moment = moment
        return True

    def _is_repetition(self, moment: int | None, key: int, connected_at: float | None) -> bool:
        if self._repeated and self._repeated[0] == key:
            self._repeated.pop(0)
            return True
        self._repeated = []
        if moment is None or self._moment is None or moment > self._moment:
            return False
        is_early = connected_at is None or abs(moment / 1000 - connected_at) < _HANDOVER_SECONDS
        keys = [known for at, known in self._recent if moment < self._moment or at == moment]
        if key not in keys or (moment == self._moment and not is_early):
            return False
        self._repeated = keys[keys.index(key) + 1 :]
        return True


async def frames_of(
    response: httpx.Response, position: Position, *, max_frame_bytes: int = MAX_FRAME_BYTES
) -> AsyncGenerator[Frame]:
    """Give the frames of a stream that a reader has not seen; one that can't be read is given as refused.

    Raises:
        RuntimeFailure: When the response is no stream.
        httpx.HTTPError: When the stream breaks.
    """
    bounded = httpx.Response(
        response.status_code,
        headers={"content-type": response.headers.get("content-type", "")},
        stream=_Bounded(response, max_frame_bytes),
    )
    skip, connected_at = position.skip, _date_of(response)
    async with aclosing(EventSource(bounded).aiter_sse()) as events:
        try:
            async for event in events:
                # After an event with an id, the blank line of each heartbeat ends an empty one.
                if not event.data:
                    continue
                if skip > 0:
                    skip -= 1
                elif position.pass_by(event, connected_at):
                    yield _frame(event, max_frame_bytes)
        except SSEError as error:
            raise RuntimeFailure(
                "The runtime answered with something else than a stream.", is_retryable=True
            ) from error


def _date_of(response: httpx.Response) -> float | None:
    try:
        return parsedate_to_datetime(response.headers.get("date", "")).timestamp()
    except ValueError:
        return None


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
