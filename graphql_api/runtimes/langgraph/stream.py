"""Server-sent events of one response as frames, within bounds."""

import json
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import Any, NamedTuple

import httpx
import orjson

from graphql_api.runtimes.protocol import Frame, RuntimeFailure

MAX_FRAME_BYTES = 16 * 1024 * 1024
"""Of one event; a larger one is refused, and the stream goes on."""

REFUSED = "frame_refused"
"""Kind of the frame that stands for one that was refused."""

RECENT_EVENTS = 128
"""By which a reader knows repetitions: more than a server sends while it hands a reader over, and soon forgotten."""

_MAX_MOMENT_DIGITS = 18
_HANDOVER_SECONDS = 3.0


class SentEvent(NamedTuple):
    """A server-sent event.

    Attributes:
        event: Its name.
        data: Its lines of data, joined; None for what is too large.
        id: The newest one so far.
    """

    event: str
    data: bytes | None
    id: str


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
        self._recent: deque[int] = deque(maxlen=RECENT_EVENTS)
        self._repeated: list[int] = []

    @property
    def before(self) -> str:
        """The `Last-Event-ID` to go on with; `-1` is before the first event."""
        return "-1" if self._moment is None else f"{self._moment - 1}-0"

    @property
    def skip(self) -> int:
        """How many of the events after that were read."""
        return self._read if self._moment is None else self._at_moment

    def pass_by(self, event: SentEvent, connected_at: float | None = None) -> bool:
        """Note that an event was read; False when it was before.

        Args:
            event: As it came.
            connected_at: Seconds since 1970 when the stream began, by the server's clock; None when it does not tell.
        """
        text = event.id.partition("-")[0]
        moment = int(text) if text.isdecimal() and len(text) <= _MAX_MOMENT_DIGITS else None
        key = hash(event)
        if self._is_repetition(moment, key, connected_at):
            return False
        self._recent.append(key)
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
        if moment == self._moment and not is_early:
            return False
        # Those of the same millisecond are the last.
        earlier = 0 if moment < self._moment else max(0, len(self._recent) - self._at_moment)
        keys = list(islice(self._recent, earlier, None))
        if key not in keys:
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
    if response.headers.get("content-type", "").partition(";")[0].strip().lower() != "text/event-stream":
        raise RuntimeFailure("The runtime answered with something else than a stream.", is_retryable=True)
    skip, connected_at = position.skip, _date_of(response)
    lines, events = _Lines(max_frame_bytes), _Events(max_frame_bytes)
    async for chunk in response.aiter_bytes():
        for line in lines.feed(chunk):
            if (event := events.feed(line)) is None:
                continue
            if skip > 0:
                skip -= 1
            elif position.pass_by(event, connected_at):
                yield _frame(event, max_frame_bytes)


class _Lines:
    """The lines of what comes in chunks.

    Args:
        max_bytes: Of what a line says; of a longer one a little more is kept, so that it is known to be too long.
    """

    def __init__(self, max_bytes: int) -> None:
        self._kept = max_bytes + len("data: ") + 1
        self._begun: list[bytes] = []
        self._room = self._kept
        self._has_returned = False

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Give the lines that a chunk ends, without their ends: a line feed, a carriage return, or both."""
        if self._has_returned and chunk.startswith(b"\n"):
            chunk = chunk[1:]
        if not chunk:
            return
        self._has_returned = chunk.endswith(b"\r")
        lines = chunk.splitlines()
        following = b"" if chunk.endswith((b"\r", b"\n")) else lines.pop()
        for line in lines:
            yield b"".join((*self._begun, line[: self._room])) if self._begun else line[: self._room]
            self._begun, self._room = [], self._kept
        if following and self._room:
            self._begun.append(following[: self._room])
            self._room -= len(self._begun[-1])


class _Events:
    """The events that lines are.

    Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation

    Args:
        max_bytes: Of the data of one event.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._event = ""
        self._id = ""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, line: bytes) -> SentEvent | None:
        """Give the event that a line ends, if it has data."""
        if not line:
            return self._end()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._size += len(value) + 1
            if self._size <= self._max_bytes:
                self._data.append(value)
        elif name == b"event":
            self._event = value.decode(errors="replace")
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode(errors="replace")
        return None

    def _end(self) -> SentEvent | None:
        data = None if self._size > self._max_bytes else b"\n".join(self._data)
        ended = SentEvent(self._event or "message", data, self._id)
        is_event = self._size > 1  # after one with an id, the blank line of each heartbeat ends an empty one
        self._event, self._data, self._size = "", [], 0
        return ended if is_event else None


def _date_of(response: httpx.Response) -> float | None:
    try:
        return parsedate_to_datetime(response.headers.get("date", "")).timestamp()
    except ValueError:
        return None


def _frame(event: SentEvent, max_frame_bytes: int) -> Frame:
    if event.data is None:
        return Frame(REFUSED, {"event": event.event, "reason": f"It has more than {max_frame_bytes} bytes."})
    try:
        return Frame(event.event, _parsed(event.data))
    except (ValueError, RecursionError):
        return Frame(REFUSED, {"event": event.event, "reason": "It is not JSON."})


def _parsed(data: bytes) -> Any:  # noqa: ANN401 - any JSON value
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        # Python writes NaN and lone surrogates, and reads them; what can't be stored of it is replaced later.
        return json.loads(data.decode(errors="replace"))
