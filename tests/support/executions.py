"""Executions without proposals: ordered, claimed, ingested, and read again."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text

from graphql_api.events.log import EventLog
from graphql_api.events.records import NewEvent, StoredEvent
from graphql_api.kit import contents
from graphql_api.kit.columns import now
from graphql_api.kit.database import Database, Session
from graphql_api.kit.files import entry_of
from graphql_api.runtimes import executions, snapshots
from graphql_api.runtimes.executions import Claim, Outcome
from graphql_api.runtimes.ingest import Ingest
from graphql_api.runtimes.lines import Patience
from graphql_api.runtimes.models import Execution
from graphql_api.runtimes.protocol import AgentRuntime, ThreadRef
from graphql_api.runtimes.worker import Worker
from support.texts import store

QUICK = Patience(first_delay=0.01, longest_delay=0.05)
"""As patient as usual, but quick to open a stream again."""

NOBODY = 1
"""Number of a worker that does not live."""


@dataclass
class Listener:
    """Hears of executions as proposals do, and keeps how they ended."""

    log: EventLog
    started_ids: list[UUID] = field(default_factory=list)
    outcomes: dict[UUID, Outcome] = field(default_factory=dict)
    faults: list[Exception] = field(default_factory=list)

    async def started(self, session: Session, claim: Claim, *, thread: ThreadRef, runtime: str) -> None:
        """Note the start."""
        await executions.begin(session, claim, thread=thread, runtime=runtime)
        event = NewEvent("ProposalStarted", {"thread_id": thread.thread_id, "runtime": runtime})
        await self.log.append(session, claim.execution_id, [event], epoch=claim.epoch)
        session.after_commit.append(lambda: self.started_ids.append(claim.execution_id))

    async def ended(self, session: Session, claim: Claim, outcome: Outcome) -> None:
        """Note the end, and close the log."""
        if self.faults:
            raise self.faults.pop(0)
        await executions.end(session, claim)
        payload = {"failure": outcome.failure.message if outcome.failure else None}
        event = NewEvent("ProposalEnded", payload, is_terminal=True)
        await self.log.append(session, claim.execution_id, [event], epoch=claim.epoch)
        session.after_commit.append(lambda: self.outcomes.update({claim.execution_id: outcome}))


@dataclass
class Engine:
    """One database with its log, and what tests do with executions in it."""

    database: Database
    log: EventLog
    listener: Listener

    async def order(self, files: Mapping[str, str] | None = None, prompt: str = "Do it.") -> UUID:
        """Order an execution."""
        given = files or {}
        request = {"prompt": prompt, "context_file_path": None, "context_selection": None}
        async with self.database.transaction() as session:
            await store(session, given.values())
            await self.log.open(session, execution_id := uuid4())
            entries = [entry_of(path, content, now()) for path, content in given.items()]
            await executions.order(session, self.log, execution_id, request, entries)
        return execution_id

    async def claim(self, *, worker: int = NOBODY, limit: int = 1) -> list[Claim]:
        """Claim what is due; as a worker that is dead unless another number is given."""
        async with self.database.transaction() as session:
            return await executions.claim(session, self.log, worker=worker, limit=limit)

    async def claimed(self) -> Claim:
        """Claim the one execution that is due."""
        (claim,) = await self.claim()
        return claim

    def ingest(self, runtime: AgentRuntime, **options: Any) -> Ingest:  # noqa: ANN401 - passes Ingest's own on
        """Make an ingest."""
        return Ingest(self.database, self.log, runtime, self.listener, **{"patience": QUICK, **options})

    def worker(self, runtime: AgentRuntime, **options: Any) -> Worker:  # noqa: ANN401 - passes Worker's own on
        """Make a worker."""
        return Worker(self.database, self.log, runtime, self.listener, **{"patience": QUICK, **options})

    async def row(self, execution_id: UUID) -> Execution:
        """Read an execution."""
        async with self.database.transaction() as session:
            return await session.get_one(Execution, execution_id)

    async def set(self, execution_id: UUID, assignments: str) -> None:
        """Change the row of an execution."""
        connection = await self.database.connect()
        await connection.execute(f"UPDATE executions SET {assignments} WHERE id = $1", execution_id)
        await connection.close()

    async def forget_all(self) -> None:
        """Leave nothing in the queue."""
        async with self.database.transaction() as session:
            await session.execute(text("UPDATE executions SET state = 'FORGOTTEN'"))

    async def stop(self, execution_id: UUID) -> None:
        """Stop an execution as a cancelled proposal does."""
        async with self.database.transaction() as session:
            await executions.stop(session, self.log, execution_id)
            event = NewEvent("ProposalCancelled", {}, is_terminal=True)
            await self.log.append(session, execution_id, [event])

    async def events(self, execution_id: UUID) -> list[StoredEvent]:
        """Read the log of an execution."""
        return await self.log.read(execution_id, after=0, limit=10_000)

    async def story(self, execution_id: UUID) -> list[tuple[str, Any]]:
        """Read what a log tells, without what differs from run to run."""
        return [(event.type, _timeless(event.payload, execution_id)) for event in await self.events(execution_id)]

    async def files(self, execution_id: UUID, sequence: int | None = None) -> dict[str, str]:
        """Read the files right after an event, with their contents."""
        async with self.database.transaction() as session:
            entries = await snapshots.files_at(session, execution_id, sequence)
            texts = await contents.load(session, {entry.digest for entry in entries.values()})
        return {path: texts[entry.digest] for path, entry in entries.items()}


@asynccontextmanager
async def working(worker: Worker) -> AsyncIterator[asyncio.Task[None]]:
    """Let a worker work; it is cancelled at the end, unless it was already."""
    task = asyncio.create_task(worker.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _timeless(value: Any, execution_id: UUID) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, Mapping):
        return {key: _timeless(item, execution_id) for key, item in value.items() if key != "updated_at"}
    if isinstance(value, list):
        return [_timeless(item, execution_id) for item in value]
    return value.replace(str(execution_id), "ID") if isinstance(value, str) else value
