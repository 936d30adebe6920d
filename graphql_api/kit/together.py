"""Reads by key that go together: while one runs, whoever else asks waits for the next, which is for all of them."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping
from contextvars import Context
from typing import Any, Generic, TypeVar

PATIENCE_SECONDS = 0.1
"""How long the next read waits for one that runs: a connection that has died without a word must not stop everybody."""

MAX_READS = 4
"""How many may run at once."""

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Together(Generic[Key, Value]):
    """Finds values by their keys. Nothing is remembered: each read begins after it was asked for.

    Args:
        read: Finds the values of several keys; what is not there is left out.
        patience_seconds: How long the next read waits for one that runs.
    """

    def __init__(
        self,
        read: Callable[[list[Key]], Awaitable[Mapping[Key, Value]]],
        *,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._read = read
        self._patience_seconds = patience_seconds
        self._asked: dict[Key, asyncio.Future[Value | None]] = {}
        self._reads = set[asyncio.Task[Any]]()
        self._awaited: asyncio.Task[Any] | None = None
        self.waiting = 0
        """How many wait to be told."""

    async def find(self, key: Key) -> Value | None:
        """Find a value; None when it is not there.

        Raises:
            Exception: What the read raised.
        """
        found = self._asked.get(key)
        if found is None:
            found = self._asked[key] = asyncio.get_running_loop().create_future()
            self._begin()
        self.waiting += 1
        try:
            return await asyncio.shield(found)  # whoever leaves does not end it for the others
        finally:
            self.waiting -= 1

    def _begin(self) -> None:
        """Begin a read for those who ask, unless one runs that is worth waiting for."""
        if self._asked and self._awaited is None and len(self._reads) < MAX_READS:
            # In a context of its own: it works for others than the one who asked first.
            task = self._awaited = asyncio.create_task(self._work(), context=Context())
            self._reads.add(task)
            patience = asyncio.get_running_loop().call_later(self._patience_seconds, self._go_on, task)
            task.add_done_callback(lambda _: patience.cancel())
            task.add_done_callback(self._reads.discard)
            task.add_done_callback(self._go_on)

    def _go_on(self, task: asyncio.Task[Any]) -> None:
        """Wait no longer for a read, which is over or takes long."""
        if self._awaited is task:
            self._awaited = None
        self._begin()

    async def _work(self) -> None:
        asked, self._asked = self._asked, {}
        try:
            values = await self._read(list(asked))
        except Exception as error:  # noqa: BLE001 - it is theirs who asked
            for future in asked.values():
                future.set_exception(error)
                future.exception()  # nobody may be left to hear it
        else:
            for key, future in asked.items():
                future.set_result(values.get(key))
        finally:
            for future in asked.values():
                future.cancel()  # the read was cancelled; a future that is done stays as it is
