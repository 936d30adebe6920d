"""The events that all servers of the benchmark send: nine in ten of 300 bytes, one in ten of 4 KB."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar
from uuid import UUID

from graphql_api.events.records import StoredEvent

Made = TypeVar("Made")

_BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
_BATCH, _WINDOW = 32, 1024
_IDLE = "9"
"""First digit of logs that give one event and no more."""


def stored_event(subject: UUID, sequence: int) -> StoredEvent:
    """Make the event of a position; every server makes the same."""
    occurred_at = _BEGINNING + timedelta(seconds=sequence)
    if sequence % 10 == 0:
        payload = {"message_id": f"message-{sequence}", "agent": "writer", "role": "ASSISTANT", "text": "word " * 800}
        return StoredEvent(subject, sequence, "AgentMessageCompleted", payload, occurred_at, is_terminal=False)
    call = {"tool_call_id": f"call-{sequence}", "agent": None, "name": "search", "status": "SUCCEEDED", "output": "x" * 60}
    return StoredEvent(subject, sequence, "ToolCallFinished", call, occurred_at, is_terminal=False)


class Topic(Generic[Made]):
    """One log that never ends. Each event is made once; nobody gets far ahead of the slowest subscriber.

    Args:
        subject: Of the log.
        make: Makes of an event what subscribers are given.
    """

    def __init__(self, subject: UUID, make: Callable[[StoredEvent], Made]) -> None:
        self._subject = subject
        self._make = make
        self._made: deque[Made] = deque()
        self._first = 1
        self._positions: dict[object, int] = {}

    @property
    def is_followed(self) -> bool:
        """Tell whether somebody follows."""
        return bool(self._positions)

    async def follow(self) -> AsyncGenerator[Made]:
        """Give events from where the slowest subscriber is, as fast as they are taken."""
        me = object()
        position = self._positions[me] = self._first
        try:
            while True:
                while position < self._first + len(self._made):
                    yield self._made[position - self._first]
                    position += 1
                self._positions[me] = position
                if str(self._subject)[0] == _IDLE:
                    await asyncio.Event().wait()
                slowest = min(self._positions.values())
                if position - slowest >= _WINDOW:
                    await asyncio.sleep(0)
                else:
                    self._advance(slowest)
        finally:
            del self._positions[me]

    def _advance(self, slowest: int) -> None:
        while self._first < slowest:
            self._made.popleft()
            self._first += 1
        count = 1 if str(self._subject)[0] == _IDLE else _BATCH
        following = self._first + len(self._made)
        for sequence in range(following, following + count):
            self._made.append(self._make(stored_event(self._subject, sequence)))


class Topics(Generic[Made]):
    """All logs of a server.

    Args:
        make: Makes of an event what subscribers are given.
    """

    def __init__(self, make: Callable[[StoredEvent], Made]) -> None:
        self._make = make
        self._topics: dict[str, Topic[Made]] = {}

    async def follow(self, subject: str) -> AsyncGenerator[Made]:
        """Follow a log; it begins with its first subscriber and is forgotten with its last."""
        topic = self._topics.setdefault(subject, Topic(UUID(subject), self._make))
        events = topic.follow()
        try:
            async for event in events:
                yield event
        finally:
            await events.aclose()
            if not topic.is_followed:
                self._topics.pop(subject, None)
