from collections.abc import AsyncGenerator, Sequence

import pytest

from graphql_api.kit.batches import MAX_MADE, Batch, Batched

pytestmark = pytest.mark.anyio


class Source:
    def __init__(self, *batches: Sequence[int]) -> None:
        self.batches = batches
        self.is_closed = False

    async def give(self) -> AsyncGenerator[Sequence[int]]:
        try:
            for batch in self.batches:
                yield batch
        finally:
            self.is_closed = True


def listed(batch: Batch[int]) -> list[int]:
    return list(batch)


def scaled(batch: Batch[int], factor: int) -> list[int]:
    return [item * factor for item in batch]


class TestBatch:
    def test_what_is_made_of_it_is_made_once_by_each_function_with_each_argument(self) -> None:
        batch = Batch([1, 2])

        assert batch.made(listed) is batch.made(listed)
        assert (batch.made(listed), batch.made(scaled, 2), batch.made(scaled, 3)) == ([1, 2], [2, 4], [3, 6])

    def test_it_keeps_little(self) -> None:
        batch = Batch([1])
        for factor in range(3 * MAX_MADE):
            assert batch.made(scaled, factor) == [factor]

        assert 0 < len(batch._made) <= MAX_MADE

    def test_what_can_not_be_made_is_tried_again(self) -> None:
        for _ in range(2):
            with pytest.raises(TypeError):
                Batch([1]).made(scaled)


class TestBatched:
    async def test_it_gives_batches_as_they_came_and_none_at_the_end(self) -> None:
        stream = Batched(Source([1, 2], [3]).give())

        assert [list(await stream.batch()) for _ in range(3)] == [[1, 2], [3], []]

    async def test_it_gives_items_one_by_one(self) -> None:
        assert [item async for item in Batched(Source([1, 2], [3]).give())] == [1, 2, 3]

    async def test_after_one_item_the_rest_of_its_batch_is_a_batch(self) -> None:
        stream = Batched(Source([1, 2, 3], [4]).give())

        assert await anext(stream) == 1
        assert [list(await stream.batch()) for _ in range(2)] == [[2, 3], [4]]

    async def test_closing_closes_the_source(self) -> None:
        source = Source([1, 2])
        stream = Batched(source.give())
        await anext(stream)

        await stream.aclose()

        assert source.is_closed
        assert list(await stream.batch()) == []


class TestMapped:
    async def test_each_item_is_mapped(self) -> None:
        stream = Batched(Source([1, 2], [3]).give()).mapped(str)

        assert [item async for item in stream] == ["1", "2", "3"]

    async def test_those_who_are_given_the_same_batch_get_the_same_of_it(self) -> None:
        batch = Batch([1, 2])
        first, second = (Batched(Source(batch).give()).mapped(str) for _ in range(2))

        assert await first.batch() is await second.batch()

    async def test_the_rest_of_a_batch_is_mapped_too(self) -> None:
        stream = Batched(Source([1, 2, 3]).give())
        assert await anext(stream) == 1
        twice = stream.mapped(lambda item: item + 1).mapped(str)

        assert await anext(twice) == "3"
        assert list(await twice.batch()) == ["4"]
        assert list(await twice.batch()) == []

    async def test_an_error_ends_what_is_read_item_by_item(self) -> None:
        source = Source([1, 0, 2])
        stream = Batched(source.give()).mapped(lambda item: 6 // item)

        assert await anext(stream) == 6
        with pytest.raises(ZeroDivisionError):
            await anext(stream)
        assert source.is_closed
        with pytest.raises(StopAsyncIteration):
            await anext(stream)

    async def test_what_came_before_an_error_is_given_before_it(self) -> None:
        source = Source([1, 0, 2])
        stream = Batched(source.give()).mapped(lambda item: 6 // item)

        assert list(await stream.batch()) == [6]
        with pytest.raises(ZeroDivisionError):
            await stream.batch()
        assert source.is_closed

    async def test_an_error_of_the_first_item_comes_at_once(self) -> None:
        with pytest.raises(ZeroDivisionError):
            await Batched(Source([0, 1]).give()).mapped(lambda item: 6 // item).batch()

    async def test_closing_closes_the_source(self) -> None:
        source = Source([1, 2])
        stream = Batched(source.give()).mapped(str)
        await anext(stream)

        await stream.aclose()

        assert source.is_closed
