"""Ingest: from a runtime's frames to the log, whoever watches.

The stream may break and the worker may die at any point. Frames are counted in the transaction that stores what they
mean, so that a replay skips exactly those whose meaning is stored.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field

import structlog

from graphql_api.events.log import EventLog
from graphql_api.events.records import NewEvent, NewLiveEvent
from graphql_api.kit import contents
from graphql_api.kit.columns import now
from graphql_api.kit.database import Database, Session
from graphql_api.kit.errors import ErrorCode
from graphql_api.kit.files import FileEntry
from graphql_api.runtimes import executions, snapshots
from graphql_api.runtimes.executions import Claim, ExecutionListener, Failure, Outcome
from graphql_api.runtimes.models import Execution
from graphql_api.runtimes.protocol import (
    AgentRuntime,
    FilesSnapshot,
    Frame,
    MessageDelta,
    Normalized,
    Normalizer,
    Resume,
    RunEnded,
    RunRequest,
    RuntimeFailure,
    ThreadRef,
    TokensUsed,
)
from graphql_api.runtimes.storable import storable

BATCH = 100
"""Frames whose events are stored in one transaction."""

READ_AHEAD = 1000
"""Frames that wait to be stored; a faster runtime is not read until they are."""

RUN_TIMEOUT_SECONDS = 1800
"""A run that takes longer has failed."""

_log = structlog.get_logger()


class StreamLost(Exception):
    """The runtime's stream ended before the run did."""


@dataclass
class _Progress:
    """What is known of one execution while it is ingested.

    Attributes:
        position: Sequence of the newest stored event.
        files: The files as they are stored.
        frames: Frames seen on this stream.
        skip: Frames whose meaning is stored already.
        offsets: Characters that each message has so far.
    """

    position: int
    files: dict[str, FileEntry]
    skip: int
    frames: int = 0
    offsets: dict[str, int] = field(default_factory=dict)
    reported: set[str] = field(default_factory=set)


class Ingest:
    """Works on one claimed execution until it ends.

    Args:
        database: Where everything is stored.
        log: Where events go.
        runtime: Who runs the agent.
        listener: Who is told of the start and the end.
    """

    def __init__(self, database: Database, log: EventLog, runtime: AgentRuntime, listener: ExecutionListener) -> None:
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
        if execution.attempts > executions.MAX_ATTEMPTS:
            message = f"The runtime was lost {executions.MAX_ATTEMPTS} times while it worked on this."
            await self._end(claim, Outcome(Failure(ErrorCode.RUNTIME_FAILED, message, is_retryable=True)))
            return
        limit = asyncio.timeout(RUN_TIMEOUT_SECONDS)
        try:
            async with limit:
                thread = await self._thread(claim, request, execution)
                ended = await self._read(claim, request, thread, execution.frames_ingested)
        except TimeoutError:
            if not limit.expired():
                raise
            message = f"The runtime did not finish within {RUN_TIMEOUT_SECONDS} seconds."
            await self._end(claim, Outcome(Failure(ErrorCode.RUNTIME_TIMEOUT, message, is_retryable=True)))
            return
        except RuntimeFailure as error:
            if error.is_retryable:
                raise
            await self._end(claim, Outcome(Failure(ErrorCode.RUNTIME_FAILED, error.message, is_retryable=False)))
            return
        failure = None
        if ended.error is not None:
            failure = Failure(ErrorCode.RUNTIME_FAILED, ended.error, is_retryable=ended.is_retryable)
        await self._end(claim, Outcome(failure, ended.summary))

    async def _load(self, claim: Claim) -> tuple[RunRequest, Execution]:
        async with self._database.transaction() as session:
            execution = await session.get_one(Execution, claim.execution_id)
            given = await executions.files_at(session, claim.execution_id, 0)
            texts = await contents.load(session, {entry.digest for entry in given.values()})
        files = {path: texts[entry.digest] for path, entry in given.items()}
        return RunRequest(execution_id=claim.execution_id, files=files, **execution.request), execution

    async def _thread(self, claim: Claim, request: RunRequest, execution: Execution) -> ThreadRef:
        if execution.thread_id is not None:
            return ThreadRef(execution.thread_id, execution.handle)
        thread = await self._runtime.start(request)
        async with self._database.transaction() as session:
            await self._listener.started(session, claim, thread=thread, runtime=self._runtime.name)
        return thread

    async def _read(self, claim: Claim, request: RunRequest, thread: ThreadRef, ingested: int) -> RunEnded:
        """Read the stream to the run's end."""
        async with self._database.transaction() as session:
            files = await executions.files_at(session, claim.execution_id)
        position = (await self._log.heads([claim.execution_id]))[claim.execution_id]
        can_replay = self._runtime.capabilities.resume is Resume.REPLAY
        progress = _Progress(position, files, skip=ingested if can_replay else 0)
        normalizer = self._runtime.normalizer(request)
        async with aclosing(_batches(self._runtime.events(request, thread))) as batches:
            async for batch in batches:
                normalized = _normalize(normalizer, batch, progress)
                await self._store(claim, progress, normalized)
                for item in normalized:
                    if isinstance(item, RunEnded):
                        return item
        raise StreamLost("The stream closed before the run ended.")

    async def _store(self, claim: Claim, progress: _Progress, normalized: list[Normalized]) -> None:
        """Store one batch in one transaction; live events follow the stored ones that they belong to."""
        if all(isinstance(item, MessageDelta) for item in normalized):
            deltas = [_delta(item, progress) for item in normalized if isinstance(item, MessageDelta)]
            self._log.publish_live(claim.execution_id, progress.position, deltas)
            return
        used = [item for item in normalized if isinstance(item, TokensUsed)]
        async with self._database.transaction() as session:
            await executions.progress(
                session,
                claim,
                frames=max(progress.frames, progress.skip),
                input_tokens=sum(item.input_tokens for item in used),
                output_tokens=sum(item.output_tokens for item in used),
            )
            events: list[NewEvent | NewLiveEvent] = []
            for item in normalized:
                if isinstance(item, FilesSnapshot):
                    await self._append(session, claim, progress, events)
                    events = []
                    await self._store_files(session, claim, progress, item)
                elif not isinstance(item, RunEnded):
                    events.append(_event(item, progress))
            await self._append(session, claim, progress, events)

    async def _append(
        self, session: Session, claim: Claim, progress: _Progress, events: list[NewEvent | NewLiveEvent]
    ) -> None:
        if any(isinstance(event, NewEvent) for event in events):
            stored = await self._log.append(session, claim.execution_id, events, epoch=claim.epoch)
            progress.position = stored[-1].sequence
        elif events:
            live, position = [event for event in events if isinstance(event, NewLiveEvent)], progress.position
            session.after_commit.append(lambda: self._log.publish_live(claim.execution_id, position, live))

    async def _store_files(self, session: Session, claim: Claim, progress: _Progress, snapshot: FilesSnapshot) -> None:
        read = snapshots.read_files(snapshot.files, now())
        refusals = [event for event in read.refusals if event.payload["data"]["path"] not in progress.reported]
        progress.reported.update(event.payload["data"]["path"] for event in refusals)
        await self._append(session, claim, progress, list(refusals))
        changes = await snapshots.compare(session, progress.files, read)
        if not changes:
            return
        await contents.store(session, read.texts.values())
        payload = {"changes": [snapshots.change_payload(change) for change in changes]}
        await self._append(session, claim, progress, [NewEvent("FilesChanged", payload)])
        await snapshots.record(session, claim.execution_id, progress.position, changes)
        progress.files = read.entries

    async def _end(self, claim: Claim, outcome: Outcome) -> None:
        async with self._database.transaction() as session:
            await self._listener.ended(session, claim, outcome)
        _log.info(
            "execution_ended",
            execution_id=str(claim.execution_id),
            failure=outcome.failure.code.value if outcome.failure else None,
        )


