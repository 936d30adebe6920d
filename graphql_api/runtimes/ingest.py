"""Ingest: from a runtime's frames to the log, whoever watches.

The stream may break and the worker may die at any point. Frames are counted in the transaction that stores what they
mean, so that a replay skips exactly those whose meaning is stored.
"""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace

import structlog
from structlog.contextvars import bind_contextvars

from graphql_api.events.log import AppendRefused, EventLog
from graphql_api.events.records import NewEvent
from graphql_api.kit import contents, metrics, tracing
from graphql_api.kit.database import Database
from graphql_api.kit.errors import ErrorCode
from graphql_api.runtimes import executions, forgetting, snapshots
from graphql_api.runtimes.batches import Batch
from graphql_api.runtimes.executions import Claim, ExecutionListener, Failure, LeaseLost, Outcome
from graphql_api.runtimes.lines import (
    DEFAULT_PATIENCE,
    TESTIMONIES,
    Line,
    Link,
    Patience,
    RuntimeGone,
    RuntimeSilent,
)
from graphql_api.runtimes.models import Execution
from graphql_api.runtimes.progress import Progress
from graphql_api.runtimes.protocol import (
    AgentRuntime,
    FilesSnapshot,
    Normalized,
    Normalizer,
    Resume,
    RunEnded,
    RunRequest,
    RuntimeFailure,
    Snapshot,
    ThreadRef,
    ThreadStatus,
)
from graphql_api.runtimes.recollection import LINK_CHANGED, Recollection, recollect
from graphql_api.runtimes.recording import Recorder
from graphql_api.runtimes.storable import storable_text

NO_FILES = "The runtime ended the run without giving any files."
NOT_KNOWN = "The runtime does not know the run any more."

_NO_NEWS = frozenset({"ProposalProgressed", "RuntimeEventReceived", LINK_CHANGED})

_FRAMES = metrics.counter("ingested_frames", "Frames of runtimes whose meaning was stored, or was stored already.")
_LAG_SECONDS = metrics.histogram(
    "ingest_lag_seconds", "From the arrival of a batch's first frame until its meaning is stored."
)
_END_SECONDS = metrics.histogram(
    "execution_end_duration_seconds", "From the runtime's end until the outcome is final.", ["result"]
)

_log = structlog.get_logger()


