import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlmodel import select
from structlog.testing import capture_logs
from support.databases import another
from support.logs import append, collect, count_kept, delta, ended, following, happened, new_log, running_log
from support.waiting import until

from graphql_api.events import log as log_module
from graphql_api.events.hub import MAILBOX_SIZE
from graphql_api.events.log import PAGE, AppendRefused, EventLog
from graphql_api.events.models import Event, Log
from graphql_api.events.records import LiveEvent, NewLiveEvent, StoredEvent
from graphql_api.kit.database import DATABASE_ERRORS, Database
from graphql_api.kit.errors import CursorInvalid

pytestmark = pytest.mark.anyio

FreshDatabase = Callable[..., Awaitable[Database]]


WARNINGS = {"follow_waits_for_database", "heads_unreadable", "notifier_disconnected"}


class Undone(Exception):
    """Ends a transaction that is not to be kept."""


async def head(database: Database, subject: object) -> Log:
    async with database.transaction() as session:
        return (await session.exec(select(Log).where(Log.subject_id == subject))).one()


class TestAppend:
    async def test_sequences_count_from_one(self, database: Database, event_log: EventLog) -> None:
        subject = await new_log(database, event_log)
        before = datetime.now(UTC)
        first = await append(database, event_log, subject, happened(1), happened(2))
        second = await append(database, event_log, subject, happened(3))
        assert [event.sequence for event in first + second] == [1, 2, 3]
        assert await event_log.read(subject, after=0) == first + second
        assert abs(second[0].occurred_at - before) < timedelta(minutes=1)

    async def test_eight_writers_at_once_leave_no_hole_and_nothing_out(
        self, database: Database, event_log: EventLog
    ) -> None:
        subject = await new_log(database, event_log)

        async def write(writer: int) -> list[int]:
            written = [await append(database, event_log, subject, happened(n, writer=writer)) for n in range(50)]
            return [event.sequence for (event,) in written]

        written = await asyncio.gather(*(write(writer) for writer in range(8)))
        assert sorted(sequence for one in written for sequence in one) == list(range(1, 401))
        stored = await event_log.read(subject, after=0, limit=500)
        assert [event.sequence for event in stored] == list(range(1, 401))
        for writer in range(8):
            assert [event.payload["number"] for event in stored if event.payload["writer"] == writer] == list(range(50))

    async def test_a_closed_log_takes_nothing(self, database: Database, event_log: EventLog) -> None:
        subject = await new_log(database, event_log)
        await append(database, event_log, subject, happened(1), ended())
        with pytest.raises(AppendRefused):
            await append(database, event_log, subject, happened(2))
        with pytest.raises(AppendRefused):
            await append(database, event_log, subject, ended())
        assert [event.type for event in await event_log.read(subject, after=0)] == ["Happened", "Ended"]
        assert (await head(database, subject)).last_sequence == 2

    async def test_a_log_that_is_not_there_takes_nothing(self, database: Database, event_log: EventLog) -> None:
        with pytest.raises(AppendRefused):
            await append(database, event_log, uuid4(), happened(1))

    async def test_of_two_ends_at_once_one_is_written(self, database: Database, event_log: EventLog) -> None:
        subject = await new_log(database, event_log)
        results = await asyncio.gather(
            *(append(database, event_log, subject, ended()) for _ in range(4)), return_exceptions=True
        )
        assert sum(isinstance(result, AppendRefused) for result in results) == 3
        assert [event.sequence for event in await event_log.read(subject, after=0)] == [1]

    async def test_an_epoch_that_is_over_writes_nothing(self, database: Database, event_log: EventLog) -> None:
        subject = await new_log(database, event_log)
        async with database.transaction() as session:
            await event_log.fence(session, subject, 2)
        for epoch in (0, 1, 3):
            with pytest.raises(AppendRefused):
                await append(database, event_log, subject, happened(1), epoch=epoch)
        assert (await head(database, subject)).last_sequence == 0
        assert len(await append(database, event_log, subject, happened(1), epoch=2)) == 1
        assert len(await append(database, event_log, subject, happened(2))) == 1

    async def test_a_fence_never_goes_back(self, database: Database, event_log: EventLog) -> None:
        subject = await new_log(database, event_log)
        for epoch in (3, 1):
            async with database.transaction() as session:
                await event_log.fence(session, subject, epoch)
        assert (await head(database, subject)).epoch == 3

    async def test_a_writer_who_was_fenced_in_between_writes_nothing(
        self, database: Database, event_log: EventLog
    ) -> None:
        subject = await new_log(database, event_log)
        async with database.transaction() as fencing:
            await event_log.fence(fencing, subject, 1)
            late = asyncio.create_task(append(database, event_log, subject, happened(1), epoch=0))
            await asyncio.sleep(0)
        with pytest.raises(AppendRefused):
            await late
        assert await event_log.read(subject, after=0) == []

    async def test_what_is_rolled_back_leaves_no_hole_and_is_not_published(
        self, database: Database, event_log: EventLog
    ) -> None:
        subject = await new_log(database, event_log)
        async with following(event_log, subject) as follower:
            with pytest.raises(Undone):
                await undone(database, event_log, subject)
            await append(database, event_log, subject, happened(2), ended())
            await follower.ends()
        assert [(event.sequence, event.payload) for event in follower.got] == [(1, {"number": 2}), (2, {})]

    async def test_events_come_with_the_change_they_tell_of_or_not_at_all(
        self, database: Database, event_log: EventLog
    ) -> None:
        subject = await new_log(database, event_log)
        async with database.transaction() as session:
            await event_log.append(session, subject, [happened(1)])
            assert await event_log.read(subject, after=0) == []
        assert len(await event_log.read(subject, after=0)) == 1

    @pytest.mark.parametrize(
        "payload",
        [
            {},
            {"text": "é🙂\n\"'\\ %s :name $1"},
            {"deep": [{"a": [None, True, 1.5, -(2**53)]}]},
            {"text": "x" * 100_000},
        ],
        ids=["empty", "characters", "nested", "large"],
    )
    async def test_a_payload_comes_back_as_it_was(
        self, database: Database, event_log: EventLog, payload: dict[str, object]
    ) -> None:
        subject = await new_log(database, event_log)
        async with following(event_log, subject) as live:
            await append(database, event_log, subject, happened(1, **payload), ended())
            await live.ends()
        assert live.got[0].payload == {"number": 1, **payload}
        assert live.got == await event_log.read(subject, after=0)


