"""Pieces of messages while they are written: all, joined, or none."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from enum import Enum

from graphql_api.events.records import LiveEvent, StoredEvent

COALESCE_SECONDS = 0.05
"""How long pieces are joined before they are sent."""


class DeltaMode(Enum):
    """Which pieces of messages a subscription carries."""

    ALL = "ALL"
    COALESCED = "COALESCED"
    NONE = "NONE"


async def with_deltas(
    events: AsyncGenerator[StoredEvent | LiveEvent], mode: DeltaMode
) -> AsyncGenerator[StoredEvent | LiveEvent]:
    """Pass stored events on as they are, and live ones as the mode says.

    A piece that comes again, because a worker took a run over, is cut to what is new of it.
    """
    async with aclosing(events):
        if mode is DeltaMode.COALESCED:
            async with aclosing(_joined(_fresh(events))) as joined:
                async for event in joined:
                    yield event
        else:
            async with aclosing(_fresh(events)) as fresh:
                async for event in fresh:
                    if mode is DeltaMode.ALL or isinstance(event, StoredEvent):
                        yield event


async def _fresh(events: AsyncIterator[StoredEvent | LiveEvent]) -> AsyncGenerator[StoredEvent | LiveEvent]:
    """Cut from each piece what its message has been given already."""
    given: dict[str, int] = {}
    async for event in events:
        if isinstance(event, StoredEvent):
            given.pop(str(event.payload.get("message_id")), None)
            yield event
            continue
        message, offset, text = event.payload["message_id"], event.payload["offset"], event.payload["text"]
        known = given.get(message, 0)
        if offset + len(text) > known:
            start = max(offset, known) if known else offset
            given[message] = offset + len(text)
            if start == offset:
                yield event  # as it is, so that all who follow share what is made of it
            else:
                yield replace(event, payload={**event.payload, "offset": start, "text": text[start - offset :]})


async def _joined(events: AsyncGenerator[StoredEvent | LiveEvent]) -> AsyncGenerator[StoredEvent | LiveEvent]:
    """Hold a piece back for a moment, and join to it what follows of the same message."""
    clock = asyncio.get_running_loop().time
    held, due = None, 0.0
    following: asyncio.Future[StoredEvent | LiveEvent | None] | None = None
    async with aclosing(events):
        try:
            while True:
                if held is not None:
                    # Only while a piece waits for another there is a task: most events pass without one.
                    following = following or asyncio.ensure_future(_next(events))
                    # However steadily pieces come, none waits longer than the first of those that are joined.
                    await asyncio.wait({following}, timeout=max(0.0, due - clock()))
                    if clock() >= due or not following.done():
                        yield held
                        held = None
                        continue
                event = await (following or _next(events))
                following = None
                joined = None if event is None else _join(held, event)
                if joined is not None:
                    held = joined
                    continue
                if held is not None:
                    yield held
                    held = None
                if event is None:
                    return
                if isinstance(event, LiveEvent):
                    held, due = event, clock() + COALESCE_SECONDS
                else:
                    yield event
        finally:
            if following is not None:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)


async def _next(events: AsyncGenerator[StoredEvent | LiveEvent]) -> StoredEvent | LiveEvent | None:
    return await anext(events, None)


def _join(held: LiveEvent | None, event: StoredEvent | LiveEvent) -> LiveEvent | None:
    """Join two pieces that belong together; None when they do not."""
    if held is None or isinstance(event, StoredEvent) or event.sequence != held.sequence:
        return None
    first, second = held.payload, event.payload
    end = first["offset"] + len(first["text"])
    if second["message_id"] != first["message_id"] or second["offset"] != end:
        return None
    return replace(event, payload={**first, "text": first["text"] + second["text"]})