class Ingest:
    """Works on one claimed execution until it ends.

    Args:
        database: Where everything is stored.
        log: Where events go.
        runtime: Who runs the agent.
        listener: Who is told of the start and the end.
        patience: How long the runtime is waited for.

    Attributes:
        reading: Claims whose stream is read, which is what may be cut short. A start may not, since its thread is
            known to nobody until it is stored; nor an end, of which nobody has heard until it is committed.
    """

    def __init__(
        self,
        database: Database,
        log: EventLog,
        runtime: AgentRuntime,
        listener: ExecutionListener,
        *,
        patience: Patience = DEFAULT_PATIENCE,
    ) -> None:
        self.reading: set[Claim] = set()
        self._patience = patience
        self._recorder = Recorder(database, log)
        self._database = database
        self._log = log
        self._runtime = runtime
        self._listener = listener

    async def run(self, claim: Claim) -> None:
        """Start or take over the run, store what it tells, and record how it ends.

        Raises:
            LeaseLost: When another worker took over, or the execution was stopped.
            AppendRefused: For the same reason, found by the log.
            RuntimeFailure: When the runtime could not be reached to start the run.
        """
        request, execution, elapsed = await self._load(claim)
        with tracing.span("execution", traceparent=execution.traceparent, epoch=claim.epoch):
            bind_contextvars(execution_id=str(claim.execution_id), trace_id=tracing.trace_id())
            await self._run(claim, request, execution, elapsed)

    async def _run(self, claim: Claim, request: RunRequest, execution: Execution, elapsed: float) -> None:
        if execution.attempts > executions.MAX_ATTEMPTS:
            message = f"The runtime was lost {executions.MAX_ATTEMPTS} times while it worked on this."
            await self._give_up(claim, Failure(ErrorCode.RUNTIME_FAILED, message, is_retryable=True))
            return
        limit = asyncio.timeout(max(0.0, self._patience.total - elapsed))
        try:
            async with limit:
                thread = await self._thread(claim, request, execution)
                self.reading.add(claim)
                try:
                    ended = await self._read(claim, request, thread, execution)
                finally:
                    self.reading.discard(claim)
        except (TimeoutError, RuntimeSilent, RuntimeGone, RuntimeFailure) as error:
            if (failure := self._failure(error, is_over=limit.expired())) is None:
                raise
            await self._give_up(claim, failure)
        else:
            with metrics.timed(_END_SECONDS):
                await self._end(claim, _outcome(ended))

    def _failure(self, error: Exception, *, is_over: bool) -> Failure | None:
        """Say why a run is given up; None when it is not."""
        match error:
            case TimeoutError() if is_over:
                message = f"The runtime did not finish within {self._patience.total:.0f} seconds."
                return Failure(ErrorCode.RUNTIME_TIMEOUT, message, is_retryable=True)
            case RuntimeSilent():
                message = f"The runtime said nothing for {self._patience.idle:.0f} seconds."
                return Failure(ErrorCode.RUNTIME_TIMEOUT, message, is_retryable=True)
            case RuntimeGone():
                message = "The link to the runtime broke, and could not be made again."
                return Failure(ErrorCode.RUNTIME_FAILED, message, is_retryable=True)
            case RuntimeFailure(is_retryable=False):
                return Failure(ErrorCode.RUNTIME_FAILED, storable_text(error.message), is_retryable=False)
        return None

    async def _load(self, claim: Claim) -> tuple[RunRequest, Execution, float]:
        """Read what is asked, and how many seconds ago the runtime began with it."""
        async with self._database.transaction() as session:
            execution = await session.get_one(Execution, claim.execution_id)
            elapsed = await executions.seconds_since_start(session, claim.execution_id)
            given = await snapshots.files_at(session, claim.execution_id, 0)
            texts = await contents.load(session, {entry.digest for entry in given.values()})
        files = {path: texts[entry.digest] for path, entry in given.items()}
        request = RunRequest(
            execution_id=claim.execution_id, files=files, is_repeated=execution.attempts > 1, **execution.request
        )
        return request, execution, elapsed

    async def _thread(self, claim: Claim, request: RunRequest, execution: Execution) -> ThreadRef:
        if execution.thread_id is not None:
            return ThreadRef(execution.thread_id, execution.handle)
        thread = await self._runtime.start(request)
        try:
            async with self._database.transaction() as session:
                await self._listener.started(session, claim, thread=thread, runtime=self._runtime.name)
        except (LeaseLost, AppendRefused):
            await forgetting.disown(self._database, claim.execution_id, thread)
            raise
        return thread

    async def _read(self, claim: Claim, request: RunRequest, thread: ThreadRef, execution: Execution) -> RunEnded:
        """Read the stream to the run's end, however often it breaks."""
        progress, is_lost = await self._progress(claim, execution)
        normalizer = self._runtime.normalizer(request)
        line = Line(self._runtime, request, thread, self._patience, is_lost=is_lost)
        if is_lost and not self._can_replay:
            normalizer.missed()
        async with aclosing(line.listen()) as heard:
            async for item in heard:
                if isinstance(item, Snapshot):
                    return await self._recover(claim, progress, item)
                if isinstance(item, Batch):
                    normalized = await self._take(claim, progress, normalizer, item, line)
                    if normalized and isinstance(normalized[-1], RunEnded):
                        return await self._settle(claim, progress, thread, normalized[-1])
                    continue
                if item.is_first:
                    await self._recorder.record(claim, progress, [self._changed(Link.LOST)])
                if self._can_replay:
                    progress.rewind()
                    normalizer = self._runtime.normalizer(request)
                else:
                    normalizer.missed()
        raise AssertionError  # a line ends with a snapshot or an error

    async def _progress(self, claim: Claim, execution: Execution) -> tuple[Progress, bool]:
        """Find out how far an earlier worker came, and whether it left the stream in the middle."""
        is_taken_over = execution.thread_id is not None
        async with self._database.transaction() as session:
            files = await snapshots.files_at(session, claim.execution_id)
            reported = await snapshots.refused_paths(session, claim.execution_id)
            known = await recollect(session, claim.execution_id) if is_taken_over else Recollection()
        progress = Progress(
            position=(await self._log.heads([claim.execution_id]))[claim.execution_id],
            files=files,
            reported=reported,
            skip=execution.frames_ingested,
            frames=0 if self._can_replay else execution.frames_ingested,
            told=known.told,
            plan=known.plan,
            has_files=known.has_files,
        )
        return progress, known.is_link_lost or (is_taken_over and not self._can_replay)

    async def _take(
        self, claim: Claim, progress: Progress, normalizer: Normalizer, batch: Batch, line: Line
    ) -> Sequence[Normalized]:
        normalized = progress.normalize(normalizer, batch.frames)
        if progress.is_new:
            normalized = [self._changed(Link.RECONNECTED), *normalized] if line.is_lost else normalized
            line.hear()
        if any(_is_news(item) for item in normalized):
            line.believe()
        with tracing.quiet():
            await self._recorder.record(claim, progress, normalized)
        _LAG_SECONDS.observe(asyncio.get_running_loop().time() - batch.arrived_at)
        _FRAMES.inc(len(batch.frames))
        return normalized

    async def _recover(self, claim: Claim, progress: Progress, snapshot: Snapshot) -> RunEnded:
        """End a run whose end the stream did not tell, as the state says."""
        if snapshot.status is ThreadStatus.UNKNOWN:
            return RunEnded(error=NOT_KNOWN)
        await self._recorder.record(claim, progress, [self._changed(Link.RECOVERED)])
        return await self._ended_as(claim, progress, snapshot, RunEnded(summary=snapshot.result))

    async def _settle(self, claim: Claim, progress: Progress, thread: ThreadRef, ended: RunEnded) -> RunEnded:
        """Give the end of a run; one that succeeded without files has those of the state, or has failed."""
        if ended.error is not None or ended.has_files:
            return ended
        return await self._ended_as(claim, progress, await self._last_state(thread), ended)

    async def _ended_as(self, claim: Claim, progress: Progress, snapshot: Snapshot, ended: RunEnded) -> RunEnded:
        if snapshot.status is ThreadStatus.FAILED:
            return RunEnded(error=snapshot.error or "The runtime failed, and did not say why.")
        if snapshot.files:
            await self._recorder.record(claim, progress, [FilesSnapshot(snapshot.files)])
        elif not progress.has_files:
            return RunEnded(error=snapshot.error or NO_FILES)
        return replace(ended, summary=ended.summary or snapshot.result)

    async def _last_state(self, thread: ThreadRef) -> Snapshot:
        """Ask for the state of a run that is over; it may lag a little behind."""
        snapshot = Snapshot(ThreadStatus.UNKNOWN)
        for attempt in range(TESTIMONIES):
            await asyncio.sleep(self._patience.tick if attempt else 0)
            try:
                snapshot = await self._runtime.snapshot(thread)
            except RuntimeFailure as error:
                _log.warning("state_not_known", thread_id=thread.thread_id, error=error.message)
            if snapshot.files or snapshot.status in {ThreadStatus.COMPLETED, ThreadStatus.FAILED}:
                break
        return snapshot

    def _changed(self, link: Link) -> NewEvent:
        return NewEvent(LINK_CHANGED, {"state": link.value, "may_have_missed_events": not self._can_replay})

    @property
    def _can_replay(self) -> bool:
        return self._runtime.capabilities.resume is Resume.REPLAY

    async def _give_up(self, claim: Claim, failure: Failure) -> None:
        """Record a failure that the runtime may know nothing of, and order that it stops."""
        await self._end(claim, Outcome(failure), is_abandoned=True)

    async def _end(self, claim: Claim, outcome: Outcome, *, is_abandoned: bool = False) -> None:
        async with self._database.transaction() as session:
            await self._listener.ended(session, claim, outcome)
            if is_abandoned:
                await executions.stop(session, self._log, claim.execution_id)
        _log.info(
            "execution_ended",
            execution_id=str(claim.execution_id),
            failure=outcome.failure.code.value if outcome.failure else None,
        )


def _is_news(item: Normalized) -> bool:
    """Tell whether something says more than that the runtime is there, which it says of any thread."""
    return not isinstance(item, NewEvent) or item.type not in _NO_NEWS


def _outcome(ended: RunEnded) -> Outcome:
    summary = None if ended.summary is None else storable_text(ended.summary)
    if ended.error is None:
        return Outcome(None, summary)
    failure = Failure(ErrorCode.RUNTIME_FAILED, storable_text(ended.error), is_retryable=ended.is_retryable)
    return Outcome(failure, summary)
