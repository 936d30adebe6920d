#!/usr/bin/env python3
"""Measure the database work of queries and mutations on a large database.

Seeds 10 000 workflows, 100 000 proposals and 5 000 000 events (`--scale 0.01` for a hundredth) into an embedded
PostgreSQL of its own, runs each operation many times through the schema, and prints a Markdown table of the time spent
in SQL, the whole time, the number of statements, and the sequential scans that PostgreSQL made on large tables.

Usage: .venv/bin/python scripts/bench/authoring.py [--scale S] [--rounds N] [--write docs/performance.md]
"""

import argparse
import asyncio
import re
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from asyncpg.connection import LoggedQuery
from queries import EDIT, LIST
from report import put
from sqlalchemy import event, text
from sqlalchemy.pool import ConnectionPoolEntry

from graphql_api import app
from graphql_api.authoring.outcomes import ProposalOutcomes
from graphql_api.context import Context, Engines
from graphql_api.identity import users
from graphql_api.identity.actor import Actor
from graphql_api.kit import embedded_postgres, migrations
from graphql_api.kit.database import Database, parse_url
from graphql_api.kit.ids import key_of, to_global_id
from graphql_api.runtimes import executions
from graphql_api.runtimes.executions import Outcome
from graphql_api.runtimes.protocol import ThreadRef
from graphql_api.schema import schema
from graphql_api.settings import Settings

LARGE_TABLES = ("workflows", "proposals", "events", "draft_files", "workflow_members", "audit_entries", "executions")

SEED = """
INSERT INTO event_logs SELECT gen_random_uuid(), 0, 0, false, now() FROM generate_series(1, :workflows);
CREATE TEMP TABLE w AS SELECT subject_id AS id, row_number() OVER () AS n FROM event_logs;
INSERT INTO workflows (id, name, is_archived, created_at, updated_at)
    SELECT id, 'Workflow ' || n, n % 10 = 0, now() - n * interval '1 minute', now() - n * interval '1 minute' FROM w;
INSERT INTO workflow_members SELECT id, ':user', 'OWNER', now() FROM w;
INSERT INTO drafts (id, workflow_id, name, status, revision, created_by_id, created_at, updated_at)
    SELECT gen_random_uuid(), id, 'Draft', 'IN_PROGRESS', 1, ':user', now(), now() FROM w;
INSERT INTO contents SELECT encode(sha256(convert_to('line ' || n, 'UTF8')), 'hex'), 'line ' || n, length('line ' || n)
    FROM generate_series(1, 1000) AS n;
INSERT INTO draft_files (draft_id, path, from_revision, type, digest, size, updated_at)
    SELECT d.id, 'file-' || n || '.md', 1, 'MARKDOWN',
           encode(sha256(convert_to('line ' || n, 'UTF8')), 'hex'), length('line ' || n), now()
    FROM drafts d, generate_series(1, 10) AS n;
CREATE TEMP TABLE p AS
    SELECT gen_random_uuid() AS id, d.workflow_id, d.id AS draft_id, hour
    FROM drafts d, generate_series(1, :each) AS hour;
INSERT INTO event_logs SELECT id, :events, 1, true, now() FROM p;
INSERT INTO executions (id, state, request, due_at, attempts, epoch, handle, frames_ingested, input_tokens,
                        output_tokens, created_at)
    SELECT id, 'FORGOTTEN', '{}', now(), 1, 1, '{}', 0, 10, 10, now() FROM p;
INSERT INTO proposals (id, workflow_id, draft_id, status, prompt, base_revision, applied_paths, created_by_id,
                       created_at, completed_at, decided_at)
    SELECT id, workflow_id, draft_id, 'REJECTED', 'Do it', 1, '{}', ':user', now() - hour * interval '1 hour',
           now(), now()
    FROM p;
INSERT INTO events SELECT p.id, n, 'ProposalProgressed', jsonb_build_object('message', repeat('x', 100)), false, now()
    FROM p, generate_series(1, :events) AS n;
INSERT INTO audit_entries (id, workflow_id, at, action, subject, details)
    SELECT gen_random_uuid(), id, now() - m.n * interval '1 minute', 'draft.edit', 'x', '{}'
    FROM w, generate_series(1, 10) AS m (n);
ANALYZE;
"""

INBOX = """{ proposals(first: 50) { nodes {
    status prompt workflow { name } createdBy { name } usage { totalTokens } } } }"""
