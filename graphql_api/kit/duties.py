"""Duties: what a worker does again and again."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import structlog
from sqlalchemy.exc import SQLAlchemyError

_log = structlog.get_logger()


async def repeat(duty: Callable[[], Awaitable[object]], *, seconds: float) -> None:
    """Do a duty until cancelled; a round that the database does not let through is left out.

    Args:
        duty: What is done; any number of workers may do it at once.
        seconds: Between two rounds, more or less, so that workers do not march in step.
    """
    spread = random.SystemRandom()
    while True:
        try:
            await duty()
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            _log.warning("duty_left_out", error=type(error).__name__)
        await asyncio.sleep(seconds * spread.uniform(0.8, 1.2))
