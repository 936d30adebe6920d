"""The circuit of a runtime: after some failures in a row it is left alone for a while.

Its state is a row, so that what one replica learns spares the others; the rules are purgatory's.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from purgatory import AsyncAbstractUnitOfWork, AsyncCircuitBreakerFactory
from purgatory.domain.model import CLOSED, HALF_OPENED, OPENED, Context, OpenedState
from purgatory.service._async.repository import AsyncAbstractRepository
from purgatory.typing import StateName
from sqlalchemy import ColumnElement, Float, case
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Field, SQLModel, col, update

from graphql_api.kit.columns import now
from graphql_api.kit.database import Database
from graphql_api.runtimes.errors import RuntimeUnavailable
from graphql_api.runtimes.protocol import RuntimeFailure

FAILURES_TO_OPEN = 6
"""In a row, without a success between them."""

OPEN_SECONDS = 30.0

TRIALS = 3
"""Successes in a row that close a circuit which is half open; one failure opens it again."""


class CircuitState(Enum):
    """Whether a runtime is called."""

    CLOSED = "CLOSED"
    HALF_OPEN = "HALF_OPEN"
    OPEN = "OPEN"


_STATES: dict[StateName, CircuitState] = {
    CLOSED: CircuitState.CLOSED,
    HALF_OPENED: CircuitState.HALF_OPEN,
    OPENED: CircuitState.OPEN,
}


class RuntimeCircuit(SQLModel, table=True):
    """What is known of a runtime's failures.

    Attributes:
        state: In purgatory's words.
        failure_count: In a row; successful trials in a row while it is half open.
        opened_at: Seconds since 1970; None unless it is open.
    """

    __tablename__ = "runtime_circuits"

    name: str = Field(primary_key=True)
    state: str
    failure_count: int = 0
    opened_at: float | None = Field(default=None, sa_type=Float)


@dataclass(frozen=True, slots=True)
class CircuitReport:
    """How a circuit stands.

    Attributes:
        state: Whether the runtime is called.
        retry_at: When it is tried again; None unless it is open.
    """

    state: CircuitState
    retry_at: datetime | None = None


class Circuit:
    """The circuit of one runtime.

    Args:
        database: Where its state is shared.
        name: Of the runtime.
    """

    def __init__(self, database: Database, name: str) -> None:
        self._name = name
        self._breakers = AsyncCircuitBreakerFactory(
            default_threshold=FAILURES_TO_OPEN,
            default_ttl=OPEN_SECONDS,
            exclude=[(RuntimeFailure, _is_no_outage)],
            uow=_UnitOfWork(database),
        )

    async def report(self) -> CircuitReport:
        """Read how it stands."""
        context = (await self._breakers.get_breaker(self._name)).context
        if context.state != OPENED or context.opened_at is None:
            return CircuitReport(_STATES[context.state])
        retry_at = datetime.fromtimestamp(context.opened_at + OPEN_SECONDS, UTC)
        return CircuitReport(CircuitState.OPEN, retry_at) if retry_at > now() else CircuitReport(CircuitState.HALF_OPEN)

    async def refusal(self) -> RuntimeUnavailable | None:
        """Make the error for new work; None while the runtime is called."""
        report = await self.report()
        if report.state is not CircuitState.OPEN:
            return None
        return RuntimeUnavailable(
            "The agent runtime does not answer, and is left alone for a while. Nothing was stored: try again later.",
            path=["input"],
            retry_at=report.retry_at,
        )

    @asynccontextmanager
    async def guard(self) -> AsyncIterator[None]:
        """Count what happens to a call of the runtime.

        Raises:
            RuntimeFailure: Without calling, when the circuit is open.
        """
        breaker = await self._breakers.get_breaker(self._name)
        try:
            async with breaker:
                yield
        except OpenedState as error:
            raise RuntimeFailure("The runtime's circuit is open.", is_retryable=True) from error


def state_of(circuit: RuntimeCircuit) -> CircuitState:
    """Tell the state that is stored; one that is open is tried again after `OPEN_SECONDS` by whoever calls next."""
    return next(state for name, state in _STATES.items() if name == circuit.state)


class _Repository(AsyncAbstractRepository):
    """Keeps circuits in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.messages = []

    async def get(self, name: str) -> Context | None:
        async with self._database.transaction() as session:
            row = await session.get(RuntimeCircuit, name)
        if row is None:
            return None
        state: StateName = OPENED if row.state == OPENED else HALF_OPENED if row.state == HALF_OPENED else CLOSED
        return Context(name, FAILURES_TO_OPEN, OPEN_SECONDS, state, row.failure_count, row.opened_at)

    async def register(self, context: Context) -> None:
        values = {"name": context.name, "state": context.state, "failure_count": 0}
        async with self._database.transaction() as session:
            await session.execute(insert(RuntimeCircuit).values(**values).on_conflict_do_nothing())

    async def update_state(self, name: str, state: str, opened_at: float | None) -> None:
        if state == CLOSED:
            await self._count_trial(name)
        else:
            await self._set(name, state=state, opened_at=opened_at, failure_count=0)

    async def inc_failures(self, name: str, failure_count: int) -> None:  # noqa: ARG002 - the signature is purgatory's
        await self._set(name, failure_count=col(RuntimeCircuit.failure_count) + 1)

    async def reset_failure(self, name: str) -> None:
        await self._set(name, col(RuntimeCircuit.state) == CLOSED, failure_count=0)

    async def _count_trial(self, name: str) -> None:
        """Count a success while it is half open, where purgatory would close it with the first."""
        trials = col(RuntimeCircuit.failure_count) + 1
        is_enough = trials >= TRIALS
        await self._set(
            name,
            col(RuntimeCircuit.state) == HALF_OPENED,
            state=case((is_enough, CLOSED), else_=HALF_OPENED),
            failure_count=case((is_enough, 0), else_=trials),
            opened_at=None,
        )

    async def _set(self, name: str, *conditions: ColumnElement[bool], **values: Any) -> None:  # noqa: ANN401 - values of columns
        query = update(RuntimeCircuit).where(col(RuntimeCircuit.name) == name, *conditions).values(**values)
        async with self._database.transaction() as session:
            await session.execute(query)


class _UnitOfWork(AsyncAbstractUnitOfWork):
    """Each step of the repository is its own transaction."""

    def __init__(self, database: Database) -> None:
        self.contexts = _Repository(database)

    async def commit(self) -> None:
        """Do nothing."""

    async def rollback(self) -> None:
        """Do nothing."""


def _is_no_outage(error: BaseException) -> bool:
    """Tell whether the runtime answered, and refused: that says nothing against its health."""
    return isinstance(error, RuntimeFailure) and not error.is_retryable