class TestDatabase:
    @pytest.mark.parametrize("statement", ["UPDATE events SET type = 'Other'", "DELETE FROM events"])
    async def test_events_never_change(self, database: Database, event_log: EventLog, statement: str) -> None:
        subject = await new_log(database, event_log)
        stored = await append(database, event_log, subject, happened(1))
        with pytest.raises(IntegrityError, match="is refused"):
            async with database.transaction() as session:
                await session.execute(text(f"{statement} WHERE subject_id = :subject"), {"subject": subject})
        assert await event_log.read(subject, after=0) == stored

    async def test_a_second_terminal_event_is_refused(self, database: Database, event_log: EventLog) -> None:
        subject = await new_log(database, event_log)
        await append(database, event_log, subject, ended())
        with pytest.raises(IntegrityError, match="events_one_terminal"):
            async with database.transaction() as session:
                session.add(Event(subject_id=subject, sequence=2, type="Ended", payload={}, is_terminal=True))

    async def test_a_sequence_is_given_once(self, database: Database, event_log: EventLog) -> None:
        subject = await new_log(database, event_log)
        await append(database, event_log, subject, happened(1))
        with pytest.raises(IntegrityError, match="events_pkey"):
            async with database.transaction() as session:
                session.add(Event(subject_id=subject, sequence=1, type="Happened", payload={}))


