import asyncio

import pytest
from support.waiting import until

from graphql_api.kit.together import MAX_READS, Together

pytestmark = pytest.mark.anyio


class Reads:
    """Reads that end when they are told to."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.has_begun = asyncio.Event()
        self.may_end = asyncio.Event()
        self.errors: list[Exception] = []

    async def read(self, keys: list[int]) -> dict[int, str]:
        self.asked.append(keys)
        self.has_begun.set()
        await self.may_end.wait()
        if self.errors:
            raise self.errors.pop()
        return {key: str(key) for key in keys if key > 0}


async def begun(reads: Reads, *keys: int) -> list[asyncio.Task[str | None]]:
    """Ask for the first key, and for the others while it is read."""
    together = Together(reads.read)
    tasks = [asyncio.create_task(together.find(keys[0]))]
    await reads.has_begun.wait()
    tasks += [asyncio.create_task(together.find(key)) for key in keys[1:]]
    await asyncio.sleep(0)
    return tasks


class TestFind:
    async def test_those_who_ask_during_a_read_share_the_next(self, anyio_backend: str) -> None:
        reads = Reads()
        tasks = await begun(reads, 1, 1, 2, 2, 3)
        reads.may_end.set()
        assert await asyncio.gather(*tasks) == ["1", "1", "2", "2", "3"]
        assert reads.asked == [[1], [1, 2, 3]]

    async def test_what_is_not_there_is_none(self, anyio_backend: str) -> None:
        reads = Reads()
        reads.may_end.set()
        assert await Together(reads.read).find(-1) is None

    async def test_nothing_is_remembered(self, anyio_backend: str) -> None:
        reads = Reads()
        reads.may_end.set()
        together = Together(reads.read)
        assert [await together.find(1), await together.find(1)] == ["1", "1"]
        assert reads.asked == [[1], [1]]

    async def test_whoever_leaves_ends_it_for_nobody_else(self, anyio_backend: str) -> None:
        reads = Reads()
        leaving, *staying = await begun(reads, 1, 2, 2)
        leaving.cancel()
        staying[0].cancel()
        reads.may_end.set()
        assert await staying[1] == "2"

    async def test_an_error_is_theirs_who_shared_the_read(self, anyio_backend: str) -> None:
        reads = Reads()
        reads.errors = [OSError("away")]
        tasks = await begun(reads, 1, 2, 3)
        reads.may_end.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert [str(each) for each in found] == ["away", "2", "3"]

    async def test_a_read_that_takes_long_stops_nobody_else(self, anyio_backend: str) -> None:
        reads = Reads()
        together = Together(reads.read, patience_seconds=0)
        slow = asyncio.create_task(together.find(1))
        await reads.has_begun.wait()
        quick = asyncio.create_task(together.find(2))
        await until(lambda: reads.asked == [[1], [2]])
        reads.may_end.set()
        assert await asyncio.gather(slow, quick) == ["1", "2"]

    async def test_only_so_many_reads_take_long_at_once(self, anyio_backend: str) -> None:
        reads = Reads()
        together = Together(reads.read, patience_seconds=0)
        slow = [[key] for key in range(1, MAX_READS + 1)]
        tasks = []
        for number, [key] in enumerate(slow, 1):
            tasks.append(asyncio.create_task(together.find(key)))
            await until(lambda number=number: reads.asked == slow[:number])
        later = [asyncio.create_task(together.find(key)) for key in (10, 11)]
        await until(lambda: together.waiting == MAX_READS + 2)
        assert reads.asked == slow
        reads.may_end.set()
        assert await asyncio.gather(*tasks, *later) == [*(str(key) for [key] in slow), "10", "11"]
        assert reads.asked == [*slow, [10, 11]]
