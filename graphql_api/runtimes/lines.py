"""The line to a runtime's thread: its stream, opened again as often as it breaks, and its state in case of doubt."""

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from enum import Enum
from time import monotonic

import structlog

from graphql_api.runtimes.batches import Batch, batches
from graphql_api.runtimes.protocol import (
    AgentRuntime,
    RunRequest,
    RuntimeFailure,
    Snapshot,
    ThreadRef,
    ThreadStatus,
)

TESTIMONIES = 3
"""How often in a row a state has to say the same before it is believed: runtimes say of running threads that they are
complete, too."""

_log = structlog.get_logger()
_random = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a runtime is waited for, in seconds.

    Attributes:
        total: For a run, whoever works on it.
        idle: For the next frame of an open stream.
        outage: For a stream that broke, until it is open again.
        silence: Before the state of a thread is asked whose open stream says nothing.
        asking: Between two questions for the state.
        first_delay: Before a stream is opened again; it doubles with each try.
        longest_delay: Up to which it does.
    """

    total: float = 1800
    idle: float = 300
    outage: float = 60
    silence: float = 15
    asking: float = 5
    first_delay: float = 0.5
    longest_delay: float = 8

    @property
    def tick(self) -> float:
        """How often a silent stream is looked after."""
        return min(1.0, self.asking / 2, self.silence / 2, self.idle / 2)


DEFAULT_PATIENCE = Patience()


class Link(Enum):
    """What became of the link to a runtime; the values are those of `RuntimeLinkChanged`."""

    LOST = "LOST"
    RECONNECTED = "RECONNECTED"
    RECOVERED = "RECOVERED_FROM_STATE"


@dataclass(frozen=True, slots=True)
class Loss:
    """A stream broke; it is opened again.

    Attributes:
        is_first: Whether something new came since the loss before.
    """

    is_first: bool


class RuntimeSilent(Exception):
    """An open stream gave nothing for longer than a runtime is waited for."""


class RuntimeGone(Exception):
    """A stream broke, and could not be opened again for longer than a runtime is waited for."""


class _Suspicion(Exception):
    """A stream is silent whose run is over, as its state says."""


class Line:
    """Listens to one thread.

    Args:
        runtime: Whose thread it is.
        request: What the agent was asked to do.
        thread: What is listened to.
        patience: How long the runtime is waited for.
        is_lost: Whether the stream was broken before.

    Attributes:
        is_lost: Whether the stream broke, and has given nothing new since.
    """

    def __init__(
        self, runtime: AgentRuntime, request: RunRequest, thread: ThreadRef, patience: Patience, *, is_lost: bool
    ) -> None:
        self._runtime = runtime
        self._request = request
        self._thread = thread
        self._patience = patience
        self.is_lost = is_lost
        self._lost_at = self._heard_at = monotonic()
        self._doubt = _Doubt(runtime, thread, patience, is_open=is_lost)
        self._delay = patience.first_delay

    async def listen(self) -> AsyncGenerator[Batch | Loss | Snapshot]:
        """Give frames in batches, and losses.

        A snapshot is the last: the stream stayed away, and the state told that the run is over, or not known any more.

        Raises:
            RuntimeFailure: When the runtime refuses for good.
            RuntimeSilent: When an open stream gives nothing for too long.
            RuntimeGone: When a stream broke, and can't be opened again for too long.
        """
        try:
            while True:
                async with aclosing(self._stream()) as heard:
                    async for item in heard:
                        yield item
                        if isinstance(item, Snapshot):
                            return
                is_first = not self.is_lost
                if is_first:
                    self.is_lost, self._lost_at = True, monotonic()
                yield Loss(is_first)
                self._doubt.open()
                async with aclosing(self._pause()) as told:
                    async for item in told:
                        yield item
                        return
        finally:
            await self._doubt.close()

    def hear(self) -> None:
        """Take it that what was heard last is new, if only a sign of life: the stream is back."""
        self.is_lost = False
        self._doubt.hear()

    def believe(self) -> None:
        """Take it that what was heard last is news of the run: the stream tells enough."""
        self._doubt.settle()

    async def _stream(self) -> AsyncGenerator[Batch | Loss | Snapshot]:
        """Read one stream until it is lost."""
        self._heard_at = monotonic()
        opened_at = self._heard_at
        try:
            frames = self._runtime.events(self._request, self._thread)
            async with aclosing(batches(frames, tick=self._patience.tick)) as arriving:
                async for batch in arriving:
                    if batch is not None:
                        self._heard_at = monotonic()
                        yield batch
                    if (told := self._look(monotonic() - self._heard_at)) is not None:
                        yield told
        except RuntimeFailure as failure:
            if not failure.is_retryable:
                raise
            _log.info("stream_lost", thread_id=self._thread.thread_id, reason=failure.message)
        except _Suspicion:
            _log.info("stream_doubted", thread_id=self._thread.thread_id)
        if monotonic() - opened_at > self._patience.silence:
            self._delay, self._lost_at = self._patience.first_delay, monotonic()

    def _look(self, silence: float) -> Snapshot | None:
        """Look after a stream; give the state if there is doubt, and it tells enough."""
        if silence > self._patience.idle:
            raise RuntimeSilent
        if self._doubt.is_open:
            return self._doubt.answer()
        if silence > self._patience.silence and self._doubt.is_over():
            raise _Suspicion
        return None

    async def _pause(self) -> AsyncGenerator[Snapshot]:
        """Wait before the stream is opened again; give the state if it tells enough meanwhile."""
        delay = self._delay * _random.uniform(0.5, 1.5)
        self._delay = min(self._delay * 2, self._patience.longest_delay)
        until = monotonic() + delay
        while (left := until - monotonic()) > 0:
            await asyncio.sleep(min(left, self._patience.tick))
            if monotonic() - self._lost_at > self._patience.outage:
                raise RuntimeGone
            if (told := self._doubt.answer()) is not None:
                yield told


@dataclass
class _Doubt:
    """Asks for the state of a thread now and then, and weighs what it says."""

    runtime: AgentRuntime
    thread: ThreadRef
    patience: Patience
    is_open: bool
    _asking: asyncio.Task[Snapshot] | None = None
    _next: float = field(default_factory=monotonic)
    _said: Snapshot | None = None
    _times: int = 0
    _has_heard: bool = False

    def open(self) -> None:
        """Doubt that the stream will tell how the run ends."""
        self.is_open = True

    def hear(self) -> None:
        """Take it that the stream gave something, if only a sign of life."""
        self._has_heard = True

    def settle(self) -> None:
        """Trust the stream."""
        self.is_open, self._said, self._times = False, None, 0

    def is_over(self) -> bool:
        """Tell whether the state says, now, that the run is over."""
        said = self._answered()
        return said is not None and said.status in {ThreadStatus.COMPLETED, ThreadStatus.FAILED}

    def answer(self) -> Snapshot | None:
        """Give the state once it has said often enough that there is nothing to wait for."""
        said = self._answered()
        if said is None:
            return None
        # A thread that is not known looks as if it ran to those who listen; any other sign of life is one.
        is_over = said.status is ThreadStatus.UNKNOWN or (
            said.status is not ThreadStatus.RUNNING and not self._has_heard
        )
        self._has_heard = False
        self._times = self._times + 1 if is_over and said == self._said else int(is_over)
        self._said = said
        return said if self._times >= TESTIMONIES else None

    async def close(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    def _answered(self) -> Snapshot | None:
        """Give the answer to the last question, if there is a new one, and ask the next when it is time."""
        if self._asking is None:
            if monotonic() >= self._next:
                self._asking = asyncio.create_task(self.runtime.snapshot(self.thread))
            return None
        if not self._asking.done():
            return None
        task, self._asking = self._asking, None
        self._next = monotonic() + self.patience.asking
        error = task.exception()
        if error is None:
            return task.result()
        if not isinstance(error, RuntimeFailure):
            raise error
        return None
