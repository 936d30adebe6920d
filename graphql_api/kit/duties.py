"""Duties: what a worker does again and again."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager

import structlog

from graphql_api.kit import metrics
from graphql_api.kit.database import DATABASE_ERRORS, Database

DUTY_LOCKS = 0x0DC5
"""First key of the session locks that tell which duties are being done."""

_SECONDS = metrics.histogram(
    "duty_duration_seconds", "How long rounds of what workers do again and again take.", ["duty", "result"]
)
_ROWS = metrics.counter("duty_rows", "Rows that rounds of a duty changed, moved or deleted.", ["duty"])
_DONE_AT = metrics.gauge("duty_last_done_timestamp_seconds", "When a round of a duty last went well here.", ["duty"])

Duty = Callable[[], Awaitable[int | None]]
"""Does one round; tells how many rows it changed, if it changes any."""

_log = structlog.get_logger()


@asynccontextmanager
async def background(*works: Coroutine[object, object, object]) -> AsyncIterator[None]:
    """Run what works in the background while the context lasts; what breaks there ends the context."""
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(work) for work in works]
        try:
            yield
        finally:
            for task in running:
                task.cancel()


async def repeat(name: str, duty: Duty, *, seconds: float) -> None:
    """Do a duty until cancelled; a round that the database does not let through is left out.

    Args:
        name: Of the duty, in metrics and logs.
        duty: What is done; any number of workers may do it at once.
        seconds: Between two rounds, more or less, so that workers do not march in step.
    """
    spread = random.SystemRandom()
    while True:
        try:
            with metrics.timed(_SECONDS, name):
                rows = await duty()
            _ROWS.labels(name).inc(rows or 0)
            _DONE_AT.labels(name).set_to_current_time()
            if rows:
                _log.info("duty_done", duty=name, rows=rows)
        except DATABASE_ERRORS as error:
            _log.warning("duty_left_out", duty=name, error=type(error).__name__)
        await asyncio.sleep(seconds * spread.uniform(0.8, 1.2))


async def alone(database: Database, name: str, duty: Duty) -> int | None:
    """Do a round of a duty, unless another process does it now.

    The lock is that of a session: PostgreSQL releases it when the process dies.

    Args:
        database: Where the lock is.
        name: Of the duty.
        duty: What is done; it must do no harm should the connection, and with it the lock, be lost meanwhile.

    Returns:
        How many rows it changed; None when another process does it.
    """
    connection = await database.connect()
    try:
        query = "SELECT pg_try_advisory_lock($1, hashtext($2))"
        return await duty() if await connection.fetchval(query, DUTY_LOCKS, name) else None
    finally:
        connection.terminate()
