"""Streams that hand over what is there at once, so that the cost of waiting is not paid for each item."""

from collections.abc import AsyncGenerator, Callable, Hashable, Iterable, Sequence
from typing import Any, Generic, Self, TypeVar, cast

Item = TypeVar("Item")
Item_co = TypeVar("Item_co", covariant=True)
Other = TypeVar("Other")

MAX_MADE = 8
"""How much a batch keeps of what was made of it: it may be kept for a while itself."""


class Batch(tuple[Item_co, ...]):  # noqa: SLOT001 - a tuple can have no slots of its own
    """Items that are there at once; what is made of them is made once for all who are handed the same batch."""

    def __init__(self, _items: Iterable[Item_co] = ()) -> None:
        self._made: dict[Hashable, Any] = {}

    def made(self, make: Callable[..., Other], *arguments: Hashable) -> Other:
        """Give what a function makes of this batch and of the arguments."""
        key = (make, *arguments)
        made: Other | None = self.kept(key)
        if made is None:
            made = make(self, *arguments)
            self.keep(key, made)
        return made

    def kept(self, key: Hashable) -> Any:  # noqa: ANN401 - whatever was kept
        """Give what is kept under a key; None when there is nothing."""
        return self._made.get(key)

    def keep(self, key: Hashable, made: object) -> None:
        """Keep something for whoever else is handed this batch."""
        if len(self._made) >= MAX_MADE:
            self._made.clear()
        self._made[key] = made


class Batched(Generic[Item]):
    """A stream of items that come one by one or batch by batch, as its reader likes.

    Args:
        batches: Gives what the items are made of, in order; no batch is empty.
        make: Makes an item; they are taken as they come when None.
    """

    __slots__ = ("_batches", "_make", "_rest")

    def __init__(self, batches: AsyncGenerator[Sequence[Any], None], make: Callable[[Any], Item] | None = None) -> None:
        self._batches = batches
        self._make = make
        self._rest: Sequence[Any] = ()

    async def batch(self) -> Batch[Item]:
        """Wait for items and give all that are there; an empty batch is the end."""
        try:
            there = self._rest or await anext(self._batches)
        except StopAsyncIteration:
            return Batch()
        batch: Batch[Any] = there if isinstance(there, Batch) else Batch(there)
        self._rest = ()
        if self._make is None:
            return batch
        try:
            made = batch.made(_made_of_each, self._make)
        except Exception:
            await self.aclose()
            raise
        self._rest = batch[len(made) :]
        return made

    def mapped(self, make: Callable[[Item], Other]) -> "Batched[Other]":
        """Give the stream of what a function makes of each item; it is to be read and closed instead of this one."""
        before = self._make
        mapped = Batched(self._batches, make if before is None else lambda item: make(before(item)))
        mapped._rest = self._rest
        return mapped

    def __aiter__(self) -> Self:
        """Read item by item."""
        return self

    async def __anext__(self) -> Item:
        """Wait for the next item."""
        first, *self._rest = self._rest or await anext(self._batches)
        if self._make is None:
            return cast("Item", first)
        try:
            return self._make(first)
        except Exception:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Let go of where the items come from."""
        self._rest = ()
        await self._batches.aclose()


def _made_of_each(batch: Batch[Any], make: Callable[[Any], Item]) -> Batch[Item]:
    """Make something of each item; of those before one that nothing can be made of, unless that is the first."""
    made: list[Item] = []
    try:
        made.extend(map(make, batch))
    except Exception:
        if not made:
            raise
    return Batch(made)
