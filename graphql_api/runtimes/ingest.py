"""Ingest: from a runtime's frames to the log, whoever watches.

The stream may break and the worker may die at any point. Frames are counted in the transaction that stores what they
mean, so that a replay skips exactly those whose meaning is stored.
"""

import asyncio
from contextlib import aclosing

import structlog
from structlog.contextvars import bind_contextvars

from graphql_api.events.log import AppendRefused, EventLog
from graphql_api.events.records import NewEvent, NewLiveEvent
from graphql_api.kit import contents, metrics, tracing
from graphql_api.kit.database import Database, Session
from graphql_api.kit.errors import ErrorCode
from graphql_api.runtimes import executions, forgetting, snapshots
from graphql_api.runtimes.batches import batches
from graphql_api.runtimes.executions import Claim, ExecutionListener, Failure, LeaseLost, Outcome
from graphql_api.runtimes.models import Execution
from graphql_api.runtimes.progress import Progress
from graphql_api.runtimes.protocol import (
    AgentRuntime,
    FilesSnapshot,
    MessageDelta,
    Normalized,
    Resume,
    RunEnded,
    RunRequest,
    RuntimeFailure,
    ThreadRef,
    TokensUsed,
)
from graphql_api.runtimes.snapshots import FilesRead
from graphql_api.runtimes.storable import storable_text

RUN_TIMEOUT_SECONDS = 1800
"""A run that takes longer has failed; a takeover gives it that time again."""

_FRAMES = metrics.counter("ingested_frames", "Frames of runtimes whose meaning was stored, or was stored already.")
_LAG_SECONDS = metrics.histogram(
    "ingest_lag_seconds", "From the arrival of a batch's first frame until its meaning is stored."
)
_END_SECONDS = metrics.histogram(
    "execution_end_duration_seconds", "From the runtime's end until the outcome is final.", ["result"]
)

_log = structlog.get_logger()


class StreamLost(Exception):
    """The runtime's stream ended before the run did."""


