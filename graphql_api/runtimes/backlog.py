"""What executions and circuits look like now, for metrics: it costs the same however long the past is."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import text
from sqlmodel import select

from graphql_api.kit.database import Database
from graphql_api.runtimes.circuit import CircuitState, RuntimeCircuit, state_of

COUNTED = 10_000
"""More executions than this are not counted: by then the figure says enough."""

# The states are those of the index on `due_at`; what has ended is in none of them.
_ACTIVE = text("""
    SELECT state, count(*),
        coalesce(extract(epoch FROM max(now() - due_at) FILTER (WHERE due_at <= now())), 0)
    FROM (
        SELECT state, due_at FROM executions
        WHERE state IN ('QUEUED', 'RUNNING', 'TO_FORGET') ORDER BY due_at LIMIT :limit
    ) AS active
    GROUP BY state
""")


@dataclass(frozen=True, slots=True)
class Backlog:
    """What there is to do.

    Attributes:
        executions: Those that are not over, by state.
        longest_wait: Seconds that the oldest queued one has been due.
        circuits: By the name of the runtime.
    """

    executions: Mapping[str, int]
    longest_wait: float
    circuits: Mapping[str, CircuitState]


async def backlog(database: Database) -> Backlog:
    """Read what there is to do."""
    async with database.transaction() as session:
        rows = (await session.execute(_ACTIVE, {"limit": COUNTED})).all()
        circuits = (await session.exec(select(RuntimeCircuit))).all()
    return Backlog(
        executions={state: count for state, count, _ in rows},
        longest_wait=next((float(seconds) for state, _, seconds in rows if state == "QUEUED"), 0.0),
        circuits={circuit.name: state_of(circuit) for circuit in circuits},
    )
