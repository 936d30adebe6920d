"""Whether the process lives, and whether it can work."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic

import orjson
import structlog
from sqlalchemy import text
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from graphql_api.context import Engines
from graphql_api.kit import migrations
from graphql_api.kit.migrations import SchemaState
from graphql_api.runtimes import executions

UP, DOWN = "up", "down"

PROBE_SECONDS = 3.0
"""After this long without an answer, a part is down."""

KEPT_SECONDS = 0.5
"""How long an answer is told again: those who ask all the time get no more than it."""

_log = structlog.get_logger()


class Health:
    """What load balancers and people ask.

    Args:
        engines: What the process has one of.
    """

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._asking = asyncio.Lock()
        self._states: Sequence[str] = ()
        self._asked_at = -KEPT_SECONDS
        self._parts: dict[str, Callable[[], Awaitable[bool]]] = {
            "database": self._database,
            "migrations": self._migrations,
            "event_listener": self._event_listener,
            "worker": self._worker,
            "runtime": self._runtime,
        }

    def routes(self) -> list[Route]:
        """Give the routes."""
        return [Route("/health", self.live), Route("/ready", self.ready)]

    async def live(self, _request: Request) -> Response:
        """Say that the process lives."""
        return _json({"status": "healthy"}, 200)

    async def ready(self, _request: Request) -> Response:
        """Say whether the process can take requests: 503 when the database, its schema or the listener is missing.

        A worker or runtime that is down degrades: orders are stored and wait for them.
        """
        async with self._asking:
            if monotonic() - self._asked_at >= KEPT_SECONDS:
                self._states = await asyncio.gather(*(_probe(name, is_up) for name, is_up in self._parts.items()))
                self._asked_at = monotonic()
            states = self._states
        parts = dict(zip(self._parts, states, strict=True))
        is_ready = all(parts[name] == UP for name in ("database", "migrations", "event_listener"))
        is_whole = all(part == UP for part in parts.values())
        status = "ready" if is_whole else "degraded" if is_ready else "unready"
        return _json({"status": status, **parts}, 200 if is_ready else 503)

    async def _database(self) -> bool:
        async with self._engines.database.aside.engine.connect() as connection:
            return bool((await connection.execute(text("SELECT 1"))).scalar_one())

    async def _migrations(self) -> bool:
        # That of a later release too: an upgrade migrates first, and must not take those before it out of service.
        return await migrations.state(self._engines.database.aside) in {SchemaState.CURRENT, SchemaState.NEWER}

    async def _event_listener(self) -> bool:
        return self._engines.log.notifier.listening.is_set()

    async def _worker(self) -> bool:
        return await executions.count_workers(self._engines.database.aside) > 0

    async def _runtime(self) -> bool:
        return (await self._engines.runtime.health()).is_healthy


async def _probe(name: str, is_up: Callable[[], Awaitable[bool]]) -> str:
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            return UP if await is_up() else DOWN
    except Exception as error:  # noqa: BLE001 - however a part breaks, it is down, and the others are still asked
        _log.warning("part_is_down", part=name, error=type(error).__name__)
        return DOWN


def _json(content: dict[str, str], status: int) -> Response:
    return Response(orjson.dumps(content), status, {"cache-control": "no-store"}, "application/json")
