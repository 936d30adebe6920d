import asyncio
from datetime import UTC, datetime
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.waiting import until

from graphql_api.events.hub import Hub
from graphql_api.events.notifier import BACKLOG, MAX_NOTIFICATION_BYTES, Notifier
from graphql_api.events.records import LiveEvent, StoredEvent
from graphql_api.kit.database import Database

pytestmark = pytest.mark.anyio

SUBJECT = UUID("11111111-2222-4333-8444-555555555555")
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
PAYLOADS = st.dictionaries(st.text(), JSON_VALUES | st.integers(0, 9000).map(lambda size: "é" * size))
MOMENTS = st.datetimes(timezones=st.just(UTC))
EVENTS = st.builds(
    StoredEvent, st.just(SUBJECT), st.integers(1, 2**63 - 1), st.text(min_size=1), PAYLOADS, MOMENTS, st.booleans()
) | st.builds(LiveEvent, st.just(SUBJECT), st.integers(0, 2**63 - 1), st.text(min_size=1), PAYLOADS, MOMENTS)


def drained(notifier: Notifier) -> list[str]:
    notifications = []
    while notifier._waiting:
        notifications += notifier._take_notifications()
    return notifications


async def receive(notifier: Notifier, notifications: list[str]) -> None:
    for notification in notifications:
        notifier._receive(None, 0, "", notification)
    await asyncio.sleep(0)


def stored(sequence: int, **payload: object) -> StoredEvent:
    return StoredEvent(SUBJECT, sequence, "Happened", payload, datetime(2026, 1, 2, tzinfo=UTC), is_terminal=False)


class TestNotifications:
    @given(st.lists(EVENTS, max_size=8))
    async def test_every_event_arrives_whole_or_as_a_pointer_and_fits(
        self, database: Database, events: list[StoredEvent | LiveEvent]
    ) -> None:
        hub = Hub()
        notifier = Notifier(database, hub)
        notifier.publish(events)
        with hub.register(SUBJECT) as mailbox:
            notifications = drained(notifier)
            assert all(len(notification.encode()) <= MAX_NOTIFICATION_BYTES for notification in notifications)
            await receive(notifier, notifications)
            arrived = [event for batch in mailbox.take() for event in batch]
            pointed = [event for event in events if event not in arrived]
            assert arrived == [event for event in events if event in arrived]
            assert all(len(orjson.dumps(event.payload)) > 7000 for event in pointed)
            assert mailbox._pointed == max((event.sequence for event in pointed), default=0)

    async def test_small_events_travel_together(self, database: Database) -> None:
        notifier = Notifier(database, Hub())
        notifier.publish(stored(number) for number in range(1, 101))
        notifications = drained(notifier)
        assert len(notifications) == 2
        assert sum(len(orjson.loads(notification)) for notification in notifications) == 100

    async def test_what_is_read_at_once_is_one_batch(self, database: Database) -> None:
        hub = Hub()
        notifier = Notifier(database, hub)
        notifier.publish(stored(number, text="x" * 1000) for number in range(1, 101))
        notifications = notifier._take_notifications()
        assert (len(notifications), notifier.backlog) == (15, 0)
        with hub.register(SUBJECT) as mailbox:
            await receive(notifier, notifications)
            (batch,) = mailbox.take()
        assert [event.sequence for event in batch] == [*range(1, 101)]

    async def test_what_nobody_can_read_takes_nothing_else_with_it(self, database: Database) -> None:
        hub = Hub()
        notifier = Notifier(database, hub)
        notifier.publish([stored(1), stored(2)])
        with hub.register(SUBJECT) as mailbox:
            notifier._receive(None, 0, "", f'[["{SUBJECT}", 1]]')
            with pytest.raises(TypeError):
                notifier._receive(None, 0, "", f'[["{SUBJECT}", 3, "of a later release"]]')
            await receive(notifier, drained(notifier))
            (batch,) = mailbox.take()
        assert [event.sequence for event in batch] == [1, 2]

    async def test_more_than_one_statement_takes_arrives_in_order(self, database: Database) -> None:
        hub = Hub()
        notifier = Notifier(database, hub)
        running = asyncio.create_task(notifier.run())
        await notifier.listening.wait()
        arrived: list[int] = []
        with hub.register(SUBJECT) as mailbox:
            mailbox.must_read(0)
            notifier.publish(stored(number, text="x" * 3000) for number in range(1, 101))
            while len(arrived) < 100:
                await mailbox.arrival()
                arrived += [event.sequence for batch in mailbox.take() for event in batch]
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert arrived == [*range(1, 101)]

    async def test_what_nobody_here_follows_is_dropped(self, database: Database) -> None:
        hub = Hub()
        notifier = Notifier(database, hub)
        notifier.publish([stored(1), stored(2, text="x" * 9000)])
        await receive(notifier, drained(notifier))
        assert hub._mailboxes == {}

    async def test_a_backlog_keeps_the_newest(self, database: Database) -> None:
        notifier = Notifier(database, Hub())
        notifier.publish(stored(number) for number in range(BACKLOG + 5))
        assert len(notifier._waiting) == BACKLOG
        assert orjson.loads(notifier._waiting[0])[1] == 5

    async def test_signals_that_wait_together_are_one(self, database: Database) -> None:
        heard: list[str] = []
        listener = await database.connect()
        for channel in ("test_first", "test_second", "test_last"):
            await listener.add_listener(channel, lambda _connection, _pid, channel, _payload: heard.append(channel))
        notifier = Notifier(database, Hub())
        for _ in range(5):
            notifier.signal("test_first")
            notifier.signal("test_second")
        running = asyncio.create_task(notifier.run())
        await until(lambda: len(heard) >= 2)
        notifier.signal("test_last")
        await until(lambda: "test_last" in heard)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await listener.close()
        assert sorted(heard) == ["test_first", "test_last", "test_second"]
