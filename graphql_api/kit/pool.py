"""A pool of connections that tells how many wait for one.

Seams, checked with SQLAlchemy 2.1: `QueuePool._do_get`, which takes a connection, opens one, or waits; and
`_sqla_logger_namespace`, without which the pool's own lines would count as ours.
"""

from dataclasses import dataclass

from sqlalchemy import AsyncAdaptedQueuePool
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.pool import ConnectionPoolEntry

from graphql_api.kit import metrics

MAX_WAITING = 1000
"""Transactions that wait for a connection; a further one is given up at once."""

_TIMEOUTS = metrics.counter("database_pool_timeouts", "Transactions that were given up because no connection was free.")


__all__ = ["CountingPool", "NoConnection", "PoolState"]


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
        if self._waiting >= MAX_WAITING:
            _TIMEOUTS.inc()
            raise NoConnection(f"{MAX_WAITING} transactions wait for a connection.")
        self._waiting += 1
        try:
            return super()._do_get()
        except NoConnection:
            _TIMEOUTS.inc()
            raise
        finally:
            self._waiting -= 1
