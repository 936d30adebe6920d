import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from support.waiting import until

from graphql_api.runtimes.batches import BATCH, READ_AHEAD, batches
from graphql_api.runtimes.protocol import Frame

pytestmark = pytest.mark.anyio

NEVER = 3600


class Stream:
    """A stream of numbered frames that tells how far it was read, and whether it was closed."""

    def __init__(self, count: int, error: Exception | None = None) -> None:
        self.count, self.error = count, error
        self.sent, self.is_closed = 0, False

    async def frames(self) -> AsyncIterator[Frame]:
        try:
            while self.sent < self.count:
                self.sent += 1
                yield Frame("said", self.sent)
            if self.error is not None:
                raise self.error
        finally:
            self.is_closed = True


class Plain:
    """An iterator that is no generator, and has nothing to close."""

    def __init__(self) -> None:
        self.left = [Frame("said", 1)]

    def __aiter__(self) -> "Plain":
        return self

    async def __anext__(self) -> Frame:
        if not self.left:
            raise StopAsyncIteration
        return self.left.pop()


class TestBatches:
    @pytest.mark.parametrize("count", [0, 1, BATCH, BATCH + 1, 2 * READ_AHEAD + 1, 5 * BATCH])
    async def test_every_frame_comes_once_and_in_order(self, count: int) -> None:
        got = [batch async for batch in batches(Stream(count).frames(), tick=NEVER) if batch is not None]
        assert [frame.content for batch in got for frame in batch.frames] == list(range(1, count + 1))
        assert all(0 < len(batch.frames) <= BATCH for batch in got)

    async def test_an_error_comes_after_the_frames_before_it(self) -> None:
        got: list[Frame] = []

        async def read() -> None:
            async for batch in batches(Stream(3, ZeroDivisionError()).frames(), tick=NEVER):
                got.extend(batch.frames if batch is not None else ())

        with pytest.raises(ZeroDivisionError):
            await read()
        assert [frame.content for frame in got] == [1, 2, 3]

    async def test_an_iterator_without_an_end_of_its_own_will_do(self) -> None:
        got = [batch async for batch in batches(Plain(), tick=NEVER) if batch is not None]
        assert [batch.frames for batch in got] == [[Frame("said", 1)]]

    async def test_whoever_stops_early_leaves_nothing_open_though_the_queue_is_full(self) -> None:
        stream = Stream(10 * READ_AHEAD)
        before = asyncio.all_tasks()
        async with aclosing(batches(stream.frames(), tick=NEVER)) as arriving:
            assert await anext(arriving) is not None
            await until(lambda: stream.sent > READ_AHEAD)
        assert stream.is_closed
        assert stream.sent <= BATCH + READ_AHEAD + 1
        assert asyncio.all_tasks() == before

    async def test_while_nothing_comes_it_says_so_again_and_again(self) -> None:
        gate = asyncio.Event()

        async def frames() -> AsyncIterator[Frame]:
            yield Frame("said", 1)
            await gate.wait()
            yield Frame("said", 2)

        async with aclosing(batches(frames(), tick=0.001)) as arriving:
            got = [await anext(arriving) for _ in range(4)]
            gate.set()
            got += [batch async for batch in arriving]
        first, *silence, last = [None if batch is None else batch.frames[0].content for batch in got]
        assert (first, last) == (1, 2)
        assert set(silence) == {None}
