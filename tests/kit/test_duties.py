import asyncio
from contextlib import suppress

import pytest
from support.waiting import until

from graphql_api.kit.duties import repeat

pytestmark = pytest.mark.anyio


async def test_a_duty_is_done_again_and_again_also_after_a_round_that_failed() -> None:
    rounds: list[int] = []

    async def duty() -> None:
        rounds.append(len(rounds))
        if len(rounds) == 2:
            raise OSError("The database is away.")

    task = asyncio.create_task(repeat("count", duty, seconds=0))
    await until(lambda: len(rounds) >= 4)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task

    assert rounds[:4] == [0, 1, 2, 3]
