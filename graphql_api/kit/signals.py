"""What tasks of one event loop wait for. Asyncio's own take a kilobyte and more each, which idle connections feel."""

import asyncio
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Signal:
    """What `asyncio.Event` is, in 50 bytes while nobody waits.

    Args:
        is_set: Whether it begins as set.
    """

    __slots__ = ("_is_set", "_waiting")

    def __init__(self, *, is_set: bool = False) -> None:
        self._is_set = is_set
        self._waiting: tuple[asyncio.Future[None], ...] = ()

    def is_set(self) -> bool:
        """Tell whether nobody has to wait."""
        return self._is_set

    def set(self) -> None:
        """Wake all who wait."""
        self._is_set = True
        for future in self._waiting:
            if not future.done():
                future.set_result(None)

    def clear(self) -> None:
        """Let those wait who come from now on."""
        self._is_set = False

    async def wait(self) -> None:
        """Wait until it is set."""
        if self._is_set:
            return
        future = asyncio.get_running_loop().create_future()
        self._waiting = (*self._waiting, future)
        try:
            await future
        finally:
            self._waiting = tuple(other for other in self._waiting if other is not future)


class Inbox(Generic[Item]):
    """What `asyncio.Queue` is to one reader, in 150 bytes while nothing is there."""

    __slots__ = ("_filled", "_items")

    def __init__(self) -> None:
        self._items: list[Item] = []
        self._filled = Signal()

    def empty(self) -> bool:
        """Tell whether nothing is there."""
        return not self._items

    def put_nowait(self, item: Item) -> None:
        """Put something in."""
        self._items.append(item)
        self._filled.set()

    async def get(self) -> Item:
        """Wait for something, and take it out."""
        while not self._items:
            self._filled.clear()
            await self._filled.wait()
        return self._items.pop(0)
