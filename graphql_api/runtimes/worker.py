"""The worker: claims executions that are due, works on many at once, and hands them over when it goes."""

import asyncio
import random
from contextlib import suppress
from datetime import timedelta
from functools import partial

import asyncpg
import structlog

from graphql_api.events.log import AppendRefused, EventLog
from graphql_api.kit.database import DATABASE_ERRORS, Database
from graphql_api.runtimes import executions
from graphql_api.runtimes.executions import Claim, ExecutionListener, LeaseLost
from graphql_api.runtimes.forgetting import Forgetter
from graphql_api.runtimes.ingest import Ingest
from graphql_api.runtimes.lines import DEFAULT_PATIENCE, Patience
from graphql_api.runtimes.protocol import AgentRuntime, RuntimeFailure

CAPACITY = 50
"""Executions that one worker has at once."""

POLL_SECONDS = 0.5
"""How long work waits at most when its notification was lost; leases are prolonged as often."""

_log = structlog.get_logger()


class Worker:
    """Runs executions until cancelled.

    Args:
        database: Where executions are.
        log: Where their events go.
        runtime: Who runs the agents.
        listener: Who is told of starts and ends.
        lease: How long it keeps its executions while it can't be heard of; several times `POLL_SECONDS`.
        patience: How long it waits for the runtime.
    """

    def __init__(
        self,
        database: Database,
        log: EventLog,
        runtime: AgentRuntime,
        listener: ExecutionListener,
        *,
        lease: timedelta = executions.LEASE,
        patience: Patience = DEFAULT_PATIENCE,
    ) -> None:
        self._database = database
        self._log = log
        self._lease = lease
        self._ingest = Ingest(database, log, runtime, listener, patience=patience)
        self._forgetter = Forgetter(database, runtime)
        self._forgetting: asyncio.Task[None] | None = None
        self._number = 0
        self._wake = asyncio.Event()
        self._running: dict[Claim, asyncio.Task[None]] = {}
        self.is_connected = False

    async def run(self) -> None:
        """Work until cancelled; then hand over what is unfinished."""
        try:
            while True:
                try:
                    await self._work()
                except DATABASE_ERRORS as error:
                    _log.warning("worker_disconnected", error=type(error).__name__)
                    await asyncio.sleep(POLL_SECONDS)
        finally:
            await self._hand_over()

    async def _work(self) -> None:
        """Work while the connection lasts whose session lock says that this worker lives.

        Each connection has a number of its own: the lock of one that is lost may linger in the server, and what it had
        claimed without anybody's knowing is then free for all.
        """
        connection = await self._database.connect()
        try:
            self._number = random.SystemRandom().randrange(1, 2**31)
            connection.add_termination_listener(self._hear)
            await connection.execute("SELECT pg_advisory_lock($1, $2)", executions.WORKER_LOCKS, self._number)
            await connection.add_listener(executions.CHANNEL, self._hear)
            self.is_connected = True
            while not connection.is_closed():
                self._wake.clear()
                await self._keep_leases(connection)
                await self._claim()
                self._forget()
                await self._wait()
        except asyncio.CancelledError:
            # While the lock is held: without it others take what is running, and count it as lost.
            await self._hand_over()
            raise
        finally:
            self.is_connected = False
            connection.terminate()

    def _hear(self, *_notification: object) -> None:
        self._wake.set()

    async def _wait(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await self._wake.wait()

    async def _keep_leases(self, connection: asyncpg.Connection) -> None:
        held = await executions.renew(connection, self._running.keys(), worker=self._number, lease=self._lease)
        for claim in self._ingest.reading - held:
            self._running[claim].cancel()

    async def _claim(self) -> None:
        free = CAPACITY - len(self._running)
        if free <= 0:
            return
        try:
            async with self._database.transaction() as session:
                claims = await executions.claim(session, self._log, worker=self._number, limit=free, lease=self._lease)
        except DATABASE_ERRORS as error:
            # Only the connection with the session lock tells whether the database is gone: a busy pool is not that.
            _log.warning("nothing_claimed", error=type(error).__name__)
            return
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
        except (RuntimeFailure, *DATABASE_ERRORS) as error:
            _log.warning("execution_interrupted", execution_id=str(claim.execution_id), error=str(error))
            await self._give_back(claim, is_loss=True)
        except Exception:  # noqa: BLE001 - one execution that breaks must not take the others with it
            _log.exception("execution_crashed", execution_id=str(claim.execution_id))
            await self._give_back(claim, is_loss=True)

    async def _give_back(self, claim: Claim, *, is_loss: bool) -> None:
        try:
            await executions.give_back(self._database, claim, is_loss=is_loss)
        except DATABASE_ERRORS as error:
            _log.warning("lease_left_to_expire", execution_id=str(claim.execution_id), error=type(error).__name__)

    def _forget(self) -> None:
        """Let threads be forgotten in the background: a slow runtime must not cost leases."""
        if self._forgetting is None or self._forgetting.done():
            self._forgetting = asyncio.create_task(self._forget_due())

    async def _forget_due(self) -> None:
        try:
            await self._forgetter.forget_due()
        except DATABASE_ERRORS as error:
            _log.warning("forgetting_put_off", error=type(error).__name__)

    async def _hand_over(self) -> None:
        """Stop all work, and let others claim it at once."""
        claims, tasks = list(self._running), list(self._running.values())
        if self._forgetting is not None:
            tasks.append(self._forgetting)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for claim in claims:
            await self._give_back(claim, is_loss=False)
