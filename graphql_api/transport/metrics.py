"""`/metrics`, for Prometheus."""

import secrets
from collections.abc import Iterable, Iterator
from time import monotonic

import structlog
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from graphql_api.context import Engines
from graphql_api.kit.metrics import PREFIX, REGISTRY
from graphql_api.runtimes.backlog import Backlog, backlog
from graphql_api.runtimes.circuit import CircuitState
from graphql_api.runtimes.models import ExecutionState

KEPT_SECONDS = 10.0
"""How long what the database said is told again: however often somebody asks, the database is not."""

_ACTIVE = (ExecutionState.QUEUED, ExecutionState.RUNNING, ExecutionState.TO_FORGET)
_log = structlog.get_logger()


class Metrics:
    """Tells what is counted, with what engines and database look like now.

    Args:
        engines: What the process has one of.
        token: Bearer token that scrapers send; None when anybody may read.
    """

    def __init__(self, engines: Engines, *, token: str | None = None) -> None:
        self._engines = engines
        self._expected = None if token is None else f"Bearer {token}".encode()
        self._now = _Now(engines)
        self._registry = CollectorRegistry()
        self._registry.register(self._now)

    def routes(self) -> list[Route]:
        """Give the routes."""
        return [Route("/metrics", self.show)]

    async def show(self, request: Request) -> Response:
        """Write the metrics of this process, and what the database knows of all."""
        given = request.headers.get("authorization", "").encode("latin-1")
        if self._expected is not None and not secrets.compare_digest(given, self._expected):
            return Response(
                "Send the token of METRICS_TOKEN as a bearer token.\n",
                401,
                {"www-authenticate": "Bearer", "cache-control": "no-store"},
                "text/plain",
            )
        await self._now.refresh()
        content = generate_latest(REGISTRY) + generate_latest(self._registry)
        return Response(content, 200, {"cache-control": "no-store", "content-type": CONTENT_TYPE_LATEST})


class _Now(Collector):
    """What is read at the moment somebody asks.

    Args:
        engines: What the process has one of.
    """

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._backlog: Backlog | None = None
        self._read_at = -KEPT_SECONDS

    async def refresh(self) -> None:
        """Ask the database again unless its last answer is young; without an answer its figures are left out."""
        if monotonic() - self._read_at < KEPT_SECONDS:
            return
        self._read_at = monotonic()
        try:
            self._backlog = await backlog(self._engines.database.aside)
        except Exception as error:  # noqa: BLE001 - whatever broke, the other figures are wanted all the more
            _log.warning("backlog_unreadable", error=type(error).__name__)
            self._backlog = None

    def describe(self) -> Iterable[Metric]:
        """Describe nothing beforehand."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Give the figures."""
        pool = self._engines.database.pool
        yield _gauge("database_pool_size_connections", "The most connections that the pool opens.", pool.size)
        yield _gauge("database_pool_in_use_connections", "Connections that transactions hold.", pool.in_use)
        yield _gauge("database_pool_idle_connections", "Connections that are open and free.", pool.idle)
        yield _gauge("database_pool_waiting_transactions", "Transactions without a connection yet.", pool.waiting)
        notifier = self._engines.log.notifier
        yield _gauge("event_listener_up", "Whether notifications are heard.", notifier.listening.is_set())
        yield _gauge("notifications_waiting", "Notifications that are to be sent.", notifier.backlog)
        yield from self._stored()

    def _stored(self) -> Iterator[Metric]:
        known = self._backlog
        yield _gauge("database_up", "Whether the database answered the last question of this page.", known is not None)
        if known is None:
            return
        executions = GaugeMetricFamily(
            f"{PREFIX}_executions", "Executions that are not over, of all processes.", labels=["state"]
        )
        for state in _ACTIVE:
            executions.add_metric([state.value.lower()], known.executions.get(state.value, 0))
        yield executions
        yield _gauge("execution_longest_wait_seconds", "How long the oldest queued one is due.", known.longest_wait)
        circuits = GaugeMetricFamily(
            f"{PREFIX}_runtime_circuit_state",
            "1 for the state that a runtime's circuit is in.",
            labels=["runtime", "state"],
        )
        for name, current in known.circuits.items():
            for each in CircuitState:
                circuits.add_metric([name, each.value.lower()], each is current)
        yield circuits


def _gauge(name: str, description: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{PREFIX}_{name}", description, value=value)
