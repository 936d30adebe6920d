"""Executions: the order to run an agent is its own queue and lease.

A worker that lost its lease can write nothing: each write names the epoch of its claim, and a new claim ends it.
Rows are locked in one order everywhere: the owner's row above, the execution, its log.
All that decides when something is due is told by the database's clock: those of workers may differ.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol
from uuid import UUID

import asyncpg
from sqlalchemy import Update, text
from sqlmodel import col, func, insert, select, update

from graphql_api.events.log import Companion, EventLog
from graphql_api.events.records import NewEvent, NewLiveEvent, StoredEvent
from graphql_api.kit import contents, metrics, tracing
from graphql_api.kit.database import Database, Session
from graphql_api.kit.errors import ErrorCode
from graphql_api.kit.files import FileEntry
from graphql_api.runtimes import snapshots
from graphql_api.runtimes.models import Execution, ExecutionState
from graphql_api.runtimes.protocol import ThreadRef
from graphql_api.runtimes.snapshots import Written

CHANNEL = "orchestrator_executions"
"""Workers listen here for new work."""

WORKER_LOCKS = 0x0DC4
"""First key of the session locks that tell which workers live."""

LEASE = timedelta(seconds=2)
"""How long a worker that can't be heard of keeps its executions; one that died loses them at once.

Whoever only seemed lost can write nothing any more, so that a short lease costs a repeated step at worst.
"""

MAX_ATTEMPTS = 10
"""Claims of one execution that ended in a loss: of the stream, the runtime or the worker."""

FIRST_DELAY = timedelta(seconds=1)
"""Before what was lost once may be claimed; it doubles with each attempt."""

LONGEST_DELAY = timedelta(seconds=8)

_TAKEOVERS = metrics.counter("lease_takeovers", "Executions that were claimed while a worker that is lost held them.")
_LOSSES = metrics.counter("execution_losses", "Executions given back because stream, runtime or database was lost.")

_IS_ALIVE = """
    lease_expires_at > now() AND EXISTS (
        SELECT FROM pg_locks
        WHERE locktype = 'advisory' AND granted AND classid = :locks AND objid = lease_owner AND objsubid = 2
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    )
"""

_CLAIM = text(f"""
    WITH due AS (
        SELECT id, state FROM executions
        WHERE due_at <= now() AND (state = 'QUEUED' OR (state = 'RUNNING' AND NOT ({_IS_ALIVE})))
        ORDER BY due_at LIMIT :limit FOR UPDATE SKIP LOCKED
    )
    UPDATE executions
    SET state = 'RUNNING', epoch = epoch + 1, attempts = attempts + 1,
        lease_owner = :worker, lease_expires_at = now() + :lease
    FROM due WHERE executions.id = due.id
    RETURNING executions.id, executions.epoch, due.state = 'RUNNING'
""")  # noqa: S608 - the only thing put in is the constant above

_RENEW = """
    UPDATE executions SET lease_owner = $1, lease_expires_at = now() + $2
    FROM unnest($3::uuid[], $4::bigint[]) AS claimed (id, epoch)
    WHERE executions.id = claimed.id AND executions.epoch = claimed.epoch AND state = 'RUNNING'
    RETURNING executions.id, executions.epoch
"""


_LOCK = "SELECT FROM executions WHERE id = :subject AND epoch = :epoch AND state = 'RUNNING' FOR NO KEY UPDATE"
_NOTE = """
    noted AS (
        UPDATE executions
        SET frames_ingested = :frames, input_tokens = input_tokens + :input_tokens,
            output_tokens = output_tokens + :output_tokens
        WHERE id = :subject AND EXISTS (SELECT FROM head)
    )
"""
_TEXTS = f"texts AS ({contents.STORE.format(condition='WHERE EXISTS (SELECT FROM head)')})"
_FRAMES = "UPDATE executions SET frames_ingested = $3 WHERE id = $1 AND epoch = $2 AND state = 'RUNNING' RETURNING id"
_PROGRESS = Companion(_NOTE, lock=_LOCK)
_PROGRESS_AND_FILES = Companion(_NOTE, _TEXTS, snapshots.WRITE, lock=_LOCK)


class LeaseLost(Exception):
    """The execution is not this worker's any more: it ended, or another took it over."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to write for one execution until somebody claims it anew."""

    execution_id: UUID
    epoch: int


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an execution failed."""

    code: ErrorCode
    message: str
    is_retryable: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an execution ended: with a failure, or with its files as they are.

    Attributes:
        failure: None when it succeeded.
        summary: What the agent says of its own work.
    """

    failure: Failure | None = None
    summary: str | None = None


