"""Reads by key that go together: while one runs, whoever else asks waits for the next, which is for all of them."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping
from contextvars import Context
from typing import Any, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Together(Generic[Key, Value]):
    """Finds values by their keys, one read at a time. Nothing is remembered: each read begins after it was asked for.

    Args:
        read: Finds the values of several keys; what is not there is left out.
    """

    def __init__(self, read: Callable[[list[Key]], Awaitable[Mapping[Key, Value]]]) -> None:
        self._read = read
        self._asked: dict[Key, asyncio.Future[Value | None]] = {}
        self._reading: asyncio.Task[Any] | None = None
        self.waiting = 0
        """How many wait to be told."""

    async def find(self, key: Key) -> Value | None:
        """Find a value; None when it is not there.

        Raises:
            Exception: What the read raised, or the one before, which ended while this one waited.
        """
        found = self._asked.get(key)
        if found is None:
            found = self._asked[key] = asyncio.get_running_loop().create_future()
            if self._reading is None:
                # In a context of its own: it works for others than the one who asked first.
                self._reading = asyncio.create_task(self._work(), context=Context())
        self.waiting += 1
        try:
            return await asyncio.shield(found)  # whoever leaves does not end it for the others
        finally:
            self.waiting -= 1

    async def _work(self) -> None:
        try:
            while self._asked:
                asked, self._asked = self._asked, {}
                try:
                    values = await self._read(list(asked))
                except Exception as error:  # noqa: BLE001 - it is theirs who asked
                    # And theirs who asked meanwhile: they would wait as long once more for the same.
                    later, self._asked = self._asked, {}
                    for future in (*asked.values(), *later.values()):
                        future.set_exception(error)
                        future.exception()  # nobody may be left to hear it
                else:
                    for key, future in asked.items():
                        future.set_result(values.get(key))
        finally:
            self._reading = None
