"""OpenTelemetry behind the seam, in this process."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import asyncpg
import httpx
import pytest
from sqlalchemy import text
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from support.collecting import Collector, collecting
from support.server import serving

from graphql_api.kit import tracing
from graphql_api.kit.database import Database
from graphql_api.kit.spans import Spans
from graphql_api.kit.statements import Statement

pytestmark = pytest.mark.anyio

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    async with collecting() as collector:
        yield collector


@pytest.fixture
def spans(collector: Collector) -> Iterator[Spans]:
    spans = Spans(collector.url)
    tracing.install(spans)
    yield spans
    tracing.install(None)
    spans.close()


async def sent(spans: Spans) -> None:
    """Wait until everything has arrived."""
    await asyncio.to_thread(spans._provider.force_flush)


class TestSpans:
    async def test_steps_of_another_process_go_on_with_its_trace(self, collector: Collector, spans: Spans) -> None:
        with tracing.span("outer", traceparent=TRACEPARENT, epoch=3):
            assert tracing.trace_id() == TRACE_ID
            assert tracing.headers()["traceparent"].split("-")[1] == TRACE_ID
            with tracing.span("inner"):
                pass
        await sent(spans)

        inner, outer = collector.of(TRACE_ID)
        assert (outer.name, outer.parent_id) == ("outer", "00f067aa0ba902b7")
        assert "3" in outer.attributes["epoch"]
        assert (inner.name, inner.parent_id) == ("inner", outer.span_id)

    async def test_a_step_that_began_is_named_and_judged_at_its_end(self, collector: Collector, spans: Spans) -> None:
        async def work() -> None:
            begun = tracing.begin("unknown")
            tracing.link(TRACEPARENT)
            begun.end("query Look", {"graphql.outcome": "failed"}, is_failed=True)

        await asyncio.create_task(work())
        assert tracing.traceparent() is None
        await sent(spans)

        (step,) = collector.steps
        assert (step.name, step.is_failed, step.links) == ("query Look", True, {TRACE_ID})

    async def test_statements_are_recorded_where_a_step_asks_for_them(
        self, collector: Collector, spans: Spans, database: Database
    ) -> None:
        watched = Database(database.url)
        tracing.watch(watched.engine)
        async with watched.transaction() as session, watched.plain_transaction() as transaction:
            await session.execute(text("SELECT 1"))
            await transaction.fetch(Statement("SELECT 1"))
        with tracing.span("asking"):
            async with watched.transaction() as session:
                await session.execute(text("SELECT :secret"), {"secret": "hunter2"})
            async with watched.plain_transaction() as transaction:
                await transaction.fetch(Statement("SELECT :secret::text"), secret="hunter2")
            with tracing.quiet():
                async with watched.transaction() as session, watched.plain_transaction() as transaction:
                    await session.execute(text("SELECT 3"))
                    await transaction.fetch(Statement("SELECT 3"))
                await watched.fetch("SELECT $1::text", "hunter2")
            await watched.fetch("SELECT $1::text", "hunter2")
            with pytest.raises(asyncpg.InvalidTextRepresentationError, match="hunter2"):
                await watched.fetch("SELECT $1::text::int", "hunter2")
        await watched.fetch("SELECT 4")
        await watched.close()
        await sent(spans)

        statements = [step for step in collector.steps if step.name.startswith("SELECT")]
        assert [step.is_failed for step in statements].count(True) == 1
        assert len(statements) == 4
        assert "hunter2" not in repr(statements)

    async def test_requests_go_on_with_the_callers_trace_and_carry_it_on(
        self, collector: Collector, spans: Spans
    ) -> None:
        async def show(request: Request) -> JSONResponse:
            return JSONResponse({"heard": request.headers.get("traceparent"), "id": tracing.trace_id()})

        app = Starlette(routes=[Route("/show", show), Route("/health", show)])
        async with serving(tracing.wrap(app)) as url, httpx.AsyncClient() as client:
            with tracing.span("calling", traceparent=TRACEPARENT):
                told = (await client.get(f"{url}/show")).json()
                await client.get(f"{url}/health")
        await sent(spans)

        assert told["heard"].split("-")[1] == told["id"] == TRACE_ID
        assert [step.name for step in collector.of(TRACE_ID)].count("GET /show") == 1
        assert not collector.named("GET /health")