LOG = """query($id: ID!) { proposal(id: $id) { events(first: 100) { nodes { __typename sequence } } } }"""
REFINE = """mutation($id: ID!) {
    refineWorkflow(input: { workflowId: $id, prompt: "Do it" }) { proposal { id } errors { message } } }"""
APPROVE = (
    """mutation($id: ID!) { approveProposal(input: { proposalId: $id }) { draft { revision } errors { message } } }"""
)
PUBLISH = (
    """mutation($id: ID!) { publishDraft(input: { workflowId: $id }) { version { number } errors { message } } }"""
)
DEPLOY = """mutation($id: ID!) {
    deployVersion(input: { workflowId: $id, number: 1 }) { version { number } errors { message } } }"""


_OF_THE_DRIVER = re.compile(r"\s*(BEGIN|COMMIT|SELECT\s+current_setting|WITH RECURSIVE typeinfo_tree)")


class Statements:
    """Counts statements and the time that they take."""

    def __init__(self, database: Database) -> None:
        self.count, self.seconds = 0, 0.0
        engine = database.engine.sync_engine
        event.listen(engine, "before_cursor_execute", self._before)
        event.listen(engine, "after_cursor_execute", self._after)
        event.listen(engine, "checkout", self._checkout)
        event.listen(engine, "checkin", self._checkin)

    def _before(self, *arguments: Any) -> None:  # noqa: ANN401 - SQLAlchemy's signature
        arguments[4].started = time.perf_counter()

    def _after(self, *arguments: Any) -> None:  # noqa: ANN401 - SQLAlchemy's signature
        self.count += 1
        self.seconds += time.perf_counter() - arguments[4].started

    def _checkout(self, _connection: object, entry: ConnectionPoolEntry, _fairy: object) -> None:
        driver: asyncpg.Connection | None = entry.driver_connection
        if driver is not None:
            driver.add_query_logger(self._add_plain)

    def _checkin(self, _connection: object, entry: ConnectionPoolEntry) -> None:
        driver: asyncpg.Connection | None = entry.driver_connection
        if driver is not None:
            driver.remove_query_logger(self._add_plain)

    def _add_plain(self, query: LoggedQuery) -> None:
        """Count what goes to the driver directly, with the time of what the driver sends of itself."""
        self.count += not _OF_THE_DRIVER.match(query.query)
        self.seconds += query.elapsed

    @asynccontextmanager
    async def measured(self, rows: list[tuple[float, float, int]]) -> AsyncIterator[None]:
        """Add SQL time, whole time and statements of what happens inside."""
        count, seconds, started = self.count, self.seconds, time.perf_counter()
        yield
        whole = time.perf_counter() - started
        await asyncio.sleep(0)  # the driver tells of its statements one turn later
        rows.append((self.seconds - seconds, whole, self.count - count))


