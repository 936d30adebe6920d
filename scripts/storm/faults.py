"""What is done to the system, one thing after another."""

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable, Sequence

from callers import Tally
from house import House, Member


class Weather:
    """Breaks something now and then, until cancelled.

    Args:
        house: The system.
        tally: Counts what was done.
        luck: Decides what comes next.
    """

    def __init__(self, house: House, tally: Tally, luck: random.Random) -> None:
        self._house = house
        self._tally = tally
        self._luck = luck
        self._database_turn = asyncio.Lock()
        self._faults: Sequence[tuple[str, int, Callable[[], Awaitable[None]]]] = [
            ("kill -9 an API", 3, lambda: self._end(house.apis, signal.SIGKILL)),
            ("kill -9 a worker", 4, lambda: self._end(house.workers, signal.SIGKILL)),
            ("SIGTERM an API", 2, lambda: self._end(house.apis, signal.SIGTERM)),
            ("SIGTERM a worker", 2, lambda: self._end(house.workers, signal.SIGTERM)),
            ("stop and continue an API", 2, lambda: self._pause(house.apis, 1, 5)),
            ("stop and continue a worker", 3, lambda: self._pause(house.workers, 1, 13)),
            ("restart PostgreSQL", 1, lambda: self._restart(signal.SIGINT)),
            ("crash PostgreSQL", 1, lambda: self._restart(signal.SIGQUIT)),
            ("cut connections to PostgreSQL", 3, self._cut_database),
            ("stall connections to PostgreSQL", 2, self._stall_database),
            ("cut clients' connections", 3, self._cut_clients),
            ("kill -9 the runtime", 1 if house.runtimes else 0, lambda: self._end(house.runtimes, signal.SIGKILL)),
        ]

    async def blow(self) -> None:
        """Break things; each is over, or mended, before the next or while the next goes on."""
        weights = [weight for _, weight, _ in self._faults]
        async with asyncio.TaskGroup() as tasks:
            while True:
                name, _, fault = self._luck.choices(self._faults, weights)[0]
                self._tally.counts[f"fault: {name}"] += 1
                for member in self._house.members:
                    member.measure()
                tasks.create_task(fault())  # type: ignore[arg-type]  # a coroutine each
                await asyncio.sleep(self._luck.uniform(0.5, 2.5))

    async def _end(self, members: Sequence[Member], number: signal.Signals) -> None:
        member = self._luck.choice(members)
        member.send(number)
        await member.end()
        await asyncio.sleep(self._luck.uniform(0.1, 1))
        member.start()

    async def _pause(self, members: Sequence[Member], shortest: float, longest: float) -> None:
        member = self._luck.choice(members)
        member.send(signal.SIGSTOP)
        try:
            await asyncio.sleep(self._luck.uniform(shortest, longest))
        finally:
            member.send(signal.SIGCONT)

    async def _restart(self, number: signal.Signals) -> None:
        async with self._database_turn:
            await self._house.postgres.stop(number)
            try:
                await asyncio.sleep(self._luck.uniform(0, 2))
            finally:
                await asyncio.shield(asyncio.create_task(self._house.postgres.start()))

    async def _cut_database(self) -> None:
        self._house.database.cut()

    async def _stall_database(self) -> None:
        await self._house.database.stall(self._luck.uniform(0.5, 4))

    async def _cut_clients(self) -> None:
        for api in self._house.apis:
            if api.proxy is not None:
                api.proxy.cut()
