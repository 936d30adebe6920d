"""Threads of a fake runtime: they go on whether somebody listens or not."""

import asyncio
import math
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from enum import Enum
from typing import Any

from graphql_api.runtimes.fakes.cues import Cue, Effect, Play

ATTACH_SECONDS = 1.0
"""How long a run waits for somebody to listen before its first frame; real agents take as long to begin."""


class Status(Enum):
    """How far a run is."""

    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    INTERRUPTED = "INTERRUPTED"


class Thread:
    """One conversation, and the run that is on.

    Args:
        thread_id: Its name.
        play: What happens.
        speed: How many times faster than it was written or recorded; 0 for without any waiting.
        waits: Whether the first frame waits a little for a listener, since what nobody hears is lost.

    Attributes:
        position: Frames that were sent so far.
        files: As they are now.
        starts: How often a run was asked for.
    """

    def __init__(self, thread_id: str, play: Play, *, speed: float, waits: bool) -> None:
        self.thread_id = thread_id
        self.play = play
        self.status = Status.RUNNING
        self.position = 0
        self.files: Mapping[str, Any] = {}
        self.starts = 1
        self._speed = speed if speed > 0 else math.inf
        self._waits = waits
        self._due = 0.0
        self._changed = asyncio.Event()
        self._listeners = 0
        self._strikes: Counter[int] = Counter()
        self._task = asyncio.create_task(self._perform())
        self._task.add_done_callback(lambda _: self._announce())

    @property
    def cues(self) -> tuple[Cue, ...]:
        """All that is ever sent, with what says that the run is over and what comes after."""
        return (*self.play.cues, *self.play.ending, *self.play.late)

    @property
    def is_over(self) -> bool:
        """Tell whether nothing more will happen."""
        return self._task.done()

    async def listen(self, start: int) -> AsyncGenerator[tuple[Cue, Effect | None]]:
        """Give frames from a position on, each with what happens to the stream there, until nothing more will come."""
        self._listeners += 1
        self._announce()
        try:
            for index in range(start, len(self.cues)):
                if not await self._reaches(index + 1):
                    return
                yield self.cues[index], self._effect(index)
            await self.ended()
        finally:
            self._listeners -= 1

    async def ended(self) -> None:
        """Wait until the run is over."""
        while not self.is_over:
            await self._changed.wait()

    async def stop(self) -> None:
        """Stop the run where it is."""
        if not self.is_over:
            self._task.cancel()
            await asyncio.wait([self._task])
            self.status = Status.INTERRUPTED

    async def _perform(self) -> None:
        if self._waits:
            await self._wait_for_a_listener()
        self._due = asyncio.get_running_loop().time()
        for cue in self.play.cues:
            await self._send(cue)
        if not self.play.ends:
            await asyncio.Event().wait()
        self.status = Status.COMPLETED if self.play.error is None else Status.FAILED
        if self.play.is_interrupted:
            self.status = Status.INTERRUPTED
        for cue in (*self.play.ending, *self.play.late):
            await self._send(cue)

    async def _wait_for_a_listener(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(ATTACH_SECONDS):
                while self._listeners == 0:
                    await self._changed.wait()

    async def _send(self, cue: Cue) -> None:
        # From due time to due time, so that what sending takes does not make the run slower than it was written.
        self._due += cue.after / self._speed
        await asyncio.sleep(self._due - asyncio.get_running_loop().time())
        self.position += 1
        self.files = self.files if cue.files is None else cue.files
        self._announce()

    def _effect(self, index: int) -> Effect | None:
        cue = self.cues[index]
        if cue.effect is None or self._strikes[index] >= cue.times:
            return None
        self._strikes[index] += 1
        return cue.effect

    async def _reaches(self, position: int) -> bool:
        """Wait for a position; False when it never comes, since the run is over."""
        while self.position < position:
            if self.is_over:
                return False
            await self._changed.wait()
        return True

    def _announce(self) -> None:
        """Wake whoever waits; each waits for the event that stands when it begins to."""
        self._changed.set()
        self._changed = asyncio.Event()
