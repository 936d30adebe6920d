"""The worker: claims executions that are due, works on many at once, and hands them over when it goes."""

import asyncio
import random
from datetime import timedelta
from functools import partial
from typing import Any

import asyncpg
import structlog
from sqlalchemy.exc import SQLAlchemyError

from graphql_api.events.log import AppendRefused, EventLog
from graphql_api.kit.database import Database
from graphql_api.runtimes import executions
from graphql_api.runtimes.executions import Claim, ExecutionListener, LeaseLost
from graphql_api.runtimes.ingest import Ingest, StreamLost
from graphql_api.runtimes.models import Execution
from graphql_api.runtimes.protocol import AgentRuntime, RuntimeFailure, ThreadRef

CAPACITY = 50
"""Executions that one worker has at once."""

POLL_SECONDS = 1.0
"""How long work waits at most when its notification was lost."""

RETRY_SECONDS = 2.0
"""Before a lost stream is read again."""

_DATABASE_ERRORS = (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)
_log = structlog.get_logger()


class Worker:
    """Runs executions until cancelled.

    Args:
        database: Where executions are.
        log: Where their events go.
        runtime: Who runs the agents.
        listener: Who is told of starts and ends.
    """

    def __init__(self, database: Database, log: EventLog, runtime: AgentRuntime, listener: ExecutionListener) -> None:
        self._database = database
        self._log = log
        self._runtime = runtime
        self._ingest = Ingest(database, log, runtime, listener)
        self._number = random.SystemRandom().randrange(1, 2**31)
        self._wake = asyncio.Event()
        self._running: dict[Claim, asyncio.Task[None]] = {}
        self.is_connected = False

    async def run(self) -> None:
        """Work until cancelled; then hand over what is unfinished."""
        try:
            while True:
                try:
                    await self._work()
                except _DATABASE_ERRORS as error:
                    _log.warning("worker_disconnected", error=type(error).__name__)
                    await asyncio.sleep(POLL_SECONDS)
        finally:
            await self._stop(list(self._running))

    async def _work(self) -> None:
        """Work while the connection lasts whose session lock says that this worker lives."""
        connection = await self._database.connect()
        lost = asyncio.Event()
        try:
            connection.add_termination_listener(lambda _connection: lost.set())
            await connection.execute("SELECT pg_advisory_lock($1, $2)", executions.WORKER_LOCKS, self._number)
            await connection.add_listener(executions.CHANNEL, self._hear)
            self.is_connected = True
            while not lost.is_set():
                self._wake.clear()
                await self._keep_leases()
                await self._claim()
                await self._forget()
                await self._wait()
        finally:
            self.is_connected = False
            connection.terminate()

    def _hear(self, *_notification: object) -> None:
        self._wake.set()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _keep_leases(self) -> None:
        if self._running:
            held = await executions.renew(self._database, worker=self._number)
            for claim in self._running.keys() - held:
                self._running[claim].cancel()

    async def _claim(self) -> None:
        free = CAPACITY - len(self._running)
        if free <= 0:
            return
        async with self._database.transaction() as session:
            claims = await executions.claim(session, self._log, worker=self._number, limit=free)
        for claim in claims:
            task = asyncio.create_task(self._execute(claim))
            self._running[claim] = task
            task.add_done_callback(partial(self._done, claim))

    def _done(self, claim: Claim, _task: asyncio.Task[None]) -> None:
        del self._running[claim]
        self._wake.set()

    async def _execute(self, claim: Claim) -> None:
        try:
            await self._ingest.run(claim)
        except (LeaseLost, AppendRefused):
            _log.info("execution_left", execution_id=str(claim.execution_id), epoch=claim.epoch)
        except (StreamLost, RuntimeFailure, *_DATABASE_ERRORS) as error:
            _log.warning("execution_interrupted", execution_id=str(claim.execution_id), error=str(error))
            await self._give_back(claim, delay=timedelta(seconds=RETRY_SECONDS), is_loss=True)
        except Exception:  # noqa: BLE001 - one execution that breaks must not take the others with it
            _log.exception("execution_crashed", execution_id=str(claim.execution_id))
            await self._give_back(claim, delay=timedelta(seconds=RETRY_SECONDS), is_loss=True)

    async def _give_back(self, claim: Claim, **options: Any) -> None:  # noqa: ANN401 - passes `give_back`'s own on
        try:
            await executions.give_back(self._database, self._log, claim, **options)
        except _DATABASE_ERRORS as error:
            _log.warning("lease_left_to_expire", execution_id=str(claim.execution_id), error=type(error).__name__)

    async def _stop(self, claims: list[Claim]) -> None:
        tasks = [self._running[claim] for claim in claims]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for claim in claims:
            await self._give_back(claim)

    async def _forget(self) -> None:
        """Stop and drop threads that nobody needs; the runtime's answer changes nothing of ours."""
        async with self._database.transaction() as session:
            due = await executions.claim_forgetting(session, limit=CAPACITY)
        for execution in due:
            if execution.thread_id is None or await self._drop(execution):
                await executions.forgotten(self._database, execution.id)

    async def _drop(self, execution: Execution) -> bool:
        thread = ThreadRef(execution.thread_id or "", execution.handle)
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._runtime.cancel(thread)
                await self._runtime.forget(thread)
        except (RuntimeFailure, TimeoutError) as error:
            _log.warning("thread_not_forgotten", execution_id=str(execution.id), error=str(error))
            return execution.attempts >= executions.MAX_ATTEMPTS
        return True
