"""How often somebody may do something: windows and their rules are those of `limits`, the counts are shared rows."""

import hashlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

import structlog
from limits import RateLimitItem, parse_many
from limits.aio.storage import Storage
from limits.aio.strategies import FixedWindowRateLimiter
from sqlalchemy import BigInteger, delete, func, select
from sqlmodel import Field, SQLModel, col

from graphql_api.kit.clearing import clear
from graphql_api.kit.columns import timestamp
from graphql_api.kit.database import DATABASE_ERRORS, Database
from graphql_api.kit.errors import RateLimited

_log = structlog.get_logger()

_COUNT = """
    INSERT INTO rate_counters AS c (key, hits, expires_at) VALUES ($1, $2, now() + make_interval(secs => $3))
    ON CONFLICT (key) DO UPDATE SET
        hits = excluded.hits + CASE WHEN c.expires_at <= now() THEN 0 ELSE c.hits END,
        expires_at = CASE WHEN c.expires_at <= now() THEN excluded.expires_at ELSE c.expires_at END
    RETURNING hits
"""


class RateCounter(SQLModel, table=True):
    """What was done within one window; the table is unlogged, since a crash may well forget it.

    Attributes:
        key: Digest of what is limited and who is: no address and no account can be read from it.
    """

    __tablename__ = "rate_counters"
    __table_args__ = {"prefixes": ["UNLOGGED"]}

    key: str = Field(primary_key=True)
    hits: int = Field(sa_type=BigInteger)
    expires_at: datetime = timestamp(index=True)


@dataclass(frozen=True, slots=True)
class Rate:
    """How often one caller may do one thing.

    Args:
        name: What is done, such as `login.account`.
        windows: In the words of `limits`: `60/minute`, or several as `5/minute;20/hour`, which all have to hold.
    """

    name: str
    windows: str
    items: tuple[RateLimitItem, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Read the windows.

        Raises:
            ValueError: When they can't be read.
        """
        object.__setattr__(self, "items", tuple(parse_many(self.windows)))


class Rates:
    """Counts what callers do; every process on the same database counts together.

    A database that does not answer limits nobody: whatever is worth a limit needs the database itself.

    Args:
        database: Where the counts are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._limiter = FixedWindowRateLimiter(_Counters(database))

    async def spend(self, rate: Rate, who: str, amount: int = 1) -> None:
        """Count something that is about to be done.

        Args:
            rate: What is done.
            who: Who does it: the key of a user, an address, an account.
            amount: How often at once.

        Raises:
            RateLimited: When a window is full; it says when the next one begins.
        """
        try:
            full = [item for item in rate.items if not await self._limiter.hit(item, rate.name, who, cost=amount)]
            if not full:
                return
            ends = [(await self._limiter.get_window_stats(item, rate.name, who)).reset_time for item in full]
        except DATABASE_ERRORS as error:
            _log.warning("rate_not_counted", rate=rate.name, error=type(error).__name__)
            return
        raise limited(rate.name, full[-1], max(ends) - time.time())

    async def forgive(self, rate: Rate, who: str) -> None:
        """Forget what somebody did, as after a sign-in that succeeded."""
        try:
            for item in rate.items:
                await self._limiter.clear(item, rate.name, who)
        except DATABASE_ERRORS as error:
            _log.warning("rate_not_forgiven", rate=rate.name, error=type(error).__name__)

    async def forget_expired(self) -> int:
        """Delete the counts of windows that are over; give how many there were."""
        return await clear(self._database, RateCounter, col(RateCounter.expires_at) <= func.now())


class Budget:
    """What callers may spend in one process within a window; it is counted in memory, for what is done too often.

    All windows begin at once, so that those of callers who went away cost nothing.

    Args:
        rate: One window, such as `500000/minute`.
    """

    def __init__(self, rate: Rate) -> None:
        (self._item,) = rate.items
        self._name = rate.name
        self._spent: dict[str, int] = {}
        self._ends_at = 0.0

    @property
    def amount(self) -> int:
        """What a caller may spend in a window."""
        return self._item.amount

    def spend(self, who: str, amount: int) -> None:
        """Spend something.

        Raises:
            RateLimited: When the window does not hold as much; nothing is spent then.
        """
        now = time.monotonic()
        if now >= self._ends_at:
            self._spent.clear()
            self._ends_at = now + self._item.get_expiry()
        spent = self._spent.get(who, 0) + amount
        if spent > self._item.amount:
            raise limited(self._name, self._item, self._ends_at - now)
        self._spent[who] = spent

    def left(self, who: str) -> tuple[int, int]:
        """Tell what a caller has left, and in how many seconds they have all of it again."""
        seconds = math.ceil(self._ends_at - time.monotonic())
        if seconds <= 0:
            return self._item.amount, self._item.get_expiry()
        return self._item.amount - self._spent.get(who, 0), seconds


def limited(name: str, item: RateLimitItem, seconds: float) -> RateLimited:
    """Make the refusal of a full window that ends in so many seconds."""
    retry_after = max(1, math.ceil(seconds))
    return RateLimited(f"The limit of {item} for {name} is reached: try again in {retry_after} s.", retry_after)


class _Counters(Storage):
    """The storage that `limits` counts in."""

    STORAGE_SCHEME = None

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._database = database

    @property
    def base_exceptions(self) -> tuple[type[Exception], ...]:
        return DATABASE_ERRORS

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        ((hits,),) = await self._database.fetch(_COUNT, _digest(key), amount, expiry)
        return int(hits)

    async def get(self, key: str) -> int:
        return next((hits for hits, _ in await self._read(key)), 0)

    async def get_expiry(self, key: str) -> float:
        return next((moment.timestamp() for _, moment in await self._read(key)), time.time())

    async def check(self) -> bool:
        async with self._database.transaction() as session:
            await session.execute(select(1))
        return True

    async def reset(self) -> int | None:
        async with self._database.transaction() as session:
            await session.execute(delete(RateCounter))
        return None

    async def clear(self, key: str) -> None:
        async with self._database.transaction() as session:
            await session.execute(delete(RateCounter).where(col(RateCounter.key) == _digest(key)))

    async def _read(self, key: str) -> Iterator[tuple[int, datetime]]:
        is_it = (col(RateCounter.key) == _digest(key), col(RateCounter.expires_at) > func.now())
        async with self._database.transaction() as session:
            found = (
                await session.execute(select(col(RateCounter.hits), col(RateCounter.expires_at)).where(*is_it))
            ).all()
        return iter([(row[0], row[1]) for row in found])


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode(errors="replace")).hexdigest()
