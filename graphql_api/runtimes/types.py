"""GraphQL type of the runtime's status."""

from datetime import datetime
from typing import Protocol

import strawberry

from graphql_api.identity.actor import Actor
from graphql_api.kit.database import Database
from graphql_api.kit.types import described_enum
from graphql_api.runtimes.circuit import Circuit, CircuitState
from graphql_api.runtimes.protocol import AgentRuntime

described_enum(
    CircuitState,
    "Whether a runtime is called.",
    {
        "CLOSED": "It is: all is well.",
        "HALF_OPEN": "Three calls are trials: the circuit closes when all succeed, and opens again when one fails.",
        "OPEN": "It is left alone after more than 5 failures in a row, for 30 seconds.",
    },
)


class RuntimeEngines(Protocol):
    """What the runtime's resolvers need of the process."""

    runtime: AgentRuntime
    circuit: Circuit


class RuntimeContext(Protocol):
    """What the runtime's resolvers need of a request."""

    engines: RuntimeEngines

    @property
    def actor(self) -> Actor:
        """Who asks."""
        ...

    @property
    def database(self) -> Database:
        """The database."""
        ...


@strawberry.type(description="The service that runs agents.")
class RuntimeStatus:
    """The service that runs agents."""

    name: str = strawberry.field(description="Name of the runtime, such as `embedded-rules`.")
    healthy: bool = strawberry.field(
        description="Whether it says that it takes work, or is only too busy with some to answer in time."
    )
    circuit: CircuitState = strawberry.field(description="Whether it is called.")
    retry_at: datetime | None = strawberry.field(description="When an open circuit is tried again; null otherwise.")
    active_threads: int = strawberry.field(description="How many executions it works on now, for everybody.")
