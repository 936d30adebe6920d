from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from support.logs import append, collect, ended, happened, new_log, running_log

from graphql_api.events import archive
from graphql_api.events.archive import CHUNK_SIZE, compact
from graphql_api.events.following import PAGE
from graphql_api.events.log import EventLog
from graphql_api.events.models import Event, EventChunk
from graphql_api.events.records import StoredEvent
from graphql_api.kit import migrations
from graphql_api.kit.columns import now
from graphql_api.kit.database import Database

pytestmark = pytest.mark.anyio

AT_ONCE = timedelta(0)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.fixture
async def own(fresh_database: Callable[..., Awaitable[Database]]) -> AsyncIterator[tuple[Database, EventLog]]:
    database = await fresh_database()
    async with running_log(database) as log:
        yield database, log


async def closed_log(database: Database, log: EventLog, events: int) -> UUID:
    """Make a log with that many events, of which the last is terminal."""
    subject = await new_log(database, log)
    await append(database, log, subject, *(happened(n) for n in range(1, events)), ended())
    return subject


async def whole(log: EventLog, subject: UUID) -> list[StoredEvent]:
    """Read a log page by page."""
    events = await log.read(subject, after=0)
    while page := await log.read(subject, after=events[-1].sequence):
        events += page
    return events


async def rows_of(database: Database, table: str) -> int:
    async with database.transaction() as session:
        return int((await session.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one())


class TestCompact:
    async def test_what_a_log_gives_stays_the_same_from_every_cursor(self, own: tuple[Database, EventLog]) -> None:
        database, log = own
        assert CHUNK_SIZE >= PAGE
        size = 2 * CHUNK_SIZE + 7
        subject = await closed_log(database, log, size)
        before = await whole(log, subject)
        starts = await log.read_starts([subject], limit=CHUNK_SIZE + 3)

        assert await compact(database, ended_for=AT_ONCE) == size

        assert (await rows_of(database, "events"), await rows_of(database, "event_chunks")) == (0, 3)
        for after in (0, 1, CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 1, 2 * CHUNK_SIZE, size - 1, size):
            assert await log.read(subject, after=after) == before[after : after + PAGE]
            assert await log.read(subject, after=after, limit=3) == before[after : after + 3]
            assert await collect(log, subject, after=after) == before[after:]
        assert await log.read_starts([subject], limit=CHUNK_SIZE + 3) == starts
        assert await log.heads([subject]) == {subject: size}

    async def test_a_log_that_is_open_or_ended_lately_is_left_alone(self, own: tuple[Database, EventLog]) -> None:
        database, log = own
        await append(database, log, await new_log(database, log), happened(1))
        await closed_log(database, log, 2)

        assert await compact(database, ended_for=timedelta(hours=1)) == 0
        assert await rows_of(database, "events") == 3

    async def test_a_second_round_finds_nothing_and_other_logs_are_read_beside(
        self, own: tuple[Database, EventLog]
    ) -> None:
        database, log = own
        old = await closed_log(database, log, 5)
        await compact(database, ended_for=AT_ONCE)
        young = await new_log(database, log)
        stored = await append(database, log, young, happened(1), happened(2))

        assert await compact(database, ended_for=AT_ONCE) == 0

        starts = await log.read_starts([old, young], limit=2)
        assert [event.sequence for event in starts[old]] == [1, 2]
        assert starts[young] == stored

    async def test_a_round_that_was_cut_short_is_gone_on_with_and_reads_right_in_between(
        self, own: tuple[Database, EventLog]
    ) -> None:
        database, log = own
        subject = await closed_log(database, log, CHUNK_SIZE + 50)
        before = await whole(log, subject)

        assert await archive._move(database, subject) == CHUNK_SIZE

        assert await collect(log, subject, after=0) == before
        assert await log.read(subject, after=CHUNK_SIZE - 10, limit=20) == before[CHUNK_SIZE - 10 :][:20]
        assert (await log.read_starts([subject], limit=CHUNK_SIZE + 5))[subject] == before[: CHUNK_SIZE + 5]
        assert await compact(database, ended_for=AT_ONCE) == 50
        assert await collect(log, subject, after=0) == before


class TestPacking:
    @given(
        st.dictionaries(
            TEXTS,
            st.recursive(
                st.none()
                | st.booleans()
                | st.integers(-(2**63), 2**63 - 1)
                | st.floats(allow_nan=False, allow_infinity=False)
                | TEXTS,
                lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
            ),
        )
    )
    def test_every_payload_comes_back_as_it_was(self, payload: dict[str, object]) -> None:
        subject, at = UUID(int=1), now()
        row = Event(subject_id=subject, sequence=7, type="T", payload=payload, occurred_at=at)
        (event,) = archive._unpack(subject, archive._pack([row]))
        assert (event.subject, event.sequence, event.type, event.payload, event.occurred_at, event.is_terminal) == (
            subject, 7, "T", payload, at, False
        )  # fmt: skip


class TestTriggers:
    async def test_an_event_goes_only_when_a_chunk_has_it(self, own: tuple[Database, EventLog]) -> None:
        database, log = own
        subject = await closed_log(database, log, 3)
        async with database.transaction() as session:
            session.add(EventChunk(subject_id=subject, first_sequence=1, last_sequence=2, events=b""))
        delete = "DELETE FROM events WHERE subject_id = :subject AND sequence"
        with pytest.raises(IntegrityError, match="no chunk has it"):
            async with database.transaction() as session:
                await session.execute(text(f"{delete} = 3"), {"subject": subject})
        async with database.transaction() as session:
            await session.execute(text(f"{delete} < 3"), {"subject": subject})
        assert await rows_of(database, "events") == 1

    @pytest.mark.parametrize("statement", ["UPDATE event_chunks SET events = ''", "DELETE FROM event_chunks"])
    async def test_a_chunk_never_changes(self, own: tuple[Database, EventLog], statement: str) -> None:
        database, log = own
        await closed_log(database, log, 3)
        await compact(database, ended_for=AT_ONCE)
        with pytest.raises(IntegrityError, match="its rows never change"):
            async with database.transaction() as session:
                await session.execute(text(statement))


class TestDowngrade:
    async def test_the_schema_without_chunks_has_the_events_back_as_rows(self, own: tuple[Database, EventLog]) -> None:
        database, log = own
        subject = await closed_log(database, log, CHUNK_SIZE + 1)
        before = await whole(log, subject)
        await compact(database, ended_for=AT_ONCE)

        await migrations.downgrade(database, "2026_11_21_0650")
        assert await rows_of(database, "events") == CHUNK_SIZE + 1
        await migrations.upgrade(database)

        assert await whole(log, subject) == before
