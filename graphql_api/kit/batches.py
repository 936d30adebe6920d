"""Streams that hand over what is there at once, so that the cost of waiting is not paid for each item."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Generic, Self, TypeVar

Item = TypeVar("Item")
Other = TypeVar("Other")


class Batched(Generic[Item]):
    """A stream of items that come one by one or batch by batch, as its reader likes.

    Args:
        batches: Gives the items in order; no batch is empty.
    """

    __slots__ = ("_batches", "_rest")

    def __init__(self, batches: AsyncGenerator[Sequence[Item], None]) -> None:
        self._batches = batches
        self._rest: list[Item] = []  # in reverse; a deque would take 700 bytes while there is nothing in it

    async def batch(self) -> Sequence[Item]:
        """Wait for items and give all that are there; an empty batch is the end."""
        if self._rest:
            rest, self._rest = self._rest[::-1], []
            return rest
        try:
            return await anext(self._batches)
        except StopAsyncIteration:
            return ()

    def mapped(self, make: Callable[[Item], Other]) -> "Batched[Other]":
        """Give the stream of what a function makes of each item; it is to be closed instead of this one."""
        return Batched(self._made(make))

    async def _made(self, make: Callable[[Item], Other]) -> AsyncGenerator[Sequence[Other], None]:
        async with aclosing(self):
            while batch := await self.batch():
                made: list[Other] = []
                try:
                    made.extend(map(make, batch))
                except Exception:
                    if made:  # came before what broke
                        yield made
                    raise
                yield made

    def __aiter__(self) -> Self:
        """Read item by item."""
        return self

    async def __anext__(self) -> Item:
        """Wait for the next item."""
        if not self._rest:
            self._rest = list(reversed(await anext(self._batches)))
        return self._rest.pop()

    async def aclose(self) -> None:
        """Let go of where the items come from."""
        self._rest.clear()
        await self._batches.aclose()
