"""The circuit of a runtime: after some failures in a row it is left alone for a while.

Its state is a row, so that what one replica learns spares the others. Each state has an epoch, which a call takes with
it: what a call of an earlier state brings says nothing about this one.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from sqlalchemy import BigInteger, Float
from sqlmodel import Field, SQLModel

from graphql_api.kit.database import Database
from graphql_api.runtimes.errors import RuntimeUnavailable
from graphql_api.runtimes.protocol import RuntimeFailure

FAILURES_TO_OPEN = 6
"""In a row, without a success between them."""

OPEN_SECONDS = 30.0

TRIALS = 3
"""Calls that a half open circuit lets through: it closes when all succeed, and opens again when one fails."""

TRIAL_SECONDS = 60.0
"""After this long without another trial, those that brought nothing are taken for lost, and trials begin anew."""


class CircuitState(Enum):
    """Whether a runtime is called."""

    CLOSED = "CLOSED"
    HALF_OPEN = "HALF_OPEN"
    OPEN = "OPEN"


_STATES = {
    "closed": CircuitState.CLOSED,
    "half-opened": CircuitState.HALF_OPEN,
    "opened": CircuitState.OPEN,
}

_NOW = "extract(epoch FROM now())"
_IS_DUE = f"opened_at <= {_NOW} - CASE state WHEN 'opened' THEN {OPEN_SECONDS} ELSE {TRIAL_SECONDS} END"

# Whoever is not known has a closed circuit of epoch 0, which nothing is written for.
_ENTER = f"""
    WITH tried AS (
        UPDATE runtime_circuits
        SET state = 'half-opened',
            epoch = epoch + CASE WHEN {_IS_DUE} THEN 1 ELSE 0 END,
            failure_count = CASE WHEN {_IS_DUE} THEN 0 ELSE failure_count END,
            trials = CASE WHEN {_IS_DUE} THEN 1 ELSE trials + 1 END,
            opened_at = {_NOW}
        WHERE name = $1 AND state <> 'closed' AND ({_IS_DUE} OR (state = 'half-opened' AND trials < {TRIALS}))
        RETURNING epoch
    )
    SELECT epoch FROM tried
    UNION ALL SELECT epoch FROM runtime_circuits WHERE name = $1 AND state = 'closed'
    UNION ALL SELECT 0 WHERE NOT EXISTS (SELECT FROM runtime_circuits WHERE name = $1)
"""  # noqa: S608 - what is put in are the constants above

_GOES_ON = f"(state = 'half-opened' AND failure_count + 1 < {TRIALS})"
_SUCCEED = f"""
    UPDATE runtime_circuits
    SET state = CASE WHEN {_GOES_ON} THEN state ELSE 'closed' END,
        epoch = epoch + CASE WHEN {_GOES_ON} OR state = 'closed' THEN 0 ELSE 1 END,
        failure_count = CASE WHEN {_GOES_ON} THEN failure_count + 1 ELSE 0 END
    WHERE name = $1 AND epoch = $2 AND (state = 'half-opened' OR failure_count > 0)
"""  # noqa: S608 - what is put in are the constants above

_OPENS = f"(circuit.state = 'half-opened' OR circuit.failure_count + 1 >= {FAILURES_TO_OPEN})"
_FAIL = f"""
    INSERT INTO runtime_circuits AS circuit (name, state, failure_count) VALUES ($1, 'closed', 1)
    ON CONFLICT (name) DO UPDATE
    SET state = CASE WHEN {_OPENS} THEN 'opened' ELSE circuit.state END,
        epoch = circuit.epoch + CASE WHEN {_OPENS} THEN 1 ELSE 0 END,
        failure_count = CASE WHEN {_OPENS} THEN 0 ELSE circuit.failure_count + 1 END,
        opened_at = CASE WHEN {_OPENS} THEN {_NOW} ELSE circuit.opened_at END
    WHERE circuit.epoch = $2
"""  # noqa: S608 - what is put in are the constants above

_REPORT = f"""
    SELECT CASE WHEN state = 'opened' AND {_IS_DUE} THEN 'half-opened' ELSE state END, to_timestamp(opened_at)
    FROM runtime_circuits WHERE name = $1
"""  # noqa: S608 - what is put in are the constants above


class RuntimeCircuit(SQLModel, table=True):
    """What is known of a runtime's failures.

    Attributes:
        state: `closed`, `opened` or `half-opened`.
        epoch: Counts the states.
        failure_count: In a row; successful trials while it is half open.
        trials: Calls that were let through while it is half open.
        opened_at: Seconds since 1970, by the database's clock, when it opened; while it is half open, when the newest
            trial began. Otherwise it says nothing.
    """

    __tablename__ = "runtime_circuits"

    name: str = Field(primary_key=True)
    state: str
    epoch: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": "0"})
    failure_count: int = 0
    trials: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
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
        self._database = database
        self._name = name

    async def report(self) -> CircuitReport:
        """Read how it stands."""
        rows = await self._database.fetch(_REPORT, self._name)
        if not rows:
            return CircuitReport(CircuitState.CLOSED)
        ((state, opened_at),) = rows
        return CircuitReport(_STATES[state], opened_at + timedelta(seconds=OPEN_SECONDS) if state == "opened" else None)

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

        A runtime that answers, and refuses for good, is one that answers.

        Raises:
            RuntimeFailure: Without calling, when the circuit is open, or as many trials as may be are under way.
        """
        entered = await self._database.fetch(_ENTER, self._name)
        if not entered:
            raise RuntimeFailure("The runtime's circuit is open.", is_retryable=True)
        ((epoch,),) = entered
        try:
            yield
        except Exception as error:
            await self._note(epoch, has_failed=not isinstance(error, RuntimeFailure) or error.is_retryable)
            raise
        await self._note(epoch, has_failed=False)

    async def _note(self, epoch: int, *, has_failed: bool) -> None:
        await self._database.fetch(_FAIL if has_failed else _SUCCEED, self._name, epoch)


def state_of(circuit: RuntimeCircuit) -> CircuitState:
    """Tell the state that is stored; one that is open is tried again after `OPEN_SECONDS` by whoever calls next."""
    return _STATES[circuit.state]
