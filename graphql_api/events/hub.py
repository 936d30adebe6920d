"""Who follows what in this process, and what has arrived for them."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from uuid import UUID

from graphql_api.events.records import LiveEvent, StoredEvent
from graphql_api.kit import metrics
from graphql_api.kit.batches import Batch
from graphql_api.kit.signals import Signal

MAILBOX_SIZE = 256
"""Events that wait for one follower beside the first that arrived at once; a slower one goes back to the log."""

_SLOW = metrics.counter("slow_readers", "Times that a follower read too slowly, and went back to the log.")


class Ending:
    """Ends a follower from outside, such as when its reader loses access."""

    __slots__ = ("_error", "_mailbox")

    def __init__(self) -> None:
        self._error: Exception | None = None
        self._mailbox: Mailbox | None = None

    def end(self, error: Exception) -> None:
        """Let the follower raise an error instead of giving anything more."""
        self._error = error
        if self._mailbox is not None:
            self._mailbox.wake()

    def attach(self, mailbox: "Mailbox") -> None:
        """Take the mailbox that the follower waits at."""
        self._mailbox = mailbox

    def check(self) -> None:
        """Raise the error, if the follower is to end."""
        if self._error is not None:
            raise self._error


class Mailbox:
    """What has arrived for one follower since it looked last."""

    __slots__ = ("_arrived", "_batches", "_held", "_must_read", "_pointed", "heard_at")

    def __init__(self) -> None:
        self._batches: list[Batch[StoredEvent | LiveEvent]] = []
        self._held = 0
        self._arrived = Signal()
        self._must_read = False
        self._pointed = 0
        self.heard_at = asyncio.get_running_loop().time()

    def put(self, events: Batch[StoredEvent | LiveEvent], moment: float) -> None:
        """Hand over events; when too many wait the content of the box goes, and the log is to be read instead.

        Args:
            events: All that arrived at once. Nobody is slow for whom nothing waits, however many they are.
            moment: Of the loop's clock.
        """
        if self._held and self._held + len(events) > MAILBOX_SIZE:
            self.take()
            self._must_read = True
            _SLOW.inc()
        else:
            self._batches.append(events)
            self._held += len(events)
        self.heard_at = moment
        self._arrived.set()

    def point(self, sequence: int, moment: float) -> None:
        """Tell, at a moment of the loop's clock, of an event that is only in the log."""
        self._pointed = max(self._pointed, sequence)
        self.heard_at = moment
        self._arrived.set()

    def miss(self) -> None:
        """Tell that something may have been missed."""
        self._must_read = True
        self.wake()

    def must_read(self, position: int) -> bool:
        """Tell whether a follower at a position has to go to the log; asking is taking note of it."""
        answer = self._must_read or self._pointed > position
        self._must_read, self._pointed = False, 0
        return answer

    def take(self) -> list[Batch[StoredEvent | LiveEvent]]:
        """Take out all that arrived, the oldest first."""
        taken, self._batches, self._held = self._batches, [], 0
        return taken

    async def arrival(self) -> None:
        """Wait until there is something to look at."""
        await self._arrived.wait()
        self._arrived.clear()

    def wake(self) -> None:
        """Let the follower look up, though nothing has arrived."""
        self._arrived.set()


class Hub:
    """The mailboxes of all followers in this process, by subject."""

    def __init__(self) -> None:
        self._mailboxes: dict[UUID, set[Mailbox]] = {}

    @contextmanager
    def register(self, subject: UUID) -> Iterator[Mailbox]:
        """Open a mailbox for a subject while the context lasts."""
        mailbox = Mailbox()
        self._mailboxes.setdefault(subject, set()).add(mailbox)
        try:
            yield mailbox
        finally:
            mailboxes = self._mailboxes[subject]
            mailboxes.discard(mailbox)
            if not mailboxes:
                del self._mailboxes[subject]

    @property
    def is_empty(self) -> bool:
        """Tell whether nobody here follows anything."""
        return not self._mailboxes

    def follows(self, subject: UUID) -> bool:
        """Tell whether anybody here follows a subject."""
        return subject in self._mailboxes

    def deliver(self, subject: UUID, events: Sequence[StoredEvent | LiveEvent]) -> None:
        """Hand events to all who follow their subject."""
        if events:
            batch, moment = Batch(events), asyncio.get_running_loop().time()
            for mailbox in self._mailboxes.get(subject, ()):
                mailbox.put(batch, moment)

    def point(self, subject: UUID, sequence: int) -> None:
        """Tell all who follow a subject how far its log is."""
        moment = asyncio.get_running_loop().time()
        for mailbox in self._mailboxes.get(subject, ()):
            mailbox.point(sequence, moment)

    def miss_everything(self) -> None:
        """Tell every follower that something may have been missed."""
        for mailboxes in self._mailboxes.values():
            for mailbox in mailboxes:
                mailbox.miss()

    def silent_since(self, moment: float) -> set[UUID]:
        """Name the subjects of which some follower has heard nothing since a moment of the loop's clock."""
        return {
            subject
            for subject, mailboxes in self._mailboxes.items()
            if any(mailbox.heard_at <= moment for mailbox in mailboxes)
        }

    def reconcile(self, heads: Mapping[UUID, int]) -> None:
        """Compare what followers have heard of with how far the logs are."""
        for subject, sequence in heads.items():
            self.point(subject, sequence)
