"""Frames in batches: what has arrived while the batch before was stored."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

from graphql_api.runtimes.protocol import Frame

BATCH = 100
"""Frames whose events are stored in one transaction."""

READ_AHEAD = 200
"""Frames that wait to be stored; a faster runtime is not read until they are, since each may be large."""


async def batches(frames: AsyncIterator[Frame]) -> AsyncGenerator[list[Frame]]:
    """Group frames in order; none waits for another, and no batch is empty.

    The stream's own error is raised after the frames before it. The stream is closed with the generator.
    """
    waiting: asyncio.Queue[Frame | Exception | None] = asyncio.Queue(READ_AHEAD)

    async def read() -> None:
        try:
            async for frame in frames:
                await waiting.put(frame)
            await waiting.put(None)
        except Exception as error:  # noqa: BLE001 - it is raised where the batches are read
            await waiting.put(error)
        finally:
            if isinstance(frames, AsyncGenerator):
                await frames.aclose()

    reader = asyncio.create_task(read())
    try:
        following = await waiting.get()
        while isinstance(following, Frame):
            batch = [following]
            while len(batch) < BATCH and not waiting.empty():
                following = waiting.get_nowait()
                if not isinstance(following, Frame):
                    break
                batch.append(following)
            yield batch
            if isinstance(following, Frame):
                following = await waiting.get()
        if following is not None:
            raise following
    finally:
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
