import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from sqlalchemy import text
from starlette.applications import Starlette
from support.executions import Engine, Listener
from support.scraping import scraped
from support.server import Site, engines_for, quick_settings, serving, site
from support.waiting import until

from graphql_api.kit.database import Database
from graphql_api.runtimes.circuit import FAILURES_TO_OPEN
from graphql_api.runtimes.protocol import RuntimeFailure
from graphql_api.transport import metrics
from graphql_api.transport.metrics import Metrics

pytestmark = pytest.mark.anyio

FreshDatabase = Callable[..., Awaitable[Database]]


class TestShow:
    async def test_prometheus_can_read_it(self, running_site: Site) -> None:
        answer = await running_site.request("GET", "/metrics")

        assert answer.headers["content-type"].startswith("text/plain; version=")
        assert answer.headers["cache-control"] == "no-store"
        names = [family.name for family in text_string_to_metric_families(answer.text)]
        assert len(set(names)) == len(names)
        assert {"process_cpu_seconds", "orchestrator_database_up"} <= set(names)

    @pytest.mark.parametrize(
        ("authorization", "status"),
        [(None, 401), ("Bearer wrong", 401), ("Bearer é", 401), ("Bearer open sesame", 200)],
    )
    async def test_with_a_token_only_scrapers_read_it(
        self, own_database: Database, authorization: str | None, status: int
    ) -> None:
        settings = quick_settings(metrics_token=SecretStr("open sesame"))
        headers = {} if authorization is None else {"authorization": authorization.encode()}
        async with site(own_database, settings=settings) as guarded:
            answer = await guarded.request("GET", "/metrics", headers=headers)

        assert answer.status_code == status
        assert ("orchestrator_" in answer.text) is (status == 200)

    async def test_it_tells_of_the_pool(self, own_database: Database) -> None:
        async with site(own_database) as alone:
            database = alone.engines.database
            before = await scraped(alone)
            async with database.transaction() as first, database.transaction() as second:
                for session in (first, second):
                    await session.execute(text("SELECT 1"))
                during = await scraped(alone)

        assert (before["database_pool_size_connections",], before["database_pool_in_use_connections",]) == (20, 0)
        assert (during["database_pool_in_use_connections",], during["database_pool_waiting_transactions",]) == (2, 0)

    async def test_it_tells_who_waits_and_answers_while_the_pool_is_exhausted(self, own_database: Database) -> None:
        engines = engines_for(own_database)
        engines = replace(engines, database=Database(own_database.url, pool_size=1, pool_seconds=40))
        async with site(own_database, engines=engines) as busy:
            held = [await busy.engines.database.engine.connect() for _ in range(2)]
            waiting = asyncio.create_task(busy.engines.database.engine.connect().start())
            await until(lambda: busy.engines.database.pool.waiting > 0)
            during = await scraped(busy)
            for connection in held:
                await connection.close()
            await (await waiting).close()

        assert during["database_pool_in_use_connections",] == during["database_pool_size_connections",] == 2
        assert (during["database_pool_waiting_transactions",], during["database_up",]) == (1, 1)

    async def test_it_tells_what_there_is_to_do(self, fresh_database: FreshDatabase) -> None:
        async with site(await fresh_database()) as alone:
            engine = Engine(alone.engines.database, alone.engines.log, Listener(alone.engines.log))
            for _ in range(3):
                await engine.order()
            await engine.claimed()
            waiting = await engine.order()
            await engine.set(waiting, "due_at = now() - interval '1 hour'")
            told = await scraped(alone)

        states = {state: told["executions", state] for state in ("queued", "running", "to_forget")}
        assert states == {"queued": 3, "running": 1, "to_forget": 0}
        assert 3600 <= told["execution_longest_wait_seconds",] < 4000

    async def test_it_tells_of_the_circuit(self, fresh_database: FreshDatabase) -> None:
        async with site(await fresh_database()) as alone:
            for _ in range(FAILURES_TO_OPEN):
                with pytest.raises(RuntimeFailure):
                    async with alone.engines.circuit.guard():
                        raise RuntimeFailure("It is away.", is_retryable=True)
            told = await scraped(alone)

        states = ("closed", "half_open", "open")
        assert [told["runtime_circuit_state", *sorted(("embedded-rules", state))] for state in states] == [0, 0, 1]

    async def test_however_often_it_is_read_the_database_is_asked_once(
        self, fresh_database: FreshDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with site(await fresh_database()) as alone:
            engine = Engine(alone.engines.database, alone.engines.log, Listener(alone.engines.log))
            first = await scraped(alone)
            await engine.order()
            second = await scraped(alone)
            monkeypatch.setattr(metrics, "KEPT_SECONDS", 0.0)
            third = await scraped(alone)

        assert [each["executions", "queued"] for each in (first, second, third)] == [0, 0, 1]

    async def test_without_a_database_it_tells_the_rest(self, own_database: Database) -> None:
        engines = engines_for(Database(own_database.url.set(database="there_is_none")))
        async with serving(Starlette(routes=Metrics(engines).routes())) as url:
            told = await scraped(Site(url, engines))

        assert told["database_up",] == 0
        assert ("executions", "queued") not in told
        assert told["database_pool_in_use_connections",] == 0