def _normalize(normalizer: Normalizer, batch: list[Frame], progress: _Progress) -> list[Normalized]:
    """Turn frames into what is new of them; the stored ones bring the normalizer and the offsets up to date."""
    fresh: list[Normalized] = []
    for frame in batch:
        progress.frames += 1
        for item in normalizer.normalize(frame):
            if progress.frames > progress.skip:
                fresh.append(item)
            elif isinstance(item, MessageDelta):
                _delta(item, progress)
    return fresh


def _event(item: NewEvent | MessageDelta | TokensUsed, progress: _Progress) -> NewEvent | NewLiveEvent:
    match item:
        case MessageDelta():
            return _delta(item, progress)
        case TokensUsed():
            usage = {
                "input_tokens": item.input_tokens,
                "output_tokens": item.output_tokens,
                "total_tokens": item.input_tokens + item.output_tokens,
            }
            return NewEvent("UsageReported", {"model": item.model, "usage": usage})
        case _:
            return NewEvent(item.type, storable(item.payload), item.is_terminal)


def _delta(item: MessageDelta, progress: _Progress) -> NewLiveEvent:
    offset = progress.offsets.get(item.message_id, 0)
    progress.offsets[item.message_id] = offset + len(item.text)
    payload: Mapping[str, object] = {
        "message_id": item.message_id,
        "agent": item.agent,
        "offset": offset,
        "text": item.text,
    }
    return NewLiveEvent("AgentMessageDelta", storable(payload))


async def _batches(frames: AsyncIterator[Frame]) -> AsyncGenerator[list[Frame]]:
    """Group what has arrived while the group before was stored; a frame never waits for another."""
    waiting: asyncio.Queue[Frame | None] = asyncio.Queue(READ_AHEAD)

    async def read() -> None:
        try:
            async for frame in frames:
                await waiting.put(frame)
        finally:
            await waiting.put(None)

    reader = asyncio.create_task(read())
    try:
        while (frame := await waiting.get()) is not None:
            batch = [frame]
            while len(batch) < BATCH and not waiting.empty():
                following = waiting.get_nowait()
                if following is None:
                    yield batch
                    await reader
                    return
                batch.append(following)
            yield batch
        await reader
    finally:
        reader.cancel()
