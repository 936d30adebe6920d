"""How a follower joins what is stored with what arrives."""

from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from graphql_api.events.hub import Ending, Mailbox
from graphql_api.events.pages import PAGE
from graphql_api.events.records import LiveEvent, StoredEvent

ReadPage = Callable[[int], Awaitable[Sequence[StoredEvent]]]
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
    _arrived: deque[StoredEvent | LiveEvent] = field(default_factory=deque)
    _is_second_look: bool = False

    def arrive(self, mailbox: Mailbox) -> bool:
        """Take what has arrived; False when there is nothing to look at."""
        self._arrived = self._arrived or mailbox.take()
        return bool(self._arrived)

    def read(self, page: Sequence[StoredEvent]) -> None:
        """Move on past a page of the log."""
        self.is_behind, self.is_live = bool(page) and page[-1].sequence % PAGE == 0, False
        if page:
            self.position, self.is_over = page[-1].sequence, page[-1].is_terminal

    def advance(self) -> list[StoredEvent | LiveEvent]:
        """Give what arrived and follows without a hole; at a hole, the log has to be read first."""
        given: list[StoredEvent | LiveEvent] = []
        self.is_live = True
        while self._arrived and not self.is_over:
            event = self._arrived[0]
            is_stored = isinstance(event, StoredEvent)
            if event.sequence == self.position + is_stored:
                given.append(event)
                self.position, self.is_over = event.sequence, isinstance(event, StoredEvent) and event.is_terminal
            elif event.sequence > self.position and not self._is_second_look:
                self.is_behind = self._is_second_look = True
                break
            # Else it was given already; or the log does not show it yet, and will.
            self._is_second_look = False
            self._arrived.popleft()
        return given


async def followed(
    place: Place, mailbox: Mailbox, read: ReadPage, ending: Ending
) -> AsyncGenerator[Sequence[StoredEvent | LiveEvent], None]:
    """Give every event after a place once, in order; ends after the terminal one.

    Args:
        place: Where to begin.
        mailbox: Registered already: otherwise what arrives before it is would be missed.
        read: Reads the log.
        ending: Ends it from outside.
    """
    ending.attach(mailbox)
    batch: Sequence[StoredEvent | LiveEvent]
    while not place.is_over:
        ending.check()
        if place.is_behind:
            page = await read(place.position)
            ending.check()
            place.read(page)
            batch = page
        elif place.arrive(mailbox):
            batch = place.advance()
        else:
            batch = ()
            place.is_behind = mailbox.must_read(place.position)
            if not place.is_behind:
                await mailbox.arrival()
        if batch:
            yield batch
