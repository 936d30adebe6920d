"""Pages of logs, read once for all followers of this process that are behind."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from time import monotonic
from uuid import UUID

import orjson

from graphql_api.events.records import StoredEvent
from graphql_api.kit.batches import Batch

PAGE = 100
"""Events read at once while a follower catches up; what a reader that never reads keeps in memory."""

MAX_PAGES = 32
"""Whole pages that are kept; the least recently used ones are forgotten first."""

KEPT_SECONDS = 10.0
"""How long a page is kept after it was read: those who come back after a restart come back together."""

MAX_PAGE_BYTES = 512 * 1024
"""A page whose payloads take more as JSON is not kept."""

Key = tuple[UUID, int]


@dataclass(slots=True)
class _Reading:
    """A page that is being read.

    Attributes:
        lock: Held by whoever reads it.
        waiting: How many want it.
        began: When the last reading of it began, in steps of the clock of `Pages`.
        page: What that reading gave.
    """

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0
    began: int = -1
    page: Batch[StoredEvent] = field(default_factory=Batch)


class Pages:
    """Reads logs page by page. When a thousand clients come back after a restart, each page is read once.

    Pages begin at fixed positions, so that followers at different positions share them. Events never change: a whole
    page is kept for a while. One that is still being filled is shared only by those who asked for it before its reading
    began, since each of them may know of events that were committed a moment ago.

    Args:
        read: Reads up to `PAGE` events of a log after a position.
    """

    def __init__(self, read: Callable[[UUID, int], Awaitable[list[StoredEvent]]]) -> None:
        self._read = read
        self._kept: OrderedDict[Key, tuple[Batch[StoredEvent], float]] = OrderedDict()
        self._readings: dict[Key, _Reading] = {}
        self._clock = count()

    async def after(self, subject: UUID, position: int) -> Batch[StoredEvent]:
        """Give the events after a position, to the end of its page; none when the log is not longer."""
        passed = position % PAGE
        page = await self._page((subject, position - passed))
        return page.made(_rest, passed) if passed else page

    async def _page(self, key: Key) -> Batch[StoredEvent]:
        kept = self._kept.get(key)
        if kept is not None and monotonic() - kept[1] < KEPT_SECONDS:
            self._kept.move_to_end(key)
            return kept[0]
        reading, asked = self._readings.setdefault(key, _Reading()), next(self._clock)
        reading.waiting += 1
        try:
            async with reading.lock:
                if reading.began < asked:
                    began = next(self._clock)
                    reading.page = Batch(await self._read(*key))
                    reading.began = began
                    self._keep(key, reading.page)
                return reading.page
        finally:
            reading.waiting -= 1
            if not reading.waiting:
                del self._readings[key]

    def _keep(self, key: Key, page: Batch[StoredEvent]) -> None:
        if len(page) == PAGE and sum(len(orjson.dumps(event.payload)) for event in page) <= MAX_PAGE_BYTES:
            moment = monotonic()
            for old in [old for old, (_, read_at) in self._kept.items() if moment - read_at >= KEPT_SECONDS]:
                del self._kept[old]
            self._kept[key] = page, moment
            if len(self._kept) > MAX_PAGES:
                self._kept.popitem(last=False)


def _rest(page: Batch[StoredEvent], passed: int) -> Batch[StoredEvent]:
    return Batch(page[passed:])
