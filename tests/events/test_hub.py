from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from graphql_api.events.hub import MAILBOX_SIZE, Hub, Mailbox
from graphql_api.events.records import StoredEvent
from graphql_api.kit.batches import Batch

pytestmark = pytest.mark.anyio

SUBJECT = UUID("11111111-2222-4333-8444-555555555555")
_MOMENT = 1.0


def stored(sequence: int) -> StoredEvent:
    return StoredEvent(SUBJECT, sequence, "Happened", {}, datetime(2026, 1, 2, tzinfo=UTC), is_terminal=False)


def taken(mailbox: Mailbox) -> list[int]:
    return [event.sequence for batch in mailbox.take() for event in batch]


class TestMailbox:
    async def test_events_are_taken_in_the_order_of_their_arrival(self) -> None:
        mailbox = Mailbox()
        for sequence in (1, 3, 2):
            mailbox.put(Batch([stored(sequence)]), _MOMENT)
        assert taken(mailbox) == [1, 3, 2]
        assert not mailbox.must_read(0)

    async def test_a_full_one_is_emptied_and_sends_its_owner_to_the_log_once(self) -> None:
        mailbox = Mailbox()
        for sequence in range(1, MAILBOX_SIZE + 2):
            mailbox.put(Batch([stored(sequence)]), _MOMENT)
        mailbox.put(Batch([stored(MAILBOX_SIZE + 2)]), _MOMENT)
        assert taken(mailbox) == [MAILBOX_SIZE + 2]
        assert mailbox.must_read(0)
        assert not mailbox.must_read(0)

    async def test_what_arrives_at_once_is_not_too_much_where_nothing_waits(self) -> None:
        mailbox = Mailbox()
        burst = [stored(sequence) for sequence in range(1, MAILBOX_SIZE + 2)]
        mailbox.put(Batch(burst), _MOMENT)
        assert len(taken(mailbox)) == len(burst)
        mailbox.put(Batch(burst), _MOMENT)
        assert not mailbox.must_read(0)
        mailbox.put(Batch([stored(MAILBOX_SIZE + 2)]), _MOMENT)
        assert taken(mailbox) == []
        assert mailbox.must_read(0)

    async def test_a_pointer_sends_those_to_the_log_who_are_behind_it(self) -> None:
        mailbox = Mailbox()
        mailbox.point(5, _MOMENT)
        mailbox.point(3, _MOMENT)
        assert mailbox.must_read(4)
        mailbox.point(5, _MOMENT)
        assert not mailbox.must_read(5)

    async def test_an_arrival_wakes_once(self) -> None:
        mailbox = Mailbox()
        mailbox.miss()
        await mailbox.arrival()
        assert not mailbox._arrived.is_set()
        assert mailbox.must_read(100)


class TestHub:
    async def test_only_those_who_follow_a_subject_hear_of_it(self) -> None:
        hub = Hub()
        with hub.register(SUBJECT) as first, hub.register(SUBJECT) as second, hub.register(uuid4()) as other:
            hub.deliver(SUBJECT, [stored(1)])
            hub.point(SUBJECT, 2)
            assert taken(first) == taken(second) == [1]
            assert taken(other) == []
            assert first.must_read(1)
            assert not other.must_read(0)

    async def test_all_who_follow_are_handed_the_same_batch(self) -> None:
        hub = Hub()
        with hub.register(SUBJECT) as first, hub.register(SUBJECT) as second:
            hub.deliver(SUBJECT, [stored(1), stored(2)])
            (batch,) = first.take()
            assert second.take() == [batch]
            assert second.take() == []
            hub.deliver(SUBJECT, [stored(3)])
            assert first.take()[0] is second.take()[0]

    async def test_it_forgets_a_subject_with_its_last_follower(self) -> None:
        hub = Hub()
        with hub.register(SUBJECT):
            with hub.register(SUBJECT):
                assert hub.follows(SUBJECT)
            assert hub.follows(SUBJECT)
        assert not hub.follows(SUBJECT)
        hub.deliver(SUBJECT, [stored(1)])
        hub.point(SUBJECT, 1)
        assert hub._mailboxes == {}

    async def test_everybody_may_have_missed_something(self) -> None:
        hub = Hub()
        with hub.register(SUBJECT) as first, hub.register(uuid4()) as second:
            hub.miss_everything()
            assert first.must_read(9)
            assert second.must_read(9)

    async def test_those_who_heard_nothing_are_silent_until_they_are_told_how_far_the_log_is(self) -> None:
        hub = Hub()
        with hub.register(SUBJECT) as mailbox:
            opened = mailbox.heard_at
            assert hub.silent_since(opened - 1) == set()
            assert hub.silent_since(opened) == {SUBJECT}
            mailbox.heard_at = opened - 10
            hub.reconcile({SUBJECT: 3, uuid4(): 4})
            assert hub.silent_since(opened - 1) == set()
            assert mailbox.must_read(2)
