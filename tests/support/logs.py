"""Appending to logs and following them."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

from graphql_api.events.log import EventLog
from graphql_api.events.records import LiveEvent, NewEvent, NewLiveEvent, StoredEvent
from graphql_api.kit.database import Database
from support.waiting import WAIT_SECONDS, until


def happened(number: int, **payload: Any) -> NewEvent:  # noqa: ANN401 - any JSON
    """Make an event that tells its number."""
    return NewEvent("Happened", {"number": number, **payload})


def ended() -> NewEvent:
    """Make a terminal event."""
    return NewEvent("Ended", {}, is_terminal=True)


def delta(number: int) -> NewLiveEvent:
    """Make an event that is not stored."""
    return NewLiveEvent("Delta", {"number": number})


async def new_log(database: Database, log: EventLog) -> UUID:
    """Open the log of a new subject."""
    subject = uuid4()
    async with database.transaction() as session:
        await log.open(session, subject)
    return subject


async def append(
    database: Database, log: EventLog, subject: UUID, *events: NewEvent | NewLiveEvent, epoch: int | None = None
) -> list[StoredEvent]:
    """Append events in a transaction of their own."""
    async with database.transaction() as session:
        return await log.append(session, subject, events, epoch=epoch)


@asynccontextmanager
async def running_log(database: Database) -> AsyncIterator[EventLog]:
    """Run a log of one's own, as another process would."""
    log = EventLog(database)
    async with log.running():
        await log.notifier.listening.wait()
        yield log


class Follower:
    """Somebody who follows a log in a task of their own, and keeps what they got."""

    def __init__(self) -> None:
        self.got: list[StoredEvent | LiveEvent] = []
        self.is_over = False

    @property
    def sequences(self) -> list[int]:
        """The sequences of the stored events."""
        return [event.sequence for event in self.got if isinstance(event, StoredEvent)]

    async def has(self, count: int) -> None:
        """Wait for a number of events."""
        await until(lambda: len(self.got) >= count)

    async def ends(self) -> None:
        """Wait for the end of the log."""
        await until(lambda: self.is_over)

    async def follow(self, log: EventLog, subject: UUID, after: int) -> None:
        """Follow until the log's end."""
        async with aclosing(log.follow(subject, after=after)) as events:
            async for event in events:
                self.got.append(event)
        self.is_over = True


@asynccontextmanager
async def following(log: EventLog, subject: UUID, *, after: int = 0) -> AsyncIterator[Follower]:
    """Follow a log in the background; the follower is registered when the context begins."""
    follower = Follower()
    task = asyncio.create_task(follower.follow(log, subject, after))
    try:
        await until(lambda: task.done() or log._hub.follows(subject))
        yield follower
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def collect(
    log: EventLog, subject: UUID, *, after: int = 0, until_seen: Callable[[Sequence[object]], bool] | None = None
) -> list[StoredEvent | LiveEvent]:
    """Follow a log to its end, or until enough was seen."""
    got: list[StoredEvent | LiveEvent] = []
    async with asyncio.timeout(WAIT_SECONDS), aclosing(log.follow(subject, after=after)) as events:
        async for event in events:
            got.append(event)
            if until_seen is not None and until_seen(got):
                break
    return got


def count_kept(subject: UUID) -> int:
    """Count the events of a log that something in this process holds."""
    kinds = {StoredEvent, LiveEvent}  # asked of what has gone meanwhile, `isinstance` would raise
    return sum(type(each) in kinds and each.subject == subject for each in gc.get_objects())
