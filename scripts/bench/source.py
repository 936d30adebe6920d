"""The events that all servers of the benchmark send: nine in ten of 300 bytes, one in ten of 4 KB.

A log's id tells what it is: its first seven digits for how many subscribers the server waits before it goes on, and the
eighth, when it is 1, that its events come at an even rate, each named after the moment at which it was sent.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from itertools import islice
from typing import Generic, TypeVar
from uuid import UUID

from graphql_api.events.records import StoredEvent

Made = TypeVar("Made")

_MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
_TEXT, _OUTPUT = "word " * 800, "x" * 60
BATCH = 32
"""How many are made at once."""

_WINDOW = 1024
RATE = 100
"""Events a second of a thread that a runtime runs; see clockwork.py."""

_PACE_SECONDS = 0.05
_SLOTS = 100
"""Logs with an even rate have their turns one after the other."""


def stored_event(subject: UUID, sequence: int, name: str | None = None) -> StoredEvent:
    """Make the event of a position; every server makes the same.

    Args:
        subject: Of the log.
        sequence: The position.
        name: Of the message or the call; one that follows from the position when None.
    """
    if sequence % 10 == 0:
        payload = {
            "message_id": name or f"message-{sequence}",
            "agent": "writer",
            "role": "ASSISTANT",
            "text": _TEXT,
        }
        return StoredEvent(subject, sequence, "AgentMessageCompleted", payload, _MOMENT, is_terminal=False)
    call = {
        "tool_call_id": name or f"call-{sequence}",
        "agent": None,
        "name": "search",
        "status": "SUCCEEDED",
        "output": _OUTPUT,
    }
    return StoredEvent(subject, sequence, "ToolCallFinished", call, _MOMENT, is_terminal=False)


class Topic(Generic[Made]):
    """One log that never ends. Each event is made once; nobody gets far ahead of the slowest subscriber.

    Args:
        subject: Of the log.
        make: Makes of an event what subscribers are given.
        start: After the first event, all wait for it.
    """

    def __init__(self, subject: UUID, make: Callable[[StoredEvent], Made], start: asyncio.Event) -> None:
        self._subject = subject
        self._make = make
        self._start = start
        self._made = deque([make(stored_event(subject, 1))])
        self._first = 1
        self._positions: dict[object, int] = {}

    async def batches(self) -> AsyncGenerator[Sequence[Made]]:
        """Give events as fast as they are taken, all that there are at once."""
        me = object()
        position = self._positions[me] = self._first
        try:
            while True:
                if there := list(islice(self._made, position - self._first, None)):
                    position += len(there)
                    yield there
                self._positions[me] = position
                await self._start.wait()
                # Some of the servers never give anything else its turn while they have events to send.
                await asyncio.sleep(0)
                slowest = min(self._positions.values())
                if position - slowest < _WINDOW:
                    self._advance(slowest)
        finally:
            del self._positions[me]

    def _advance(self, slowest: int) -> None:
        while self._first < slowest:
            self._made.popleft()
            self._first += 1
        following = self._first + len(self._made)
        self._made.extend(self._make(stored_event(self._subject, following + step)) for step in range(BATCH))


class Topics(Generic[Made]):
    """All logs of a server. They go on after their first events once everybody has subscribed.

    Args:
        make: Makes of an event what subscribers are given.
    """

    def __init__(self, make: Callable[[StoredEvent], Made]) -> None:
        self._make = make
        self._topics: dict[str, Topic[Made]] = {}
        self._subscribers = 0
        self._start = asyncio.Event()

    async def batches(self, subject: str) -> AsyncGenerator[Sequence[Made]]:
        """Follow a log."""
        self._subscribers += 1
        if self._subscribers >= int(subject[:7]):
            self._start.set()
        if subject[7] == "1":
            following = self._paced(subject)
        else:
            following = self._topics.setdefault(subject, Topic(UUID(subject), self._make, self._start)).batches()
        async with aclosing(following) as batches:
            async for batch in batches:
                yield batch

    async def _paced(self, subject: str) -> AsyncGenerator[Sequence[Made]]:
        """Follow a log that has one subscriber, and its events at an even rate."""
        log, sequence = UUID(subject), 1
        yield [self._make(stored_event(log, sequence))]
        await self._start.wait()
        due = time.monotonic() + int(subject[-6:]) % _SLOTS / _SLOTS * _PACE_SECONDS
        while True:
            due += _PACE_SECONDS
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            sequence += 1
            yield [self._make(stored_event(log, sequence, str(time.monotonic_ns())))]

    async def follow(self, subject: str) -> AsyncGenerator[Made]:
        """Follow a log event by event."""
        async with aclosing(self.batches(subject)) as batches:
            async for batch in batches:
                for event in batch:
                    yield event
