"""Forgetting: runs that nobody needs are stopped, and their threads dropped, as far as the runtime can."""

import asyncio
from datetime import timedelta
from uuid import UUID

import structlog
from sqlalchemy import text
from sqlmodel import col, func, select, update

from graphql_api.kit.database import Database, Session
from graphql_api.runtimes.executions import MAX_ATTEMPTS
from graphql_api.runtimes.models import Execution, ExecutionState
from graphql_api.runtimes.protocol import AgentRuntime, RuntimeFailure, ThreadRef

AT_ONCE = 10
"""Threads that one worker asks a runtime to forget at the same time."""

ANSWER_SECONDS = 10.0
"""How long a runtime may take over one thread; a busy one is slow, and nobody waits for it."""

AGAIN_AFTER = timedelta(minutes=1)
"""Before a runtime is asked once more; longer than its answer is waited for."""

_CLAIM = text("""
    WITH due AS (
        SELECT id FROM executions WHERE state = 'TO_FORGET' AND due_at <= now()
        ORDER BY due_at LIMIT :limit FOR UPDATE SKIP LOCKED
    )
    UPDATE executions SET attempts = attempts + 1, due_at = now() + :again
    FROM due WHERE executions.id = due.id
    RETURNING executions.id
""")

_log = structlog.get_logger()


class Forgetter:
    """Asks a runtime to forget what was ordered to be forgotten.

    Args:
        database: Where executions are.
        runtime: Who keeps the threads.
    """

    def __init__(self, database: Database, runtime: AgentRuntime) -> None:
        self._database = database
        self._runtime = runtime

    async def forget_due(self) -> None:
        """Stop and drop the threads that are due; what fails comes again, a limited number of times."""
        while due := await claim_due(self._database):
            await asyncio.gather(*(self._forget(execution) for execution in due))

    async def _forget(self, execution: Execution) -> None:
        if execution.thread_id is None or await self._drop(ThreadRef(execution.thread_id, execution.handle), execution):
            await forgotten(self._database, execution)

    async def _drop(self, thread: ThreadRef, execution: Execution) -> bool:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._runtime.cancel(thread)
                await self._runtime.forget(thread)
        except (RuntimeFailure, TimeoutError) as error:
            _log.warning("thread_not_forgotten", execution_id=str(execution.id), error=str(error))
        except Exception:  # noqa: BLE001 - an adapter that breaks must not keep others from being forgotten
            _log.exception("forgetting_crashed", execution_id=str(execution.id))
        else:
            return True
        return execution.attempts >= MAX_ATTEMPTS


async def claim_due(database: Database) -> list[Execution]:
    """Give executions whose threads are to be forgotten; they come again later unless `forgotten` is called."""
    async with database.transaction() as session:
        ids = list((await session.execute(_CLAIM, {"limit": AT_ONCE, "again": AGAIN_AFTER})).scalars())
        return await _read(session, ids) if ids else []


async def forgotten(database: Database, execution: Execution) -> None:
    """Note that nothing is left to do, unless a thread became known meanwhile."""
    async with database.transaction() as session:
        await session.execute(
            update(Execution)
            .where(
                col(Execution.id) == execution.id,
                col(Execution.state) == ExecutionState.TO_FORGET,
                col(Execution.thread_id).is_not_distinct_from(execution.thread_id),
            )
            .values(state=ExecutionState.FORGOTTEN)
        )


async def disown(database: Database, execution_id: UUID, thread: ThreadRef) -> None:
    """Order that a thread is forgotten whose execution was stopped while the runtime started it.

    Nothing happens when the execution was not stopped: whoever took it over works on the same thread.
    """
    stopped = col(Execution.state).in_([ExecutionState.TO_FORGET, ExecutionState.FORGOTTEN])
    async with database.transaction() as session:
        await session.execute(
            update(Execution)
            .where(col(Execution.id) == execution_id, stopped, col(Execution.thread_id).is_(None))
            .values(
                state=ExecutionState.TO_FORGET,
                due_at=func.now(),
                attempts=0,
                thread_id=thread.thread_id,
                handle=dict(thread.handle),
            )
        )


async def _read(session: Session, ids: list[UUID]) -> list[Execution]:
    return list((await session.exec(select(Execution).where(col(Execution.id).in_(ids)))).all())
