"""The archive: logs that ended long ago, as compressed chunks. The log reads them as if nothing had moved.

An event is either a row or in a chunk. A chunk and the deletion of its rows are one transaction, chunks are made in the
order of the log, and a trigger lets no row go that is in no chunk.
"""

import asyncio
import zlib
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import orjson
from sqlalchemy import BigInteger, bindparam
from sqlmodel import col, delete, func, select

from graphql_api.events.models import Event, EventChunk
from graphql_api.events.records import StoredEvent
from graphql_api.kit.columns import among, columns_of, select_rows
from graphql_api.kit.database import Database
from graphql_api.kit.statements import Rows

CHUNK_SIZE = 200
"""Events of a chunk; the last one of a log may have fewer."""

LOGS_AT_ONCE = 500
"""Logs that are compacted in one round."""

_chunk = columns_of(EventChunk)
_CHUNKS = select_rows(_chunk.subject_id, _chunk.events).order_by(_chunk.subject_id, _chunk.first_sequence)
_AFTER = _CHUNKS.where(
    _chunk.subject_id == bindparam("subject"), _chunk.last_sequence > bindparam("after", type_=BigInteger)
).limit(2)  # of the first there may be one event left, and then the second has enough
_STARTS = _CHUNKS.where(among(_chunk.subject_id), _chunk.first_sequence <= bindparam("limit", type_=BigInteger))


async def compact(database: Database, *, ended_for: timedelta) -> int:
    """Move the events of closed logs into chunks; whatever is interrupted is gone on with in the next round.

    Args:
        database: Where the logs are.
        ended_for: How long ago, at least, their terminal event was appended.

    Returns:
        How many events were moved.
    """
    due = (
        select(Event.subject_id)
        .where(col(Event.is_terminal), col(Event.occurred_at) < func.now() - ended_for)
        .order_by(col(Event.occurred_at))
        .limit(LOGS_AT_ONCE)
    )
    async with database.transaction() as session:
        subjects = (await session.exec(due)).all()
    moved = 0
    for subject in subjects:
        while count := await _move(database, subject):
            moved += count
    return moved


async def _move(database: Database, subject: UUID) -> int:
    rows = select(Event).where(Event.subject_id == subject).order_by(col(Event.sequence)).limit(CHUNK_SIZE)
    async with database.transaction() as session:
        events = (await session.exec(rows)).all()
        if not events:
            return 0
        first, last = events[0].sequence, events[-1].sequence
        packed = await asyncio.to_thread(_pack, events)
        session.add(EventChunk(subject_id=subject, first_sequence=first, last_sequence=last, events=packed))
        await session.flush()
        await session.execute(
            delete(Event).where(col(Event.subject_id) == subject, col(Event.sequence).between(first, last))
        )
    return len(events)


async def read(reader: Rows, subject: UUID, *, after: int, limit: int) -> list[StoredEvent]:
    """Read events in chunks, in order.

    Args:
        reader: What they are read with.
        subject: Whose log.
        after: The sequence before the first one.
        limit: At most `CHUNK_SIZE`.
    """
    chunks = await reader.rows(_AFTER, subject=subject, after=after)
    events = [event for chunk in chunks for event in _unpack(*chunk)]
    return [event for event in events if event.sequence > after][:limit]


async def read_starts(reader: Rows, subjects: Collection[UUID], *, limit: int) -> list[StoredEvent]:
    """Read the first events of several logs, in order; those that are in no chunk are left out."""
    chunks = await reader.rows(_STARTS, ids=list(subjects), limit=limit)
    events = [event for chunk in chunks for event in _unpack(*chunk)]
    return [event for event in events if event.sequence <= limit]


def _pack(events: Sequence[Event]) -> bytes:
    rows = [[event.sequence, event.type, event.payload, event.occurred_at, event.is_terminal] for event in events]
    return zlib.compress(orjson.dumps(rows))


def _unpack(subject: UUID, packed: bytes) -> list[StoredEvent]:
    return [
        StoredEvent(subject, sequence, type_, payload, datetime.fromisoformat(occurred_at), is_terminal)
        for sequence, type_, payload, occurred_at, is_terminal in orjson.loads(zlib.decompress(packed))
    ]
