"""Frames in batches: what has arrived while the batch before was stored."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

from graphql_api.runtimes.protocol import Frame

BATCH = 100
"""Frames whose events are stored in one transaction."""

READ_AHEAD = 100
"""Frames that wait to be stored; a faster runtime is not read until they are, since each may be large."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Frames that arrived together, more or less.

    Attributes:
        frames: In order, at least one.
        arrived_at: When the first came, by the loop's clock.
    """

    frames: list[Frame]
    arrived_at: float


class _Arrivals:
    """What a reader has taken off a stream, and nobody has dealt with yet."""

    def __init__(self) -> None:
        self.is_over = False
        self._clock = asyncio.get_running_loop().time
        self._waiting: deque[tuple[Frame, float]] = deque()
        self._wake = asyncio.Event()
        self._room = asyncio.Event()

    async def fill(self, frames: AsyncIterator[Frame]) -> None:
        """Read a stream to its end, and close it."""
        try:
            async for frame in frames:
                if len(self._waiting) >= READ_AHEAD:
                    self._room.clear()
                    await self._room.wait()
                self._waiting.append((frame, self._clock()))
                self._wake.set()
        finally:
            self.is_over = True
            self._wake.set()
            if isinstance(frames, AsyncGenerator):
                await frames.aclose()

    def take(self) -> Batch | None:
        """Take out what has arrived."""
        if not self._waiting:
            return None
        taken = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
        self._room.set()
        return Batch([frame for frame, _ in taken], taken[0][1])

    async def arrival(self) -> None:
        """Wait until something has arrived, or somebody wakes who waits here."""
        self._wake.clear()
        await self._wake.wait()

    def wake(self) -> None:
        """Let who waits look up."""
        self._wake.set()


async def batches(frames: AsyncIterator[Frame], *, tick: float) -> AsyncGenerator[Batch | None]:
    """Group frames in order; none waits for another, and no batch is empty.

    The stream's own error is raised after the frames before it. The stream is closed with the generator.

    Args:
        frames: The stream.
        tick: Seconds after which None is given while nothing comes, and again as often.
    """
    arrivals = _Arrivals()
    reader = asyncio.create_task(arrivals.fill(frames))
    # One clock for the whole stream: a timer for each frame would cost more than reading it.
    clock = asyncio.create_task(_ticking(arrivals, tick))
    try:
        while True:
            batch = arrivals.take()
            if batch is None and arrivals.is_over:
                await reader
                return
            if batch is None:
                await arrivals.arrival()
                if (batch := arrivals.take()) is None and arrivals.is_over:
                    continue
            yield batch
    finally:
        clock.cancel()
        reader.cancel()
        await asyncio.gather(clock, reader, return_exceptions=True)


async def _ticking(arrivals: _Arrivals, seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        arrivals.wake()
