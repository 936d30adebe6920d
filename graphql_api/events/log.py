"""The append-only log: sequences without holes, appends fenced by an epoch, followed by replay and then live."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from functools import partial
from time import perf_counter
from typing import Any
from uuid import UUID

import orjson
import structlog
from sqlalchemy import BigInteger, ColumnElement, Integer, bindparam, text

from graphql_api.events import archive
from graphql_api.events.following import Place, following
from graphql_api.events.hub import Ending, Hub
from graphql_api.events.models import Event, Log
from graphql_api.events.notifier import Notifier
from graphql_api.events.pages import PAGE, Pages
from graphql_api.events.records import LiveEvent, NewEvent, NewLiveEvent, StoredEvent
from graphql_api.kit import metrics
from graphql_api.kit.batches import Batch, Batched
from graphql_api.kit.columns import among, columns_of, now, select_rows
from graphql_api.kit.database import DATABASE_ERRORS, Database, Session
from graphql_api.kit.duties import background
from graphql_api.kit.errors import CursorInvalid
from graphql_api.kit.statements import Rows, Statement, Transaction

SILENCE_SECONDS = 2.0
"""After this long without a word of a subject, its followers' positions are compared with the log."""

_APPEND = """
    WITH {allowed} head AS (
        UPDATE event_logs SET last_sequence = last_sequence + :count, is_closed = :closes
        WHERE subject_id = :subject AND NOT is_closed AND (:epoch::bigint IS NULL OR epoch = :epoch) {condition}
        RETURNING last_sequence - :count AS base
    ) {along}
    INSERT INTO events (subject_id, sequence, type, payload, is_terminal, occurred_at)
    SELECT :subject, head.base + new.position, new.type, new.payload::jsonb, new.is_terminal, clock_timestamp()
    FROM head, unnest(:types::text[], :payloads::text[], :terminals::boolean[])
        WITH ORDINALITY AS new (type, payload, is_terminal, position)
    RETURNING sequence, occurred_at
"""

SAMPLE_SECONDS = 0.02
"""Between two samples of the lag, at least: with thousands of followers, timing each would cost more than sending."""

_APPENDED = metrics.counter("events_appended", "Events that were stored.")
_LAG_SECONDS = metrics.histogram(
    "event_delivery_lag_seconds", "From a live event's append to its delivery, sampled; clocks of machines may differ."
)

_event, _head = columns_of(Event), columns_of(Log)
_EVENTS = select_rows(
    _event.subject_id, _event.sequence, _event.type, _event.payload, _event.occurred_at, _event.is_terminal
)
_AFTER = (
    _EVENTS.where(_event.subject_id == bindparam("subject"), _event.sequence > bindparam("after"))
    .order_by(_event.sequence)
    .limit(bindparam("limit", type_=Integer))
)
_STARTS = _EVENTS.where(among(_event.subject_id), _event.sequence <= bindparam("limit", type_=BigInteger)).order_by(
    _event.subject_id, _event.sequence
)
HEADS = select_rows(_head.subject_id, _head.last_sequence).where(among(_head.subject_id))
"""How far logs are, by the parameter `ids`."""


def event_head(subject: Any) -> ColumnElement[int]:  # noqa: ANN401 - a column
    """Select how far the log of a row is, as a column of the statement that reads the row: both are of one moment.

    Read later, it might count events of what the row does not show yet, and whoever follows from there misses them.
    """
    head: ColumnElement[int] = select_rows(_head.last_sequence).where(_head.subject_id == subject).scalar_subquery()
    return head.label("event_head")


_log = structlog.get_logger()


class AppendRefused(Exception):
    """Nothing was written: the log is closed, or the writer's epoch is over."""


class Companion:
    """What a writer of a log notes elsewhere in the statement that appends: both are written, or neither is.

    The arguments `:subject` and `:epoch` are those of the append; those of its own have other names than `_arguments`.

    Args:
        writes: Expressions of WITH that write, each only where `head` has a row, whose `base` is the sequence of the
            newest event before.
        lock: A SELECT, or a statement that returns what it writes, which takes the lock of the writer's own row before
            that of the log; without a row nothing is written.
    """

    def __init__(self, *writes: str, lock: str | None = None) -> None:
        self.append = Statement(
            _APPEND.format(
                allowed="" if lock is None else f"allowed AS ({lock}),",
                condition="" if lock is None else "AND EXISTS (SELECT FROM allowed)",
                along="".join(f", {write}" for write in writes),
            )
        )


_ALONE = Companion()
_NO_VALUES: Mapping[str, object] = {}