class ExecutionListener(Protocol):
    """Who ordered executions, and is told of them in the transactions that record it."""

    async def started(self, session: Session, claim: Claim, *, thread: ThreadRef, runtime: str) -> None:
        """Record that the runtime accepted the work; calls `begin`.

        Raises:
            LeaseLost: When the claim is over.
        """
        ...

    async def ended(self, session: Session, claim: Claim, outcome: Outcome) -> None:
        """Record the outcome and close the log; calls `end`.

        Raises:
            LeaseLost: When the claim is over.
        """
        ...


async def order(
    session: Session, log: EventLog, execution_id: UUID, request: Mapping[str, str | None], files: Sequence[FileEntry]
) -> None:
    """Order an execution in the caller's transaction; workers hear of it once that is committed.

    Args:
        session: The transaction, in which the log of the execution is open.
        log: The event log.
        execution_id: Also the subject of its log.
        request: Prompt, context path and context selection, named as in `RunRequest`.
        files: What the agent starts from.
    """
    row = {"id": execution_id, "request": dict(request), "due_at": func.now(), "traceparent": tracing.traceparent()}
    await session.execute(insert(Execution).values(row))
    await snapshots.insert(session, execution_id, 0, files)
    session.after_commit.append(lambda: log.notifier.signal(CHANNEL))


async def claim(session: Session, log: EventLog, *, worker: int, limit: int, lease: timedelta = LEASE) -> list[Claim]:
    """Take over what is due: what is new, and what a dead worker left."""
    parameters = {"worker": worker, "limit": limit, "lease": lease, "locks": WORKER_LOCKS}
    rows = (await session.execute(_CLAIM, parameters)).all()
    claims = [Claim(execution_id, epoch) for execution_id, epoch, _ in rows]
    takeovers = sum(is_takeover for *_, is_takeover in rows)
    session.after_commit.append(lambda: _TAKEOVERS.inc(takeovers))
    for claimed in claims:
        await log.fence(session, claimed.execution_id, claimed.epoch)
    return claims


async def renew(
    connection: asyncpg.Connection, claims: Collection[Claim], *, worker: int, lease: timedelta = LEASE
) -> set[Claim]:
    """Prolong the leases of a worker; give those that it still holds.

    Args:
        connection: The one whose session lock says that the worker lives: a renewal proves it.
        claims: What the worker really works on. Any other claim is to expire, even one that it committed unknowingly.
        worker: Number of the worker now, which may have been another one when it claimed.
        lease: How long it need not be heard of.
    """
    ordered = sorted(claims, key=lambda claim: claim.execution_id)
    rows = await connection.fetch(
        _RENEW,
        worker,
        lease,
        [claim.execution_id for claim in ordered],
        [claim.epoch for claim in ordered],
        timeout=lease.total_seconds(),
    )
    return {Claim(*row) for row in rows}


async def begin(session: Session, claim: Claim, *, thread: ThreadRef, runtime: str) -> None:
    """Note the thread of an execution.

    Raises:
        LeaseLost: When the claim is over.
    """
    await _write(
        session,
        claim,
        thread_id=thread.thread_id,
        handle=dict(thread.handle),
        runtime=runtime,
        started_at=func.now(),
    )


async def tell(
    log: EventLog,
    claim: Claim,
    events: Sequence[NewEvent | NewLiveEvent],
    *,
    frames: int,
    input_tokens: int = 0,
    output_tokens: int = 0,
    files: Written | None = None,
) -> list[StoredEvent]:
    """Append events to the log of an execution, with what they mean for its row and its files, in one statement.

    Args:
        log: The event log.
        claim: The right to write.
        events: In order, at least one to store.
        frames: How many are ingested with these.
        input_tokens: What these cost.
        output_tokens: What these cost.
        files: That the events brought; None when they brought none.

    Raises:
        AppendRefused: When the claim is over; nothing was written.
    """
    return await log.append_alone(
        claim.execution_id,
        events,
        epoch=claim.epoch,
        companion=_PROGRESS if files is None else _PROGRESS_AND_FILES,
        values={
            "frames": frames,
            "input_tokens": input_tokens,
            "output_tokens": output_tokens,
            **({} if files is None else files.arguments()),
        },
    )


