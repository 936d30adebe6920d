"""Queries about the runtime."""

import strawberry

from graphql_api.runtimes import executions
from graphql_api.runtimes.types import RuntimeContext, RuntimeStatus


@strawberry.type
class RuntimeQueries:
    """Queries about the runtime."""

    @strawberry.field(description="The service that runs agents, and whether it takes work now.")
    async def runtime(self, info: strawberry.Info[RuntimeContext, None]) -> RuntimeStatus:
        """Show the runtime."""
        info.context.actor  # noqa: B018 - refuses anonymous callers
        engines = info.context.engines
        report = await engines.circuit.report()
        health = await engines.runtime.health()
        active = await executions.count_running(info.context.database)
        return RuntimeStatus(
            name=engines.runtime.name,
            healthy=health.is_healthy or (health.is_slow and active > 0),
            circuit=report.state,
            retry_at=report.retry_at,
            active_threads=active,
        )
