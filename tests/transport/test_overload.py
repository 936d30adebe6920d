"""A server with more to do than it can: it says so at once, and goes on when there is room again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
from graphql import GraphQLError
from sqlalchemy import text
from strawberry.types.execution import ExecutionResult
from support.databases import another
from support.log_lines import written
from support.proxy import proxied
from support.scraping import growing
from support.server import Site, engines_for, quick_settings, site
from support.sockets import connected
from support.waiting import until

from graphql_api.kit import pool
from graphql_api.kit.database import Database
from graphql_api.transport import answers

pytestmark = pytest.mark.anyio

VIEWER = "query Look { viewer { id } }"
WATCH = "subscription Follow($id: ID!) { workflowEvents(workflowId: $id) { sequence } }"
LIST = "query List { workflows { nodes { id } } }"
CREATE = 'mutation Make { createWorkflow(input: { name: "W" }) { workflow { id } errors { code } } }'
LOGIN = """mutation { login(input: { email: "a@example.com", password: "wrong password" }) { errors { code } } }"""


@pytest.fixture(scope="module")
async def small_site(own_database: Database) -> AsyncIterator[Site]:
    """A site whose pool has two connections, which nobody waits for, and that runs three operations at once."""
    settings = quick_settings(database_pool_size=1, database_pool_seconds=0.05, max_concurrent_operations=3)
    async with site(own_database, settings=settings) as small:
        yield small


@asynccontextmanager
async def exhausted(site: Site) -> AsyncIterator[None]:
    """Hold all connections of the pool while the context lasts."""
    database = site.engines.database

    async def is_full() -> bool:
        return database.pool.in_use == database.pool.size

    async with AsyncExitStack() as stack:
        while not await is_full():
            try:
                await stack.enter_async_context(database.engine.connect())
            except pool.NoConnection:
                continue
        yield


async def asked(site: Site, query: str, token: str | None = None) -> httpx.Response:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return await site.request("POST", "/graphql", json={"query": query}, headers=headers)


def assert_overloaded(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.headers["content-type"] == "application/json"
    (error,) = answer.json()["errors"]
    assert error["extensions"]["code"] == "OVERLOADED"
    assert error["extensions"]["requestId"] == answer.headers["x-request-id"]


class TestPool:
    @pytest.mark.parametrize("query", [VIEWER, CREATE, LOGIN])
    async def test_without_a_connection_a_request_is_sent_away(self, small_site: Site, query: str) -> None:
        ada = await small_site.person()
        token = None if query == LOGIN else ada.token
        async with growing(small_site) as growth:
            async with exhausted(small_site):
                with written() as lines:
                    assert_overloaded(await asked(small_site, query, token))
            assert await growth.of("database_pool_timeouts_total") >= 1

        assert "Traceback" not in lines.text
        assert (await asked(small_site, query, token)).status_code == 200

    async def test_probes_and_metrics_are_answered_all_the_same(self, small_site: Site) -> None:
        async with exhausted(small_site):
            answers = [await small_site.request("GET", path) for path in ("/health", "/ready", "/metrics")]

        assert [answer.status_code for answer in answers] == [200, 200, 200]
        assert answers[1].json()["database"] == "up"

    async def test_too_many_who_wait_are_sent_away_at_once(
        self, own_database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pool, "MAX_WAITING", 1)
        settings = quick_settings(database_pool_size=1, database_pool_seconds=60)
        async with site(own_database, settings=settings) as patient:
            ada = await patient.person()
            async with exhausted(patient):
                first = asyncio.create_task(asked(patient, VIEWER, ada.token))
                await until(lambda: patient.engines.database.pool.waiting == 1)
                assert_overloaded(await asked(patient, VIEWER, ada.token))
            assert (await first).status_code == 200

    async def test_over_a_websocket_the_operation_is_told_and_the_connection_stays(self, small_site: Site) -> None:
        ada = await small_site.person()
        workflow = (await small_site.ask(CREATE, token=ada.token))["data"]["createWorkflow"]["workflow"]["id"]
        async with connected(small_site.socket_url, ada.token) as socket:
            async with exhausted(small_site):
                (refused,) = await socket.run(WATCH, {"id": workflow})
            await socket.subscribe(WATCH, {"id": workflow})

            assert (refused["type"], refused["payload"][0]["extensions"]["code"]) == ("error", "OVERLOADED")
            assert (await socket.next())["data"]["workflowEvents"]["sequence"] == 1


class TestPlaces:
    async def test_more_operations_than_there_are_places_for_are_sent_away(self, small_site: Site) -> None:
        async with growing(small_site) as growth:
            with small_site.engines.places.place(), small_site.engines.places.place():
                assert (await asked(small_site, "query Fits { __typename }")).status_code == 200
                with small_site.engines.places.place():
                    assert_overloaded(await asked(small_site, "query Excess { __typename }"))

            assert await growth.of("operations_refused_total") == 1
            assert await growth.of("operations_total", "Excess", "query", "overloaded") == 1
        assert (await asked(small_site, "query Excess { __typename }")).status_code == 200

    async def test_a_subscription_gives_its_place_back_once_it_has_begun(self, small_site: Site) -> None:
        ada = await small_site.person()
        workflow = (await small_site.ask(CREATE, token=ada.token))["data"]["createWorkflow"]["workflow"]["id"]
        async with connected(small_site.socket_url, ada.token) as socket:
            for _ in range(5):
                await socket.subscribe(WATCH, {"id": workflow})
                await socket.next()

            assert (await asked(small_site, VIEWER, ada.token)).status_code == 200

    @pytest.mark.parametrize(
        ("answer", "is_overloaded"),
        [
            ({"data": None, "errors": [{"extensions": {"code": "OVERLOADED"}}]}, True),
            ({"data": {"a": None}, "errors": [{"path": ["a"], "extensions": {"code": "OVERLOADED"}}]}, True),
            ({"data": {"a": {}, "b": None}, "errors": [{"path": ["b"], "extensions": {"code": "OVERLOADED"}}]}, False),
            ({"data": {"a": None}, "errors": [{"path": ["a", "b"], "extensions": {"code": "OVERLOADED"}}]}, False),
            ({"data": None, "errors": [{"extensions": {"code": "NOT_FOUND"}}]}, False),
            ({"data": {"a": 1}}, False),
        ],
    )
    def test_what_has_run_in_part_is_not_to_be_sent_again(self, answer: Any, *, is_overloaded: bool) -> None:  # noqa: ANN401 - any JSON
        errors = [
            GraphQLError("", path=error.get("path"), extensions=error["extensions"])
            for error in answer.get("errors", ())
        ]
        result = ExecutionResult(answer["data"], errors)

        assert answers.is_overloaded(result) is is_overloaded


class TestDatabaseAway:
    async def test_callers_are_sent_away_until_it_is_back(self, own_database: Database) -> None:
        direct = own_database.url
        async with (
            proxied(f"{direct.query['host']}/.s.PGSQL.{direct.query['port']}") as proxy,
            another(own_database, direct.set(host="127.0.0.1", port=proxy.port, query={})) as through,
            site(through) as cut,
        ):
            ada = await cut.person()
            workflow = (await cut.ask(CREATE, token=ada.token))["data"]["createWorkflow"]["workflow"]["id"]
            async with connected(cut.socket_url, ada.token) as socket:
                await proxy.close()
                with written() as lines:
                    for query in (VIEWER, CREATE, LOGIN):
                        assert_overloaded(await asked(cut, query, None if query == LOGIN else ada.token))
                    (refused,) = await socket.run(WATCH, {"id": workflow})
                await proxy.listen()
                await socket.subscribe(WATCH, {"id": workflow})
                await socket.next()
            assert (await asked(cut, VIEWER, ada.token)).status_code == 200

        told = refused["payload"][0]["extensions"]
        assert (told["code"], told["retryAfter"]) == ("OVERLOADED", 1)
        assert "Traceback" not in lines.text


@asynccontextmanager
async def locked(database: Database, table: str) -> AsyncIterator[None]:
    """Keep everybody else from a table while the context lasts."""
    async with database.transaction() as session:
        await session.execute(text(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"))
        yield


async def waiting(database: Database) -> list[int]:
    """Name the processes of PostgreSQL that wait for a lock in this database."""
    found = await database.fetch(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    return [row["pid"] for row in found]


class TestSlowStatements:
    @pytest.fixture
    async def hurried_site(self, own_database: Database) -> AsyncIterator[Site]:
        """A site whose statements may take half a second."""
        engines, hurried = engines_for(own_database), Database(own_database.url, statement_seconds=0.5)
        async with site(own_database, engines=replace(engines, database=hurried)) as running:
            yield running
        await engines.database.close()

    @pytest.mark.parametrize(("table", "query"), [("users", VIEWER), ("workflows", LIST), ("workflows", CREATE)])
    async def test_callers_are_sent_away(
        self, hurried_site: Site, own_database: Database, table: str, query: str
    ) -> None:
        ada = await hurried_site.person()
        with written() as lines:
            async with locked(own_database, table):
                assert_overloaded(await asked(hurried_site, query, ada.token))

        (line,) = lines.of("statement_timed_out")
        assert "statement timeout" in line["exception"]
        assert (await asked(hurried_site, query, ada.token)).status_code == 200

    async def test_over_a_websocket_the_operation_is_told_and_the_connection_stays(
        self, hurried_site: Site, own_database: Database
    ) -> None:
        ada = await hurried_site.person()
        workflow = (await hurried_site.ask(CREATE, token=ada.token))["data"]["createWorkflow"]["workflow"]["id"]
        async with connected(hurried_site.socket_url, ada.token) as socket:
            async with locked(own_database, "workflow_members"):
                (refused,) = await socket.run(WATCH, {"id": workflow})
            await socket.subscribe(WATCH, {"id": workflow})
            await socket.next()

        told = refused["payload"][0]["extensions"]
        assert (told["code"], told["retryAfter"]) == ("OVERLOADED", 1)

    async def test_one_that_somebody_cancelled_is_an_error_of_ours(
        self, small_site: Site, own_database: Database
    ) -> None:
        ada = await small_site.person()
        async with locked(own_database, "workflows"):
            answer = asyncio.create_task(asked(small_site, LIST, ada.token))

            async def is_waiting() -> bool:
                return bool(await waiting(own_database))

            await until(is_waiting)
            (pid,) = await waiting(own_database)
            await own_database.fetch("SELECT pg_cancel_backend($1)", pid)
            (error,) = (await answer).json()["errors"]

        assert error["extensions"]["code"] == "INTERNAL_ERROR"