class Bench:
    """Runs operations as one user."""

    def __init__(self, engines: Engines, user_id: UUID, rounds: int) -> None:
        self.engines, self.user_id, self.rounds = engines, user_id, rounds
        self.statements = Statements(engines.database)
        self.results: dict[str, list[tuple[float, float, int]]] = {}

    async def run(self, document: str, **variables: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
        """Run an operation; fails on errors."""
        context = Context(self.engines, signed_in=Actor(self.user_id))
        result = await schema.execute(document, variable_values=variables, context_value=context)
        if result.errors or not result.data:
            raise SystemExit(f"{document}: {result.errors}")
        payload = next(iter(result.data.values()))
        if isinstance(payload, dict) and payload.get("errors"):
            raise SystemExit(f"{document}: {payload['errors']}")
        return dict(result.data)

    async def timed(self, name: str, document: str, **variables: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
        """Run an operation and keep what it cost."""
        async with self.statements.measured(self.results.setdefault(name, [])):
            return await self.run(document, **variables)

    async def complete(self, proposal_id: str) -> None:
        """End a proposal's execution as a worker does."""
        key, log = key_of(proposal_id, "Proposal"), self.engines.log
        outcomes = ProposalOutcomes(log)
        async with self.engines.database.transaction() as session:
            (claim,) = await executions.claim(session, log, worker=1, limit=1)
        if claim.execution_id != key:
            raise SystemExit("Another execution was due.")
        async with self.engines.database.transaction() as session:
            await outcomes.started(session, claim, thread=ThreadRef("t"), runtime="bench")
        async with self.engines.database.transaction() as session:
            await outcomes.ended(session, claim, Outcome())

    async def all(self) -> None:
        """Run every operation."""
        async with self.engines.database.transaction() as session:
            rows = await session.execute(
                text("SELECT id FROM workflows WHERE NOT is_archived LIMIT :n"), {"n": self.rounds}
            )
            workflows = [to_global_id("Workflow", id_) for id_ in rows.scalars()]
            proposal = to_global_id(
                "Proposal", (await session.execute(text("SELECT id FROM proposals LIMIT 1"))).scalar_one()
            )
        for _ in range(self.rounds):
            await self.timed("query: 50 workflows with owner, latest version, file count", LIST)
            await self.timed("query: 50 proposals of all workflows", INBOX)
            await self.timed("query: 100 events", LOG, id=proposal)
        for workflow in workflows:
            await self.timed("editDraft", EDIT, id=workflow, revision=1, content=f"edited {uuid4()}")
            refined = await self.timed("refineWorkflow", REFINE, id=workflow)
            await self.complete(proposal := refined["refineWorkflow"]["proposal"]["id"])
            await self.timed("approveProposal", APPROVE, id=proposal)
            await self.timed("publishDraft", PUBLISH, id=workflow)
            await self.timed("deployVersion", DEPLOY, id=workflow)


async def scans(database: Database) -> dict[str, int]:
    """Read how often large tables were read from end to end."""
    query = text("SELECT relname, seq_scan FROM pg_stat_user_tables WHERE relname = ANY(:names)")
    async with database.transaction() as session:
        await session.execute(text("SELECT pg_stat_force_next_flush()"))
        return {str(name): int(count) for name, count in await session.execute(query, {"names": list(LARGE_TABLES)})}


async def seed(database: Database, user_id: UUID, scale: float) -> None:
    """Fill the database."""
    sizes = {":workflows": str(int(10_000 * scale)), ":each": "10", ":events": "50", ":user": str(user_id)}
    statements = SEED
    for name, value in sizes.items():
        statements = statements.replace(name, value)
    connection = await database.connect()
    await connection.execute("SET synchronous_commit = off; SET session_replication_role = replica")
    await connection.execute(statements, timeout=1800)
    await connection.close()


async def measure(url: str, scale: float, rounds: int) -> str:
    """Seed, measure, and write the table."""
    engines = app.make_engines(Settings(max_concurrent_refinements=10_000), parse_url(url), ("x" * 48,))
    database = engines.database
    await migrations.upgrade(database)
    user = await users.create(database, email="bench@example.com", name="Bench", password="not a secret")  # noqa: S106 - of a throw-away database
    started = time.perf_counter()
    await seed(database, user.id, scale)
    seeded = time.perf_counter() - started
    bench = Bench(engines, user.id, rounds)
    await bench.run(LIST)
    before = await scans(database)
    await bench.all()
    after = await scans(database)
    await database.close()
    summary = (
        f"Seeded {int(10_000 * scale):,} workflows, {int(100_000 * scale):,} proposals and "
        f"{int(5_000_000 * scale):,} events in {seeded:.0f} s; medians and maxima of {rounds} rounds, one caller, "
        "PostgreSQL 18 embedded, durable commits."
    )
    lines = [
        summary,
        "",
        "| operation | in SQL, median | in SQL, maximum | whole, median | statements |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, rows in bench.results.items():
        sql, whole, counts = zip(*rows, strict=True)
        lines.append(
            f"| {name} | {statistics.median(sql) * 1000:.1f} ms | {max(sql) * 1000:.1f} ms "
            f"| {statistics.median(whole) * 1000:.1f} ms | {max(counts)} |"
        )
    read = ", ".join(f"{name} {after[name] - before[name]}" for name in sorted(after) if after[name] > before[name])
    return "\n".join([*lines, "", f"Sequential scans of large tables meanwhile: {read or 'none'}."])


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="1.0 is 10 000 workflows")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--write", type=Path, help="a Markdown file with the markers of this table")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory) / "home"
        with embedded_postgres.start(home, settings={"shared_buffers": "512MB", "max_wal_size": "4GB"}) as server:
            table = asyncio.run(measure(server.url(), options.scale, options.rounds))
        embedded_postgres.remove(home)
    print(table)
    if options.write:
        put(options.write, "authoring", table)


if __name__ == "__main__":
    main()
