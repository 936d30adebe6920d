"""How a follower joins what is stored with what arrives."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from graphql_api.events.hub import Ending, Mailbox
from graphql_api.events.pages import PAGE
from graphql_api.events.records import LiveEvent, StoredEvent
from graphql_api.kit.batches import Batch

ReadPage = Callable[[int], Awaitable[Batch[StoredEvent]]]
"""Reads the events after a position, to the end of its page."""


@dataclass(slots=True)
class Place:
    """Where a follower is.

    Attributes:
        position: Sequence of the last event that it was given.
        is_over: Whether that one was terminal.
        is_behind: Whether the log has to be read before anything that arrived.
        is_live: Whether the last batch arrived by itself, rather than being read.
    """

    position: int
    is_over: bool = False
    is_behind: bool = True
    is_live: bool = False
    _arrived: list[Batch[StoredEvent | LiveEvent]] = field(default_factory=list)
    _is_second_look: bool = False

    def arrive(self, mailbox: Mailbox) -> bool:
        """Take what has arrived; False when there is nothing to look at."""
        self._arrived = self._arrived or mailbox.take()
        return bool(self._arrived)

    def read(self, page: Batch[StoredEvent]) -> None:
        """Move on past a page of the log."""
        self.is_behind, self.is_live = bool(page) and page[-1].sequence % PAGE == 0, False
        if page:
            self.position, self.is_over = page[-1].sequence, page[-1].is_terminal

    def advance(self) -> Batch[StoredEvent | LiveEvent]:
        """Give what of the next batch follows without a hole; at a hole, the log has to be read first."""
        self.is_live = True
        batch = self._arrived[0]
        if batch.made(_start_of_run) != self.position:
            return self._advance_singly(batch)
        self._is_second_look = False
        self.position, self.is_over = batch[-1].sequence, _is_terminal(batch[-1])
        return self._arrived.pop(0)

    def _advance_singly(self, batch: Batch[StoredEvent | LiveEvent]) -> Batch[StoredEvent | LiveEvent]:
        given: list[StoredEvent | LiveEvent] = []
        for number, event in enumerate(batch):
            if event.sequence == self.position + isinstance(event, StoredEvent):
                given.append(event)
                self.position, self.is_over = event.sequence, _is_terminal(event)
                if self.is_over:
                    break
            elif event.sequence > self.position and not self._is_second_look:
                self.is_behind = self._is_second_look = True
                self._arrived[0] = Batch(batch[number:])
                break
            # Else it was given already; or the log does not show it yet, and will.
            self._is_second_look = False
        else:
            self._arrived.pop(0)
        return batch if len(given) == len(batch) else Batch(given)


def _is_terminal(event: StoredEvent | LiveEvent) -> bool:
    return isinstance(event, StoredEvent) and event.is_terminal


def _start_of_run(batch: Batch[StoredEvent | LiveEvent]) -> int:
    """Give the position that all of a batch follows without a hole; -1 when there is none."""
    start = position = batch[0].sequence - isinstance(batch[0], StoredEvent)
    is_over = False
    for event in batch:
        position += isinstance(event, StoredEvent)
        if is_over or event.sequence != position:
            return -1
        is_over = _is_terminal(event)
    return start


async def following(place: Place, mailbox: Mailbox, read: ReadPage, ending: Ending) -> Batch[StoredEvent | LiveEvent]:
    """Wait for the events after a place, each of which is given once and in order; none after the terminal one.

    Args:
        place: Where the follower is, and then where it is with what was given.
        mailbox: Registered before the first call: otherwise what arrives before it is would be missed.
        read: Reads the log.
        ending: Ends it from outside.
    """
    batch: Batch[StoredEvent | LiveEvent] = Batch()
    while not batch and not place.is_over:
        ending.check()
        if place.is_behind:
            page = await read(place.position)
            ending.check()
            place.read(page)
            batch = page
        elif place.arrive(mailbox):
            batch = place.advance()
        else:
            place.is_behind = mailbox.must_read(place.position)
            if not place.is_behind:
                await mailbox.arrival()
    return batch
