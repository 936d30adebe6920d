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


async def until_still(count: Callable[[], int]) -> None:
    """Wait until a count stays the same over many turns of the event loop."""
    still, before = 0, -1

    def looks_still() -> bool:
        nonlocal still, before
        still = still + 1 if count() == before else 0
        before = count()
        return still > 20

    await until(looks_still)