class EventLog:
    """All logs of one database.

    Args:
        database: Where the logs are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._hub = Hub()
        self._pages = Pages(lambda subject, after: self.read(subject, after=after))
        self.notifier = Notifier(database, self._hub)
        self._sample_at = 0.0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send and receive notifications while the context lasts."""
        async with background(self.notifier.run(), self._watch_silence()):
            yield

    async def open(self, session: Session, subject: UUID) -> None:
        """Begin the log of a new subject."""
        session.add(Log(subject_id=subject))
        await session.flush()

    async def fence(self, session: Session, subject: UUID, epoch: int) -> None:
        """Refuse from now on what carries an older epoch."""
        await session.execute(
            text("UPDATE event_logs SET epoch = :epoch WHERE subject_id = :subject AND epoch < :epoch"),
            {"epoch": epoch, "subject": subject},
        )

    async def append(
        self,
        transaction: Transaction,
        subject: UUID,
        events: Sequence[NewEvent | NewLiveEvent],
        *,
        epoch: int | None = None,
        companion: Companion = _ALONE,
        values: Mapping[str, object] = _NO_VALUES,
    ) -> list[StoredEvent]:
        """Append events in the caller's transaction; followers hear of them, in this order, once it is committed.

        Args:
            transaction: The transaction.
            subject: Whose log.
            events: In order, at least one to store; only the last of those may be terminal.
            epoch: The writer's fencing token; None for writers that hold the subject's own lock.
            companion: What else is written in the same statement.
            values: The companion's own arguments.

        Returns:
            The stored events with their sequences.

        Raises:
            AppendRefused: When the log is closed or the epoch is over; nothing was written.
        """
        rows = await transaction.fetch(companion.append, **_arguments(subject, events, epoch), **values)
        stored = _stored(subject, events, epoch, rows)
        transaction.after_commit.append(partial(self._publish, subject, events, stored))
        return stored

    async def append_alone(
        self,
        subject: UUID,
        events: Sequence[NewEvent | NewLiveEvent],
        *,
        epoch: int,
        companion: Companion,
        values: Mapping[str, object],
    ) -> list[StoredEvent]:
        """Append events in a statement that is a transaction of its own, which costs a fraction of one of several.

        Args:
            subject: Whose log.
            events: In order, at least one to store.
            epoch: The writer's fencing token.
            companion: What else is written.
            values: The companion's own arguments.

        Returns:
            The stored events with their sequences.

        Raises:
            AppendRefused: When the log is closed, the epoch is over, or the companion's row is not there; nothing was
                written.
        """
        arguments = companion.append.arguments(**_arguments(subject, events, epoch), **values)
        rows = await self._database.fetch(companion.append.query, *arguments)
        stored = _stored(subject, events, epoch, rows)
        self._publish(subject, events, stored)
        return stored

    def publish_live(self, subject: UUID, sequence: int, events: Sequence[NewLiveEvent]) -> None:
        """Fan out events that are not stored, to whoever follows now.

        Args:
            subject: Whose log.
            sequence: Position of the newest stored event, which must be committed.
            events: In order.
        """
        moment = now()
        self.notifier.publish([LiveEvent(subject, sequence, event.type, event.payload, moment) for event in events])

    def _publish(self, subject: UUID, events: Sequence[NewEvent | NewLiveEvent], stored: Sequence[StoredEvent]) -> None:
        """Publish stored and live events in the order in which they happened."""
        _APPENDED.inc(len(stored))
        remaining = iter(stored)
        sequence = stored[0].sequence - 1
        for event in events:
            if isinstance(event, NewLiveEvent):
                self.publish_live(subject, sequence, [event])
            else:
                following = next(remaining)
                sequence = following.sequence
                self.notifier.publish([following])

    async def read(
        self, subject: UUID, *, after: int, limit: int = PAGE, reader: Rows | None = None
    ) -> list[StoredEvent]:
        """Read a page of a log, in order.

        Args:
            subject: Whose log.
            after: The sequence before the first one.
            limit: How many events at most.
            reader: What it is read with; the log's own database when None.
        """
        reader = reader or self._database
        # Rows first: what leaves them meanwhile is found in the chunks, and not the other way round.
        rows = [StoredEvent(*row) for row in await reader.rows(_AFTER, subject=subject, after=after, limit=limit)]
        if rows and rows[0].sequence == after + 1:
            return rows
        archived = await archive.read(reader, subject, after=after, limit=limit)
        last = archived[-1].sequence if archived else after
        return [*archived, *(row for row in rows if row.sequence > last)][:limit]

    async def read_starts(
        self, subjects: Collection[UUID], *, limit: int, reader: Rows | None = None
    ) -> dict[UUID, list[StoredEvent]]:
        """Read the first events of several logs, in one statement, and another for those that are in chunks.

        Args:
            subjects: Whose logs.
            limit: How many events of each at most.
            reader: What they are read with; the log's own database when None.
        """
        reader = reader or self._database
        pages: dict[UUID, list[StoredEvent]] = {subject: [] for subject in subjects}
        for row in await reader.rows(_STARTS, ids=list(pages), limit=limit):
            pages[row.subject_id].append(StoredEvent(*row))
        behind = [subject for subject, page in pages.items() if not page or page[0].sequence > 1]
        if behind:
            archived: dict[UUID, list[StoredEvent]] = {subject: [] for subject in behind}
            for event in await archive.read_starts(reader, behind, limit=limit):
                archived[event.subject].append(event)
            for subject, events in archived.items():
                pages[subject] = events + [row for row in pages[subject] if row.sequence > len(events)]
        return pages

    async def heads(self, subjects: Collection[UUID]) -> dict[UUID, int]:
        """Read how far logs are; a subject without one is left out."""
        return dict(await self._database.rows(HEADS, ids=list(subjects)))

    async def check_position(self, subject: UUID, sequence: int) -> None:
        """Refuse a position that the log has not reached.

        Raises:
            CursorInvalid: When it is of the future.
        """
        if sequence and sequence > (await self.heads([subject])).get(subject, 0):
            raise CursorInvalid("This cursor is of the future: the log is not that far.")

    def follow(
        self, subject: UUID, *, after: int, watch: AbstractContextManager[Ending] | None = None
    ) -> Batched[StoredEvent | LiveEvent]:
        """Give every event after a position once, in order; ends after the terminal one.

        First what is stored, then live. A live-only event comes to those who have all stored ones before it.

        Args:
            subject: Whose log.
            after: The position; 0 is the beginning.
            watch: Lasts as long as somebody follows; gives what ends that from outside.
        """
        return Batched(self._follow(subject, after, watch or nullcontext(Ending())))

    async def _follow(
        self, subject: UUID, position: int, watch: AbstractContextManager[Ending]
    ) -> AsyncGenerator[Batch[StoredEvent | LiveEvent], None]:
        with watch as ending:
            place = Place(position, is_over=await self._is_over(subject, position))
            read = partial(self._read_until_possible, subject)
            with self._hub.register(subject) as mailbox:
                ending.attach(mailbox)
                while batch := await following(place, mailbox, read, ending):
                    yield batch
                    if place.is_live:
                        self._sample_lag(batch[0])
                    del batch  # not kept while the next one is waited for; nor is it on the rest of its way

    def _sample_lag(self, event: StoredEvent | LiveEvent) -> None:
        """Note how old a live event is once its follower has dealt with it; a few a second say enough."""
        moment = perf_counter()
        if moment >= self._sample_at:
            self._sample_at = moment + SAMPLE_SECONDS
            _LAG_SECONDS.observe(max(0.0, (now() - event.occurred_at).total_seconds()))

    async def _is_over(self, subject: UUID, position: int) -> bool:
        """Tell whether a position is that of the terminal event: a follower from there would wait for ever."""
        last = await self._read_until_possible(subject, position - 1) if position > 0 else ()
        return any(event.is_terminal and event.sequence == position for event in last)

    async def _read_until_possible(self, subject: UUID, after: int) -> Batch[StoredEvent]:
        while True:
            try:
                return await self._pages.after(subject, after)
            except DATABASE_ERRORS as error:
                _log.warning("follow_waits_for_database", error=type(error).__name__)
                await asyncio.sleep(SILENCE_SECONDS / 4)

    async def _watch_silence(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(SILENCE_SECONDS / 2)
            subjects = self._hub.silent_since(clock() - SILENCE_SECONDS)
            if subjects:
                try:
                    self._hub.reconcile(await self.heads(subjects))
                except DATABASE_ERRORS as error:
                    _log.warning("heads_unreadable", error=type(error).__name__)


def _arguments(subject: UUID, events: Sequence[NewEvent | NewLiveEvent], epoch: int | None) -> dict[str, object]:
    """Give the arguments of an append."""
    new = [event for event in events if isinstance(event, NewEvent)]
    return {
        "subject": subject,
        "epoch": epoch,
        "count": len(new),
        "closes": new[-1].is_terminal,
        "types": [event.type for event in new],
        "payloads": [orjson.dumps(event.payload).decode() for event in new],
        "terminals": [event.is_terminal for event in new],
    }


def _stored(
    subject: UUID, events: Sequence[NewEvent | NewLiveEvent], epoch: int | None, rows: Iterable[Iterable[Any]]
) -> list[StoredEvent]:
    """Pair events with the rows that an append gave for them."""
    new = [event for event in events if isinstance(event, NewEvent)]
    written = sorted((sequence, occurred_at) for sequence, occurred_at in rows)
    if len(written) != len(new):
        raise AppendRefused(f"The log of {subject} is closed, or epoch {epoch} is over.")
    return [
        StoredEvent(subject, sequence, event.type, event.payload, occurred_at, event.is_terminal)
        for event, (sequence, occurred_at) in zip(new, written, strict=True)
    ]
