"""Frames in batches: what has arrived while the batch before was stored."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

from graphql_api.runtimes.protocol import Frame

BATCH = 100
"""Frames whose events are stored in one transaction."""

READ_AHEAD = 200
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


async def batches(frames: AsyncIterator[Frame]) -> AsyncGenerator[Batch]:
    """Group frames in order; none waits for another, and no batch is empty.

    The stream's own error is raised after the frames before it. The stream is closed with the generator.
    """
    clock = asyncio.get_running_loop().time
    waiting: asyncio.Queue[tuple[Frame | Exception | None, float]] = asyncio.Queue(READ_AHEAD)

    async def read() -> None:
        try:
            async for frame in frames:
                await waiting.put((frame, clock()))
            await waiting.put((None, clock()))
        except Exception as error:  # noqa: BLE001 - it is raised where the batches are read
            await waiting.put((error, clock()))
        finally:
            if isinstance(frames, AsyncGenerator):
                await frames.aclose()

    reader = asyncio.create_task(read())
    try:
        following, arrived_at = await waiting.get()
        while isinstance(following, Frame):
            batch = Batch([following], arrived_at)
            while len(batch.frames) < BATCH and not waiting.empty():
                following, arrived_at = waiting.get_nowait()
                if not isinstance(following, Frame):
                    break
                batch.frames.append(following)
            yield batch
            if isinstance(following, Frame):
                following, arrived_at = await waiting.get()
        if following is not None:
            raise following
    finally:
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
