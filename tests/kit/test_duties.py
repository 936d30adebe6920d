import asyncio
from contextlib import suppress

import pytest
from support.waiting import until

from graphql_api.kit.database import Database
from graphql_api.kit.duties import alone, repeat
from graphql_api.kit.metrics import REGISTRY

pytestmark = pytest.mark.anyio


async def test_a_duty_is_done_again_and_again_also_after_a_round_that_failed() -> None:
    rounds: list[int] = []

    async def duty() -> int:
        rounds.append(len(rounds))
        if len(rounds) == 2:
            raise OSError("The database is away.")
        return 1

    task = asyncio.create_task(repeat("count", duty, seconds=0))
    await until(lambda: len(rounds) >= 4)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task

    assert rounds[:4] == [0, 1, 2, 3]
    assert REGISTRY.get_sample_value("orchestrator_duty_rows_total", {"duty": "count"}) == len(rounds) - 1


async def test_one_process_does_a_duty_at_a_time(database: Database) -> None:
    began, may_end = asyncio.Event(), asyncio.Event()

    async def slow() -> int:
        began.set()
        await may_end.wait()
        return 3

    async def quick() -> int:
        return 5

    first = asyncio.create_task(alone(database, "clear", slow))
    await began.wait()

    assert await alone(database, "clear", quick) is None
    assert await alone(database, "sweep", quick) == 5
    may_end.set()
    assert await first == 3

    async def is_free() -> bool:
        return await alone(database, "clear", quick) == 5

    await until(is_free)