class TestRead:
    async def test_it_reads_a_page_after_a_position(self, database: Database, event_log: EventLog) -> None:
        subject, other = await new_log(database, event_log), await new_log(database, event_log)
        stored = await append(database, event_log, subject, *(happened(number) for number in range(5)))
        await append(database, event_log, other, happened(9))
        assert await event_log.read(subject, after=1, limit=3) == stored[1:4]
        assert await event_log.read(subject, after=5) == []


class TestHeads:
    async def test_a_subject_without_a_log_is_left_out(self, database: Database, event_log: EventLog) -> None:
        empty, filled = await new_log(database, event_log), await new_log(database, event_log)
        await append(database, event_log, filled, happened(1), happened(2))
        assert await event_log.heads({empty, filled, uuid4()}) == {empty: 0, filled: 2}
        assert await event_log.heads([]) == {}


class TestCheckPosition:
    async def test_a_position_of_the_future_is_refused(self, database: Database, event_log: EventLog) -> None:
        subject = await new_log(database, event_log)
        await append(database, event_log, subject, happened(1))
        await event_log.check_position(subject, 0)
        await event_log.check_position(subject, 1)
        for sequence in (2, 2**64 - 1):
            with pytest.raises(CursorInvalid):
                await event_log.check_position(subject, sequence)
        with pytest.raises(CursorInvalid):
            await event_log.check_position(uuid4(), 1)


