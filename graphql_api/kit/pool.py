"""A pool of connections that tells how many wait for one, and tries those that were not used for a while.

Seams, checked with SQLAlchemy 2.1: `QueuePool._do_get`, which takes a connection, opens one, or waits; and
`_sqla_logger_namespace`, without which the pool's own lines would count as ours.
"""

from dataclasses import dataclass
from time import monotonic

import asyncpg
from sqlalchemy import AsyncAdaptedQueuePool, Engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.pool import ConnectionPoolEntry

from graphql_api.kit import metrics

MAX_WAITING = 1000
"""Transactions that wait for a connection; a further one is given up at once."""

FRESH_SECONDS = 1.0
"""A connection that was used so recently is taken for alive; asking each time would be a fifth of all messages."""

_USED_AT = "used_at"

_TIMEOUTS = metrics.counter("database_pool_timeouts", "Transactions that were given up because no connection was free.")


__all__ = ["CountingPool", "NoConnection", "PoolState", "check_waiting", "try_idle_connections"]


@dataclass(frozen=True, slots=True)
class PoolState:
    """How a pool stands.

    Attributes:
        size: The most connections that it opens.
        in_use: Connections that transactions hold.
        idle: Connections that are open and free.
        waiting: Transactions that have no connection yet.
    """

    size: int
    in_use: int
    idle: int
    waiting: int


def check_waiting(waiting: int) -> None:
    """Refuse one more who would wait for a connection, or for somebody who does.

    Raises:
        NoConnection: When so many wait already that waiting is no use.
    """
    if waiting >= MAX_WAITING:
        _TIMEOUTS.inc()
        raise NoConnection(f"{MAX_WAITING} transactions wait for a connection.")


class CountingPool(AsyncAdaptedQueuePool):
    """SQLAlchemy's pool, which counts who waits."""

    _sqla_logger_namespace = "sqlalchemy.pool.CountingPool"
    _waiting = 0

    @property
    def state(self) -> PoolState:
        """How it stands."""
        return PoolState(
            size=self.size() + self._max_overflow,
            in_use=self.checkedout(),
            idle=self.checkedin(),
            waiting=self._waiting,
        )

    def _do_get(self) -> ConnectionPoolEntry:
        check_waiting(self._waiting)
        self._waiting += 1
        try:
            return super()._do_get()
        except NoConnection:
            _TIMEOUTS.inc()
            raise
        finally:
            self._waiting -= 1


def try_idle_connections(engine: Engine) -> None:
    """Let a connection that was idle be tried before it is used, and replaced with all others when it is dead."""

    @event.listens_for(engine, "checkin")
    def note(_connection: DBAPIConnection | None, entry: ConnectionPoolEntry) -> None:
        entry.info[_USED_AT] = monotonic()

    @event.listens_for(engine, "checkout")
    def check(connection: DBAPIConnection, entry: ConnectionPoolEntry, _fairy: object) -> None:
        driver: asyncpg.Connection | None = entry.driver_connection
        if driver is not None and driver.is_closed():
            raise InvalidatePoolError("It was cut.")
        used_at = entry.info.get(_USED_AT)
        if used_at is None or monotonic() - used_at < FRESH_SECONDS:
            return
        try:
            engine.dialect.do_ping(connection)
        except Exception as error:
            raise InvalidatePoolError("It was dead.") from error
