"""Pieces of messages while they are written: all, joined, or none."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from enum import Enum

from graphql_api.events.records import LiveEvent, StoredEvent
from graphql_api.kit.batches import Batch, Batched

COALESCE_SECONDS = 0.05
"""How long pieces are joined before they are sent."""


class DeltaMode(Enum):
    """Which pieces of messages a subscription carries."""

    ALL = "ALL"
    COALESCED = "COALESCED"
    NONE = "NONE"


def with_deltas(events: Batched[StoredEvent | LiveEvent], mode: DeltaMode) -> Batched[StoredEvent | LiveEvent]:
    """Pass stored events on as they are, and live ones as the mode says.

    A piece that comes again, because a worker took a run over, is cut to what is new of it.
    """
    return Batched(_joined(events) if mode is DeltaMode.COALESCED else _chosen(events, mode))


async def _chosen(
    events: Batched[StoredEvent | LiveEvent], mode: DeltaMode
) -> AsyncGenerator[Sequence[StoredEvent | LiveEvent]]:
    fresh = _Fresh()
    async with aclosing(events):
        while batch := await events.batch():
            chosen = fresh.of(batch)
            if mode is DeltaMode.NONE and not chosen.made(_is_stored):
                chosen = Batch(event for event in chosen if isinstance(event, StoredEvent))
            if chosen:
                yield chosen
            del batch, chosen


class _Fresh:
    """Cuts from each piece what its message has been given already."""

    def __init__(self) -> None:
        self._given: dict[str, int] = {}

    def of(self, batch: Batch[StoredEvent | LiveEvent]) -> Batch[StoredEvent | LiveEvent]:
        """Give what is new in a batch: if that is all of it, the batch itself, which others were handed too."""
        if not self._given and batch.made(_is_stored):
            return batch
        fresh = Batch(self._of(batch))
        return batch if fresh == batch else fresh

    def _of(self, batch: Sequence[StoredEvent | LiveEvent]) -> Iterator[StoredEvent | LiveEvent]:
        for event in batch:
            if isinstance(event, StoredEvent):
                if self._given:
                    self._given.pop(str(event.payload.get("message_id")), None)
                yield event
            else:
                piece = self._cut(event)
                if piece is not None:
                    yield piece

    def _cut(self, event: LiveEvent) -> LiveEvent | None:
        message, offset, text = event.payload["message_id"], event.payload["offset"], event.payload["text"]
        known = self._given.get(message, 0)
        if offset + len(text) <= known:
            return None
        start = max(offset, known) if known else offset
        self._given[message] = offset + len(text)
        if start == offset:
            return event  # as it is, so that all who follow share what is made of it
        return replace(event, payload={**event.payload, "offset": start, "text": text[start - offset :]})


async def _joined(events: Batched[StoredEvent | LiveEvent]) -> AsyncGenerator[Sequence[StoredEvent | LiveEvent]]:
    """Hold a piece back for a moment, and join to it what follows of the same message."""
    clock = asyncio.get_running_loop().time
    fresh, held, due = _Fresh(), None, 0.0
    following: asyncio.Future[Batch[StoredEvent | LiveEvent]] | None = None
    async with aclosing(events):
        try:
            while True:
                if held is not None:
                    # Only while a piece waits for another there is a task: most events pass without one.
                    following = following or asyncio.ensure_future(events.batch())
                    # However steadily pieces come, none waits longer than the first of those that are joined.
                    await asyncio.wait({following}, timeout=max(0.0, due - clock()))
                    if clock() >= due or not following.done():
                        yield [held]
                        held = None
                        continue
                batch = await (following or events.batch())
                following = None
                passed, still_held = _join_all(held, fresh.of(batch)) if batch else ([held] if held else [], None)
                if passed:
                    yield passed
                if not batch:
                    return
                if still_held is not None and (held is None or passed):
                    due = clock() + COALESCE_SECONDS
                held = still_held
                del batch, passed
        finally:
            if following is not None:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)


def _join_all(
    held: LiveEvent | None, events: Batch[StoredEvent | LiveEvent]
) -> tuple[Sequence[StoredEvent | LiveEvent], LiveEvent | None]:
    """Join what belongs together; give what is complete, and the piece that waits for more."""
    if held is None and events.made(_is_stored):
        return events, None
    passed: list[StoredEvent | LiveEvent] = []
    for event in events:
        joined = _join(held, event)
        if joined is not None:
            held = joined
            continue
        if held is not None:
            passed.append(held)
            held = None
        if isinstance(event, LiveEvent):
            held = event
        else:
            passed.append(event)
    return passed, held


def _is_stored(events: Batch[StoredEvent | LiveEvent]) -> bool:
    return all(isinstance(event, StoredEvent) for event in events)


def _join(held: LiveEvent | None, event: StoredEvent | LiveEvent) -> LiveEvent | None:
    """Join two pieces that belong together; None when they do not."""
    if held is None or isinstance(event, StoredEvent) or event.sequence != held.sequence:
        return None
    first, second = held.payload, event.payload
    end = first["offset"] + len(first["text"])
    if second["message_id"] != first["message_id"] or second["offset"] != end:
        return None
    return replace(event, payload={**first, "text": first["text"] + second["text"]})
