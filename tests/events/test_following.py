from datetime import UTC, datetime
from itertools import pairwise
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphql_api.events.following import Place, following
from graphql_api.events.hub import Ending, Mailbox
from graphql_api.events.records import LiveEvent, StoredEvent
from graphql_api.kit.batches import Batch
from graphql_api.kit.errors import Forbidden

pytestmark = pytest.mark.anyio

_SUBJECT = UUID("11111111-2222-4333-8444-555555555555")
_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_LENGTH = 8


def stored(sequence: int) -> StoredEvent:
    return StoredEvent(_SUBJECT, sequence, "Happened", {}, _NOW, is_terminal=sequence == _LENGTH)


def live(sequence: int) -> LiveEvent:
    return LiveEvent(_SUBJECT, sequence, "Delta", {}, _NOW)


async def read(position: int) -> Batch[StoredEvent]:
    return Batch(map(stored, range(position + 1, _LENGTH + 1)))


class TestFollowing:
    async def test_who_loses_access_while_the_log_is_read_gets_nothing_of_it(self) -> None:
        ending, subject = Ending(), uuid4()

        async def read(_position: int) -> Batch[StoredEvent]:
            ending.end(Forbidden("Not any more."))
            return Batch([StoredEvent(subject, 1, "Happened", {}, datetime(2026, 1, 1, tzinfo=UTC), is_terminal=False)])

        with pytest.raises(Forbidden):
            await following(Place(0), Mailbox(), read, ending)

    async def test_a_batch_that_follows_is_handed_on_as_it_is(self) -> None:
        mailbox, place = Mailbox(), Place(2, is_behind=False)
        batches = [Batch(map(stored, (3, 4))), Batch([live(4), live(4)]), Batch([stored(5), live(5)])]
        for batch in batches:
            mailbox.put(batch, 0.0)
        for batch in batches:
            assert await following(place, mailbox, read, Ending()) is batch
        assert place.position == 5

    @given(
        arrivals=st.lists(
            st.lists(st.integers(1, _LENGTH).map(stored) | st.integers(0, _LENGTH).map(live)), max_size=9
        ),
        position=st.integers(0, _LENGTH - 1),
        is_behind=st.booleans(),
    )
    async def test_whatever_arrives_every_stored_event_comes_once_and_in_order(
        self, arrivals: list[list[StoredEvent | LiveEvent]], position: int, *, is_behind: bool
    ) -> None:
        mailbox, place, given = Mailbox(), Place(position, is_behind=is_behind), list[StoredEvent | LiveEvent]()
        for arrived in arrivals:
            if arrived:
                mailbox.put(Batch(arrived), 0.0)
        mailbox.point(_LENGTH, 0.0)
        while batch := await following(place, mailbox, read, Ending()):
            given += batch
        sequences = [event.sequence for event in given if isinstance(event, StoredEvent)]
        assert sequences == list(range(position + 1, _LENGTH + 1))
        for before, event in pairwise(given):
            assert event.sequence == before.sequence + isinstance(event, StoredEvent)
