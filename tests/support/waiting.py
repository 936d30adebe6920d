"""Waiting for conditions, so that no test sleeps for a guess."""

import asyncio
from collections.abc import Awaitable, Callable
from inspect import isawaitable

WAIT_SECONDS = 40.0


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    """Return once a condition holds.

    Raises:
        TimeoutError: When it does not after that many seconds.
    """
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            answer = condition()
            if await answer if isawaitable(answer) else answer:
                return
            await asyncio.sleep(0.005)