async def note(database: Database, claim: Claim, *, frames: int) -> None:
    """Note how many frames are ingested, when the newest of them gave nothing to store.

    Raises:
        LeaseLost: When the claim is over.
    """
    if not await database.fetch(_FRAMES, claim.execution_id, claim.epoch, frames):
        raise _lost(claim)


async def end(session: Session, claim: Claim) -> None:
    """Note that nothing more will come.

    Raises:
        LeaseLost: When the claim is over.
    """
    await _write(
        session,
        claim,
        state=ExecutionState.ENDED,
        lease_owner=None,
        lease_expires_at=None,
        ended_at=func.now(),
    )


async def give_back(database: Database, claim: Claim, *, is_loss: bool) -> None:
    """Let any worker claim an execution; nothing happens when the claim is over.

    Args:
        database: Where executions are.
        claim: What is given back.
        is_loss: Whether it counts as an attempt, and nobody may claim it for a while.
    """
    delay = func.least(
        LONGEST_DELAY, FIRST_DELAY * func.power(2, func.least(col(Execution.attempts), MAX_ATTEMPTS) - 1)
    )
    values = {
        "state": ExecutionState.QUEUED,
        "due_at": func.now() + delay if is_loss else func.now(),
        "attempts": col(Execution.attempts) - (0 if is_loss else 1),
        "lease_owner": None,
        "lease_expires_at": None,
    }
    async with database.transaction() as session:
        await session.execute(_held(claim).values(**values))
        # Not through the notifier, which may end with this process before it has sent anything.
        await session.execute(select(func.pg_notify(CHANNEL, "")))
    _LOSSES.inc(is_loss)


async def stop(session: Session, log: EventLog, execution_id: UUID) -> None:
    """Order that an execution is stopped if it runs, and its thread forgotten; whoever works on it loses the claim."""
    await session.execute(
        update(Execution)
        .where(col(Execution.id) == execution_id, col(Execution.state) != ExecutionState.FORGOTTEN)
        .values(
            state=ExecutionState.TO_FORGET,
            due_at=func.now(),
            attempts=0,
            lease_owner=None,
            lease_expires_at=None,
            epoch=col(Execution.epoch) + 1,
            ended_at=func.coalesce(col(Execution.ended_at), func.now()),
        )
    )
    session.after_commit.append(lambda: log.notifier.signal(CHANNEL))


async def seconds_since_start(session: Session, execution_id: UUID) -> float:
    """Tell how long ago the runtime began; 0 when it has not."""
    query = select(func.extract("epoch", func.now() - col(Execution.started_at))).where(
        col(Execution.id) == execution_id
    )
    return float((await session.exec(query)).one() or 0)


async def _write(session: Session, claim: Claim, **values: object) -> None:
    query = _held(claim).values(**values).returning(col(Execution.id))
    # What a session has read of it is not brought up to date, which would cost more than the statement.
    result = await session.execute(query.execution_options(synchronize_session=False))
    if result.first() is None:
        raise _lost(claim)


def _lost(claim: Claim) -> LeaseLost:
    return LeaseLost(f"Epoch {claim.epoch} of execution {claim.execution_id} is over.")


def _held(claim: Claim) -> Update:
    return update(Execution).where(
        col(Execution.id) == claim.execution_id,
        col(Execution.epoch) == claim.epoch,
        col(Execution.state) == ExecutionState.RUNNING,
    )


async def link_trace(database: Database, execution_id: UUID) -> None:
    """Link what is being traced to the trace that an execution was ordered in."""
    if tracing.is_on():
        async with database.transaction() as session:
            row = await session.exec(select(Execution.traceparent).where(Execution.id == execution_id))
        tracing.link(row.first())


async def count_workers(database: Database) -> int:
    """Count the workers that live, by their session locks."""
    query = text("""
        SELECT count(*) FROM pg_locks
        WHERE locktype = 'advisory' AND granted AND classid = :locks AND objsubid = 2
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    """)
    async with database.transaction() as session:
        return int((await session.execute(query, {"locks": WORKER_LOCKS})).scalar_one())


async def count_running(database: Database) -> int:
    """Count the executions that workers work on."""
    query = select(func.count()).select_from(Execution).where(col(Execution.state) == ExecutionState.RUNNING)
    async with database.transaction() as session:
        return (await session.exec(query)).one()