class Ingest:
    """Works on one claimed execution until it ends.

    Args:
        database: Where everything is stored.
        log: Where events go.
        runtime: Who runs the agent.
        listener: Who is told of the start and the end.
        timeout_seconds: How long a run may take.

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
        timeout_seconds: float = RUN_TIMEOUT_SECONDS,
    ) -> None:
        self.reading: set[Claim] = set()
        self._timeout_seconds = timeout_seconds
        self._database = database
        self._log = log
        self._runtime = runtime
        self._listener = listener

    async def run(self, claim: Claim) -> None:
        """Start or take over the run, store what it tells, and record how it ends.

        Raises:
            LeaseLost: When another worker took over, or the execution was stopped.
            AppendRefused: For the same reason, found by the log.
            StreamLost: When the runtime's stream broke; a later claim goes on.
            RuntimeFailure: When the runtime could not be reached.
        """
        request, execution = await self._load(claim)
        with tracing.span("execution", traceparent=execution.traceparent, epoch=claim.epoch):
            bind_contextvars(execution_id=str(claim.execution_id), trace_id=tracing.trace_id())
            await self._run(claim, request, execution)

    async def _run(self, claim: Claim, request: RunRequest, execution: Execution) -> None:
        if execution.attempts > executions.MAX_ATTEMPTS:
            message = f"The runtime was lost {executions.MAX_ATTEMPTS} times while it worked on this."
            await self._give_up(claim, ErrorCode.RUNTIME_FAILED, message, is_retryable=True)
            return
        limit = asyncio.timeout(self._timeout_seconds)
        try:
            async with limit:
                thread = await self._thread(claim, request, execution)
                self.reading.add(claim)
                try:
                    ended = await self._read(claim, request, thread, execution.frames_ingested)
                finally:
                    self.reading.discard(claim)
        except TimeoutError:
            if not limit.expired():
                raise
            message = f"The runtime did not finish within {self._timeout_seconds:.0f} seconds."
            await self._give_up(claim, ErrorCode.RUNTIME_TIMEOUT, message, is_retryable=True)
        except RuntimeFailure as error:
            if error.is_retryable:
                raise
            await self._give_up(claim, ErrorCode.RUNTIME_FAILED, error.message, is_retryable=False)
        else:
            with metrics.timed(_END_SECONDS):
                await self._end(claim, _outcome(ended))

    async def _load(self, claim: Claim) -> tuple[RunRequest, Execution]:
        async with self._database.transaction() as session:
            execution = await session.get_one(Execution, claim.execution_id)
            given = await executions.files_at(session, claim.execution_id, 0)
            texts = await contents.load(session, {entry.digest for entry in given.values()})
        files = {path: texts[entry.digest] for path, entry in given.items()}
        request = RunRequest(
            execution_id=claim.execution_id, files=files, is_repeated=execution.attempts > 1, **execution.request
        )
        return request, execution

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

    async def _read(self, claim: Claim, request: RunRequest, thread: ThreadRef, ingested: int) -> RunEnded:
        """Read the stream to the run's end."""
        async with self._database.transaction() as session:
            files = await executions.files_at(session, claim.execution_id)
            reported = await snapshots.refused_paths(session, claim.execution_id)
        position = (await self._log.heads([claim.execution_id]))[claim.execution_id]
        can_replay = self._runtime.capabilities.resume is Resume.REPLAY
        progress = Progress(position, files, reported, skip=ingested, frames=0 if can_replay else ingested)
        normalizer = self._runtime.normalizer(request)
        async with aclosing(batches(self._runtime.events(request, thread))) as arriving:
            async for batch in arriving:
                normalized = progress.normalize(normalizer, batch.frames)
                with tracing.quiet():
                    await self._store(claim, progress, normalized)
                _LAG_SECONDS.observe(asyncio.get_running_loop().time() - batch.arrived_at)
                _FRAMES.inc(len(batch.frames))
                if normalized and isinstance(normalized[-1], RunEnded):
                    return normalized[-1]
        raise StreamLost("The stream closed before the run ended.")

    async def _store(self, claim: Claim, progress: Progress, normalized: list[Normalized]) -> None:
        """Store one batch in one transaction; live events follow the stored ones that they belong to."""
        if all(isinstance(item, MessageDelta) for item in normalized):
            deltas = [progress.delta(item) for item in normalized if isinstance(item, MessageDelta)]
            self._log.publish_live(claim.execution_id, progress.position, deltas)
            return
        used = [item for item in normalized if isinstance(item, TokensUsed)]
        steps = [await self._step(item, progress) for item in normalized if not isinstance(item, RunEnded)]
        async with self._database.transaction() as session:
            await executions.progress(
                session,
                claim,
                frames=progress.frames,
                input_tokens=sum(item.input_tokens for item in used),
                output_tokens=sum(item.output_tokens for item in used),
            )
            # All at once: in one order for everybody, so that two executions that write the same can't deadlock.
            await contents.store(session, progress.unsaved.values())
            events: list[NewEvent | NewLiveEvent] = []
            for step in steps:
                if not isinstance(step, FilesRead):
                    events.append(step)
                    continue
                events += progress.refusals(step)
                if step.changes:
                    await self._append(session, claim, progress, [*events, snapshots.files_changed(step.changes)])
                    await snapshots.record(session, claim.execution_id, progress.position, step.changes)
                    events = []
            await self._append(session, claim, progress, events)
        progress.unsaved.clear()

    async def _step(
        self, item: NewEvent | MessageDelta | FilesSnapshot | TokensUsed, progress: Progress
    ) -> NewEvent | NewLiveEvent | FilesRead:
        if not isinstance(item, FilesSnapshot):
            return progress.event(item)
        read = await snapshots.read_files(self._database, progress.files, item, known=progress.unsaved)
        progress.files = read.entries
        progress.unsaved |= read.texts
        return read

    async def _append(
        self, session: Session, claim: Claim, progress: Progress, events: list[NewEvent | NewLiveEvent]
    ) -> None:
        if any(isinstance(event, NewEvent) for event in events):
            stored = await self._log.append(session, claim.execution_id, events, epoch=claim.epoch)
            progress.position = stored[-1].sequence
        elif events:
            live, position = [event for event in events if isinstance(event, NewLiveEvent)], progress.position
            session.after_commit.append(lambda: self._log.publish_live(claim.execution_id, position, live))

    async def _give_up(self, claim: Claim, code: ErrorCode, message: str, *, is_retryable: bool) -> None:
        """Record a failure that the runtime may know nothing of, and order that it stops."""
        failure = Failure(code, storable_text(message), is_retryable=is_retryable)
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


def _outcome(ended: RunEnded) -> Outcome:
    summary = None if ended.summary is None else storable_text(ended.summary)
    if ended.error is None:
        return Outcome(None, summary)
    failure = Failure(ErrorCode.RUNTIME_FAILED, storable_text(ended.error), is_retryable=ended.is_retryable)
    return Outcome(failure, summary)
