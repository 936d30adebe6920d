from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text
from starlette.applications import Starlette
from support.server import Site, engines_for, serving, site
from support.waiting import until

from graphql_api.app import running
from graphql_api.kit.database import Database
from graphql_api.runtimes.embedded.adapter import EmbeddedRuntime
from graphql_api.runtimes.protocol import Health as RuntimeHealth
from graphql_api.transport import health
from graphql_api.transport.health import Health

pytestmark = pytest.mark.anyio

UP = {"database": "up", "migrations": "up", "event_listener": "up", "worker": "up", "runtime": "up"}


class SickRuntime(EmbeddedRuntime):
    """A runtime that takes no work, or does not even say so."""

    def __init__(self, fault: Exception | None = None) -> None:
        super().__init__(pace_seconds=0)
        self.fault = fault

    async def health(self) -> RuntimeHealth:
        if self.fault is not None:
            raise self.fault
        return RuntimeHealth(is_healthy=False)


async def readiness(site: Site) -> tuple[int, dict[str, Any]]:
    answer = await site.request("GET", "/ready")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    return answer.status_code, answer.json()


@pytest.fixture
async def lone_site(own_database: Database) -> AsyncIterator[Site]:
    """The probes alone, over engines of which none runs."""
    engines = engines_for(own_database)
    async with serving(Starlette(routes=Health(engines).routes())) as url:
        yield Site(url, engines)
    await engines.database.close()


class TestLive:
    async def test_a_process_that_answers_lives(self, lone_site: Site) -> None:
        answer = await lone_site.request("GET", "/health")

        assert (answer.status_code, answer.json()) == (200, {"status": "healthy"})
        assert answer.headers["cache-control"] == "no-store"


class TestReady:
    async def test_it_is_ready_when_everything_is_up(self, running_site: Site) -> None:
        async def is_whole() -> bool:
            return bool((await readiness(running_site))[1]["status"] == "ready")

        await until(is_whole)

        assert await readiness(running_site) == (200, {"status": "ready", **UP})

    async def test_without_a_worker_it_is_degraded(self, fresh_database: Callable[..., Awaitable[Database]]) -> None:
        async with site(await fresh_database()) as running_alone:
            assert await readiness(running_alone) == (200, {"status": "degraded", **UP, "worker": "down"})

    async def test_a_worker_of_another_process_counts(self, fresh_database: Callable[..., Awaitable[Database]]) -> None:
        database = await fresh_database()
        async with site(database) as here:

            async def is_whole() -> bool:
                return bool((await readiness(here))[1]["worker"] == "up")

            async def is_alone() -> bool:
                return not await is_whole()

            async with running(engines_for(database), with_worker=True):
                await until(is_whole)
            await until(is_alone)

    @pytest.mark.parametrize("fault", [None, LookupError("unheard of")])
    async def test_a_runtime_that_is_down_degrades(self, own_database: Database, fault: Exception | None) -> None:
        engines = replace(engines_for(own_database), runtime=SickRuntime(fault))
        async with site(own_database, engines=engines) as running_site:
            status, parts = await readiness(running_site)

        assert (status, parts["status"], parts["runtime"]) == (200, "degraded", "down")

    async def test_without_its_listener_it_is_not_ready(self, lone_site: Site) -> None:
        status, parts = await readiness(lone_site)

        assert (status, parts["status"], parts["event_listener"]) == (503, "unready", "down")
        assert (parts["database"], parts["migrations"]) == ("up", "up")

    async def test_without_its_schema_it_is_not_ready(self, fresh_database: Callable[..., Awaitable[Database]]) -> None:
        database = await fresh_database(is_migrated=False)
        async with site(database) as running_site:
            status, parts = await readiness(running_site)

        assert (status, parts["status"], parts["migrations"], parts["database"]) == (503, "unready", "down", "up")

    async def test_a_schema_of_later_code_is_worked_on_while_an_upgrade_rolls_out(
        self, fresh_database: Callable[..., Awaitable[Database]]
    ) -> None:
        database = await fresh_database()
        async with database.transaction() as session:
            await session.execute(text("UPDATE alembic_version SET version_num = 'later'"))
        async with site(database) as running_site:
            status, parts = await readiness(running_site)

        assert (status, parts["migrations"]) == (200, "up")

    async def test_without_its_database_it_is_not_ready(self, own_database: Database) -> None:
        engines = engines_for(Database(own_database.url.set(database="there_is_none")))
        async with serving(Starlette(routes=Health(engines).routes())) as url:
            status, parts = await readiness(Site(url, engines))

        assert status == 503
        assert parts == {
            "status": "unready",
            "database": "down",
            "migrations": "down",
            "event_listener": "down",
            "worker": "down",
            "runtime": "up",
        }

    async def test_a_part_that_never_answers_is_down(self, lone_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(health, "PROBE_SECONDS", 0.05)
        blocker = await lone_site.engines.database.connect()
        async with blocker.transaction():
            await blocker.execute("LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE")

            status, parts = await readiness(lone_site)
        await blocker.close()

        assert (status, parts["migrations"]) == (503, "down")
