"""Duties: what a worker does again and again."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager

import structlog
from sqlalchemy.exc import SQLAlchemyError

from graphql_api.kit import metrics

_SECONDS = metrics.histogram(
    "duty_duration_seconds", "How long rounds of what workers do again and again take.", ["duty", "result"]
)
_DONE_AT = metrics.gauge("duty_last_done_timestamp_seconds", "When a round of a duty last went well here.", ["duty"])

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


async def repeat(name: str, duty: Callable[[], Awaitable[object]], *, seconds: float) -> None:
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
                await duty()
            _DONE_AT.labels(name).set_to_current_time()
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            _log.warning("duty_left_out", duty=name, error=type(error).__name__)
        await asyncio.sleep(seconds * spread.uniform(0.8, 1.2))