class TestFollow:
    async def test_replay_then_live_from_any_cursor(self, database: Database, event_log: EventLog) -> None:
        subject = await new_log(database, event_log)
        await append(database, event_log, subject, *(happened(number) for number in range(1, 6)))
        followers = [asyncio.create_task(collect(event_log, subject, after=after)) for after in range(10)]
        for number in range(6, 10):
            await append(database, event_log, subject, happened(number))
        await append(database, event_log, subject, ended())
        for after, follower in enumerate(followers):
            assert [event.sequence for event in await follower] == list(range(after + 1, 11))

    async def test_a_replay_is_longer_than_a_page(self, database: Database, event_log: EventLog) -> None:
        subject = await new_log(database, event_log)
        await append(database, event_log, subject, *(happened(number) for number in range(PAGE * 2)), ended())
        got = await collect(event_log, subject)
        assert [event.sequence for event in got] == list(range(1, PAGE * 2 + 2))

    async def test_it_ends_at_once_from_the_end(self, database: Database, event_log: EventLog) -> None:
        subject = await new_log(database, event_log)
        await append(database, event_log, subject, happened(1), ended())
        assert await collect(event_log, subject, after=2) == []
        assert [event.type for event in await collect(event_log, subject, after=1)] == ["Ended"]

    async def test_it_ends_with_a_live_terminal_event(self, database: Database, event_log: EventLog) -> None:
        subject = await new_log(database, event_log)
        async with following(event_log, subject) as follower:
            await append(database, event_log, subject, happened(1))
            await follower.has(1)
            await append(database, event_log, subject, ended())
            await follower.ends()
        assert [(event.sequence, event.type) for event in follower.got] == [(1, "Happened"), (2, "Ended")]

    async def test_who_leaves_is_forgotten(self, database: Database, event_log: EventLog) -> None:
        subject = await new_log(database, event_log)
        await append(database, event_log, subject, happened(1))
        await collect(event_log, subject, until_seen=lambda got: len(got) == 1)
        assert not event_log._hub.follows(subject)

    async def test_writers_and_followers_of_two_processes_see_the_same(self, database: Database) -> None:
        async with (
            another(database) as second_database,
            running_log(database) as first,
            running_log(second_database) as second,
        ):
            subject = await new_log(database, first)
            async with (
                following(first, subject) as a,
                following(second, subject) as b,
                following(second, subject) as c,
            ):

                async def write(base: Database, log: EventLog) -> None:
                    for number in range(60):
                        await append(
                            base, log, subject, happened(number, padding="x" * (9000 if number % 9 == 0 else 9))
                        )

                await asyncio.gather(write(database, first), write(second_database, second))
                await append(second_database, second, subject, ended())
                for follower in (a, b, c):
                    await follower.ends()
            assert a.got == b.got == c.got == await first.read(subject, after=0, limit=200)
            assert a.sequences == list(range(1, 122))

    async def test_what_is_too_big_for_a_notification_arrives_all_the_same(
        self, database: Database, event_log: EventLog
    ) -> None:
        subject = await new_log(database, event_log)
        async with following(event_log, subject) as follower:
            for size in (7000, 7900, 8000, 9000, 1_000_000):
                await append(database, event_log, subject, happened(size, text="é" * size))
            await append(database, event_log, subject, ended())
            await follower.ends()
        assert [len(event.payload.get("text", "")) for event in follower.got] == [7000, 7900, 8000, 9000, 1_000_000, 0]
        assert follower.sequences == [1, 2, 3, 4, 5, 6]

    async def test_what_was_given_is_not_kept_while_the_next_is_waited_for(
        self, database: Database, event_log: EventLog
    ) -> None:
        subject = await new_log(database, event_log)
        await append(database, event_log, subject, happened(1))
        async with aclosing(event_log.follow(subject, after=0)) as events:
            assert len(await events.batch()) == 1
            waiting = asyncio.create_task(events.batch())
            await until(lambda: not count_kept(subject))
            await append(database, event_log, subject, happened(2))
            assert [event.sequence for event in await waiting] == [2]

    async def test_a_slow_reader_loses_nothing(self, database: Database, event_log: EventLog) -> None:
        subject = await new_log(database, event_log)
        count = MAILBOX_SIZE * 2 + 10
        await append(database, event_log, subject, happened(0))
        async with aclosing(event_log.follow(subject, after=0)) as events:
            got = [await anext(events)]
            async with following(event_log, subject, after=1) as fast:
                for start in range(1, count, 10):
                    numbers = range(start, min(start + 10, count))
                    await append(database, event_log, subject, *(happened(number) for number in numbers))
                await fast.has(count - 1)
            await append(database, event_log, subject, ended())
            got += [event async for event in events]
        assert [event.sequence for event in got] == list(range(1, count + 2))

    async def test_what_is_appended_between_registering_and_the_replay_comes_once(
        self, database: Database, event_log: EventLog, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        subject = await new_log(database, event_log)
        read, is_first = event_log.read, True

        async def late_read(*arguments: object, **options: object) -> list[StoredEvent]:
            nonlocal is_first
            if is_first:
                is_first = False
                assert event_log._hub.follows(subject)
                await append(database, event_log, subject, happened(1))
                (mailbox,) = event_log._hub._mailboxes[subject]
                await until(lambda: mailbox._held == 1)
            return await read(*arguments, **options)  # type: ignore[arg-type]  # handed on as they came

        monkeypatch.setattr(event_log, "read", late_read)
        async with following(event_log, subject) as follower:
            await follower.has(1)
            await append(database, event_log, subject, happened(2), ended())
            await follower.ends()
        assert follower.sequences == [1, 2, 3]

    async def test_what_is_appended_while_a_replay_is_read_comes_once(
        self, database: Database, event_log: EventLog
    ) -> None:
        subject = await new_log(database, event_log)
        await append(database, event_log, subject, *(happened(number) for number in range(3)))
        async with aclosing(event_log.follow(subject, after=0)) as events:
            got = [await anext(events)]
            await append(database, event_log, subject, happened(3), happened(4))
            got += [await anext(events), await anext(events), await anext(events)]
            await append(database, event_log, subject, ended())
            got += [event async for event in events]
        assert [event.sequence for event in got] == [1, 2, 3, 4, 5, 6]


class TestLiveEvents:
    async def test_stored_and_live_events_come_in_the_order_in_which_they_happened(
        self, database: Database, event_log: EventLog
    ) -> None:
        subject = await new_log(database, event_log)
        async with following(event_log, subject) as follower:
            await append(database, event_log, subject, delta(1), happened(2), delta(3), delta(4), happened(5), delta(6))
            await append(database, event_log, subject, delta(7), ended())
            await follower.ends()
        assert [event.payload.get("number") for event in follower.got] == [1, 2, 3, 4, 5, 6, 7, None]
        assert [event.sequence for event in follower.got] == [0, 1, 1, 1, 2, 2, 2, 3]
        assert [isinstance(event, LiveEvent) for event in follower.got] == [
            True,
            False,
            True,
            True,
            False,
            True,
            True,
            False,
        ]

    async def test_they_are_not_stored(self, database: Database, event_log: EventLog) -> None:
        subject = await new_log(database, event_log)
        await append(database, event_log, subject, delta(1), happened(2), ended())
        assert [event.type for event in await collect(event_log, subject)] == ["Happened", "Ended"]

    async def test_they_come_alone_too(self, database: Database, event_log: EventLog) -> None:
        subject = await new_log(database, event_log)
        await append(database, event_log, subject, happened(1))
        async with following(event_log, subject) as follower:
            await follower.has(1)
            event_log.publish_live(subject, 1, [delta(2), delta(3)])
            await follower.has(3)
        assert [(event.sequence, event.payload["number"]) for event in follower.got] == [(1, 1), (1, 2), (1, 3)]

    async def test_one_that_is_ahead_waits_for_the_stored_ones_before_it(self, database: Database) -> None:
        silent = EventLog(database)
        async with running_log(database) as log:
            subject = await new_log(database, log)
            async with following(log, subject) as follower:
                await append(database, silent, subject, happened(1), happened(2))
                log.publish_live(subject, 2, [delta(3)])
                await follower.has(3)
        assert [event.payload["number"] for event in follower.got] == [1, 2, 3]

    async def test_one_from_behind_is_dropped(self, database: Database, event_log: EventLog) -> None:
        subject = await new_log(database, event_log)
        async with following(event_log, subject) as follower:
            await append(database, event_log, subject, happened(1), happened(2))
            await follower.has(2)
            event_log.publish_live(subject, 1, [delta(3)])
            await append(database, event_log, subject, ended())
            await follower.ends()
        assert [event.type for event in follower.got] == ["Happened", "Happened", "Ended"]

    async def test_one_of_a_future_that_never_came_is_dropped(self, database: Database, event_log: EventLog) -> None:
        subject = await new_log(database, event_log)
        async with following(event_log, subject) as follower:
            event_log.publish_live(subject, 7, [delta(1)])
            event_log.publish_live(subject, 0, [delta(2)])
            await follower.has(1)
            await append(database, event_log, subject, ended())
            await follower.ends()
        assert [(event.type, event.payload.get("number")) for event in follower.got] == [("Delta", 2), ("Ended", None)]


class TestFailures:
    async def test_nothing_is_lost_when_the_connections_of_the_notifier_are_cut(
        self, fresh_database: FreshDatabase
    ) -> None:
        database = await fresh_database()
        async with running_log(database) as log:
            subject = await new_log(database, log)
            async with following(log, subject) as follower:
                for number in range(90):
                    if number % 30 == 10:
                        await cut_notifiers(database)
                    await append(database, log, subject, happened(number))
                await append(database, log, subject, ended())
                await follower.ends()
        assert follower.sequences == list(range(1, 92))

    async def test_a_signal_is_sent_again_when_the_connection_breaks(self, fresh_database: FreshDatabase) -> None:
        database = await fresh_database()
        heard = asyncio.Event()
        listener = await database._connect(application_name="listener")
        await listener.add_listener("work", lambda *_: heard.set())
        async with running_log(database) as log:
            for _ in range(2):
                heard.clear()
                log.notifier.signal("work")
                await until(heard.is_set)
                await cut_notifiers(database)
        await listener.close()

    async def test_what_waits_for_the_connection_is_sent_once_it_is_back(self, fresh_database: FreshDatabase) -> None:
        database = await fresh_database()
        async with running_log(database) as writer, running_log(database) as reader:
            subject = await new_log(database, writer)
            async with following(reader, subject) as follower:
                await append(database, writer, subject, happened(1))
                await follower.has(1)
                await cut_notifiers(database, of="SELECT pg_notify%")
                for number in (2, 3, 4):
                    writer.publish_live(subject, 1, [NewLiveEvent("Delta", {"number": number})])
                await follower.has(4)
        assert [event.payload["number"] for event in follower.got] == [1, 2, 3, 4]

    async def test_a_burst_of_live_events_reaches_who_follows(self, database: Database, event_log: EventLog) -> None:
        subject = await new_log(database, event_log)
        async with following(event_log, subject) as follower:
            await append(database, event_log, subject, happened(1))
            await follower.has(1)
            burst = [NewLiveEvent("Delta", {"number": number}) for number in range(2, 3 * MAILBOX_SIZE)]
            event_log.publish_live(subject, 1, burst)
            await follower.has(len(burst) + 1)
        assert [event.payload["number"] for event in follower.got] == [*range(1, 3 * MAILBOX_SIZE)]

    async def test_a_notification_that_was_never_sent_is_found_after_silence(
        self, database: Database, event_log: EventLog
    ) -> None:
        silent = EventLog(database)
        subject = await new_log(database, event_log)
        async with following(event_log, subject) as follower:
            await append(database, silent, subject, happened(1), ended())
            await follower.ends()
        assert follower.sequences == [1, 2]

    async def test_a_follower_outlives_a_database_that_is_away(
        self, fresh_database: FreshDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(log_module, "SILENCE_SECONDS", 0.2)
        database = await fresh_database()
        async with running_log(database) as log:
            subject = await new_log(database, log)
            async with following(log, subject) as follower:
                await append(database, log, subject, happened(1))
                await follower.has(1)
                async with another(Database(database.url.set(database="postgres"))) as elsewhere:
                    await refuse_connections(elsewhere, database, is_refused=True)
                    with pytest.raises(DATABASE_ERRORS):
                        await log.heads([subject])
                    with capture_logs() as logged:
                        async with following(log, subject) as late:
                            await until(lambda: {entry["event"] for entry in logged} >= WARNINGS)
                            assert late.got == []
                            await refuse_connections(elsewhere, database, is_refused=False)
                            await append(database, EventLog(database), subject, ended())
                            await follower.ends()
                            await late.ends()
        assert follower.sequences == late.sequences == [1, 2]


async def undone(database: Database, log: EventLog, subject: UUID) -> None:
    """Append in a transaction that is rolled back."""
    async with database.transaction() as session:
        await log.append(session, subject, [happened(1), delta(1)])
        raise Undone


async def cut_notifiers(database: Database, *, of: str = "%") -> None:
    """Cut the notifiers' connections whose last statement is like a pattern, from the server's side."""
    cut = text("""
        SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
        WHERE application_name = 'orchestrator-notifier' AND datname = current_database() AND query LIKE :pattern
    """)
    async with database.transaction() as session:
        await session.execute(cut, {"pattern": of})


async def refuse_connections(elsewhere: Database, database: Database, *, is_refused: bool) -> None:
    """Cut all connections to a database and take no more, or take them again."""
    connection = await elsewhere.connect()
    try:
        name = database.url.database
        await connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {not is_refused}")
        if is_refused:
            await connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1", name
            )
    finally:
        await connection.close()
