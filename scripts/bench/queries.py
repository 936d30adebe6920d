#!/usr/bin/env python3
"""Measure queries and mutations over HTTP: the CPU time that a request costs, beside other servers on one database.

The product is served as it is deployed. Its peers are stock Strawberry with SQLModel and DataLoaders, Starlette without
GraphQL and with one statement, and GraphQL Yoga with DataLoader; they read the same tables. A case begins only when all
of its servers give the same answer, and all of them are measured one after the other in each round.

Usage: .venv/bin/python scripts/bench/queries.py [--quick] [--rounds N] [--seconds S] [--case NAME] [--profile]
           [--write docs/performance.md]
"""

import argparse
import asyncio
import json
import os
import pstats
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import bench
import httpx
import psutil
import system
from authoring import LIST
from bench import HERE, Peer, Skipped
from sqlalchemy import make_url

from graphql_api.identity import users
from graphql_api.identity.tokens import TokenKeys
from graphql_api.kit import embedded_postgres, migrations
from graphql_api.kit.columns import now
from graphql_api.kit.database import Database, parse_url
from graphql_api.kit.ids import to_global_id

BEGIN, END = "<!-- queries -->", "<!-- /queries -->"
CONNECTIONS = 8
WORKFLOWS = 300
WARM_SECONDS = 1.0
OURS = "product"
NAMES = {
    OURS: "this product",
    "stock": "Strawberry",
    "bare": "Starlette, no GraphQL",
    "yoga": "GraphQL Yoga (Node)",
}

SETTINGS = {
    "ENVIRONMENT": "production",
    "LOG_LEVEL": "info",
    "RATE_LIMIT_COST": "1000000000/minute",
    "RATE_LIMIT_MUTATIONS": "1000000000/minute",
}
"""What the product is deployed with, but that nobody reaches the limits, which are counted all the same."""

SEED = """
INSERT INTO users (id, email, name, roles, created_at)
    SELECT gen_random_uuid(), 'owner-' || n || '@example.com', 'Owner ' || n, '{USER}', now()
    FROM generate_series(1, 20) AS n;
CREATE TEMP TABLE w AS
    SELECT gen_random_uuid() AS id, gen_random_uuid() AS draft_id, n,
           CASE WHEN n > :listed THEN ':editor' ELSE ':viewer' END::uuid AS reader
    FROM generate_series(1, :listed + :edited) AS n;
INSERT INTO event_logs SELECT id, 0, 0, false, now() FROM w;
INSERT INTO workflows (id, name, is_archived, created_at, updated_at)
    SELECT id, 'Workflow ' || n, false, now() - n * interval '1 minute', now() - n * interval '1 minute' FROM w;
INSERT INTO workflow_members SELECT id, reader, 'EDITOR', now() - interval '1 day' FROM w;
INSERT INTO workflow_members
    SELECT w.id, u.id, 'OWNER', now() - right(u.name, 1)::int * interval '1 hour' FROM w, users u
    WHERE u.name IN ('Owner ' || 1 + w.n % 20, 'Owner ' || 1 + (w.n + 7) % 20);
INSERT INTO drafts (id, workflow_id, name, status, revision, created_by_id, created_at, updated_at, closed_at)
    SELECT gen_random_uuid(), id, 'Draft', 'IN_PROGRESS', 1, reader, now(), now(), now() FROM w, generate_series(1, 3)
    WHERE n % 5 > 0;
INSERT INTO versions (id, workflow_id, number, draft_id, status, published_by_id, published_at)
    SELECT gen_random_uuid(), workflow_id, row_number() OVER (PARTITION BY workflow_id), id, 'PUBLISHED',
           created_by_id, now()
    FROM drafts;
INSERT INTO drafts (id, workflow_id, name, status, revision, created_by_id, created_at, updated_at)
    SELECT draft_id, id, 'Draft', 'IN_PROGRESS', 1, reader, now(), now() FROM w WHERE n % 7 > 0 OR n > :listed;
INSERT INTO contents SELECT encode(sha256(convert_to('line ' || n, 'UTF8')), 'hex'), 'line ' || n, length('line ' || n)
    FROM generate_series(1, 20) AS n;
INSERT INTO draft_files (draft_id, path, from_revision, type, digest, size, updated_at)
    SELECT d.id, 'file-' || m || '.md', 1, 'MARKDOWN',
           encode(sha256(convert_to('line ' || m, 'UTF8')), 'hex'), length('line ' || m), now()
    FROM w JOIN drafts d ON d.id = w.draft_id, generate_series(1, 10) AS m WHERE m <= 3 + n % 8;
ANALYZE;
"""


@dataclass(frozen=True, slots=True)
class Rival:
    """A server that a case is compared with.

    Attributes:
        name: Of the server.
        path: Where it answers.
        at_least: How many times our CPU time its own has to be; None when it is there to look at.
    """

    name: str
    path: str = "/graphql"
    at_least: float | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """What is asked.

    Attributes:
        title: In the table.
        document: The operation.
        rivals: Whom it is asked beside us.
        expect: A part of each right answer.
        edits: Whether each connection needs a workflow of its own to edit.
    """

    title: str
    document: str
    rivals: tuple[Rival, ...]
    expect: str
    edits: bool = False


CASES = {
    "typename": Case(
        "`{ __typename }`",
        "{ __typename }",
        (Rival("stock", at_least=8), Rival("bare", "/typename"), Rival("yoga")),
        '"Query"',
    ),
    "list": Case(
        "50 workflows, each with owner, latest version and the draft's file count",
        LIST,
        (Rival("stock"), Rival("bare", "/workflows", at_least=1 / 3), Rival("yoga", at_least=1)),
        '"nodes":[{',
    ),
}


@dataclass(frozen=True, slots=True)
class Cost:
    """What a request costs.

    Attributes:
        cpu: Microseconds of the server's process.
        postgres: Microseconds of all of PostgreSQL's processes.
        rate: Requests a second.
    """

    cpu: float
    postgres: float
    rate: float


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers."""

    port: int
    pid: int


@dataclass
class Site:
    """A database with workflows, and what is needed to ask about them.

    Attributes:
        viewer: Who lists workflows.
        editor: Who edits others, so that what is listed stays as it is.
        unedited: Global ids of workflows whose draft nobody has edited yet.
        postmaster: Of PostgreSQL's processes the first.
    """

    home: Path
    url: str
    viewer: UUID
    editor: UUID
    unedited: Iterator[str]
    postmaster: int
    generator: Path
    figures: dict[tuple[str, str], list[Cost]] = field(default_factory=dict)

    def token(self, case: Case) -> str:
        """Sign in whoever asks."""
        keys = TokenKeys((system.SECRET,))
        return keys.issue(self.editor if case.edits else self.viewer, now())[0]

    def bodies(self, case: Case, count: int) -> list[str]:
        """Write requests, one for each connection; see httpload.c for `#N`."""
        if not case.edits:
            return [json.dumps({"query": case.document})]
        variables = '{"id":"%s","revision":#N,"content":"edited #N"}'
        return [
            f'{{"query":{json.dumps(case.document)},"variables":{variables % next(self.unedited)}}}'
            for _ in range(count)
        ]

    def peers(self) -> list[Peer]:
        """Name the servers beside the product: those in Python, and the one in Node when it is here."""
        user = str(self.viewer)
        python = [
            Peer(name, (sys.executable, str(HERE / "query_servers.py"), name, user)) for name in ("stock", "bare")
        ]
        try:
            return [*python, Peer("yoga", (bench.install_node_peers(), str(HERE / "peers" / "queries.mjs"), user))]
        except Skipped as reason:
            print(f"skipped: yoga: {reason}")
            return python

    @property
    def environment(self) -> dict[str, str]:
        """Tell servers where the database is."""
        url = make_url(self.url)
        return {
            "DATABASE_URL": self.url,
            "PGHOST": str(url.query["host"]),
            "PGPORT": str(url.query["port"]),
            "PGUSER": url.username or "",
            "PGPASSWORD": url.password or "",
            "PGDATABASE": url.database or "",
        }

    def start(self, stack: ExitStack, peers: Sequence[Peer]) -> dict[str, Running]:
        """Start the product and its peers; they run until the stack ends."""
        servers = {OURS: Running(*stack.enter_context(system.serving(self.home, SETTINGS, log=subprocess.DEVNULL)))}
        for peer in peers:
            try:
                servers[peer.name] = Running(*stack.enter_context(bench.serving(peer, self.environment)))
            except Skipped as reason:
                print(f"skipped: {reason}")
        return servers

    def postgres_seconds(self) -> float:
        """Tell how much CPU time PostgreSQL has used."""
        postmaster = psutil.Process(self.postmaster)
        return sum(postmaster.cpu_times()[:4]) + sum(sum(child.cpu_times()[:2]) for child in postmaster.children())

    def load(self, case: Case, server: Running, path: str, seconds: float) -> Cost:
        """Ask one server as fast as it answers."""
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            file.write("\n".join(self.bodies(case, CONNECTIONS)))
            file.flush()
            command = [self.generator, "--port", str(server.port), "--pid", str(server.pid), "--bodies", file.name]
            command += ["--path", path, "--token", self.token(case), "--expect", case.expect]
            command += ["--connections", str(CONNECTIONS), "--warm", str(WARM_SECONDS), "--seconds", str(seconds)]
            before = self.postgres_seconds()
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            used = self.postgres_seconds() - before
        if done.returncode != 0:
            sys.exit(done.stderr)
        measured = json.loads(done.stdout)
        return Cost(
            cpu=measured["cpu"] * 1e6 / measured["answers"],
            postgres=used * 1e6 / measured["all_answers"],
            rate=measured["answers"] / measured["seconds"],
        )


def asked(case: Case, servers: dict[str, Running]) -> Iterator[tuple[str, str, Running]]:
    """Give name, path and process of each server that a case is measured with, ours first."""
    for rival in (Rival(OURS), *case.rivals):
        if rival.name in servers:
            yield rival.name, rival.path, servers[rival.name]


def check_equality(site: Site, case: Case, servers: dict[str, Running]) -> None:
    """Stop when two servers give different answers, since that would be no comparison."""
    expected: Any = None
    for name, path, server in asked(case, servers):
        (body,) = site.bodies(case, 1)
        headers = {"authorization": f"Bearer {site.token(case)}", "content-type": "application/json"}
        url = f"http://127.0.0.1:{server.port}{path}"
        answer = httpx.post(url, content=body.replace("#N", "1"), headers=headers, timeout=30)
        if not answer.is_success or case.expect not in answer.text:
            sys.exit(f"{NAMES[name]} answers {answer.status_code} {answer.text}")
        expected = expected or answer.json()
        if answer.json() != expected:
            sys.exit(f"{NAMES[name]} gives something else:\n{answer.json()}\ninstead of\n{expected}")


def measure(site: Site, cases: dict[str, Case], rounds: int, seconds: float) -> list[str]:
    """Measure each case on each server, round by round, so that what else the machine does meets all of them."""
    peers = site.peers()
    for number in range(rounds):
        with ExitStack() as stack:
            servers = site.start(stack, peers)
            for key, case in cases.items():
                if number == 0:
                    check_equality(site, case, servers)
                for name, path, server in asked(case, servers):
                    site.figures.setdefault((key, name), []).append(site.load(case, server, path, seconds))
        print(f"round {number + 1} of {rounds} is done")
    return [line for key, case in cases.items() for line in ("", *table(case, key, site.figures))]


def table(case: Case, key: str, figures: dict[tuple[str, str], list[Cost]]) -> list[str]:
    """Write the table of a case."""
    ours = figures[key, OURS]
    lines = [
        f"| {case.title} | CPU | times ours (lowest to highest) | target | CPU of PostgreSQL | requests/s |",
        "|---|---:|---|---|---:|---:|",
    ]
    for rival in (Rival(OURS), *case.rivals):
        if (key, rival.name) not in figures:
            continue
        costs = figures[key, rival.name]
        ratios = [theirs.cpu / mine.cpu for theirs, mine in zip(costs, ours, strict=True)]
        middle = f"{statistics.median(ratios):.2f}"
        shown = "" if rival.name == OURS else f"**{middle}** ({min(ratios):.2f} to {max(ratios):.2f})"
        cpu, postgres, rate = (
            statistics.median(getattr(cost, name) for cost in costs) for name in ("cpu", "postgres", "rate")
        )
        lines.append(
            f"| {NAMES[rival.name]} | {cpu:,.0f} µs | {shown} | {verdict(ratios, rival.at_least)} "
            f"| {postgres:,.0f} µs | {rate:,.0f} |"
        )
    return lines


def verdict(ratios: Sequence[float], at_least: float | None) -> str:
    """Say what a ratio has to be, and whether it is."""
    if at_least is None:
        return ""
    return f"{at_least:.3g} or more: {'met' if statistics.median(ratios) >= at_least else 'missed'}"


async def seed(url: str, edited: int) -> tuple[UUID, UUID, list[str], int]:
    """Fill the database; give who lists, who edits, what they edit, and PostgreSQL's first process."""
    database = Database(parse_url(url))
    await migrations.upgrade(database)
    viewer, editor = [
        await users.create(database, email=f"{name}@example.com", name=name, password="not a secret")  # noqa: S106 - of a throw-away database
        for name in ("Viewer", "Editor")
    ]
    statements = SEED
    values = {":viewer": viewer.id, ":editor": editor.id, ":listed": WORKFLOWS, ":edited": edited}
    for name, value in values.items():
        statements = statements.replace(name, str(value))
    connection = await database.connect()
    await connection.execute(statements)
    rows = await connection.fetch("SELECT id FROM w WHERE n > $1", WORKFLOWS)
    postmaster = psutil.Process(await connection.fetchval("SELECT pg_backend_pid()")).ppid()
    await connection.close()
    await database.close()
    return viewer.id, editor.id, [to_global_id("Workflow", row["id"]) for row in rows], postmaster


def profile(site: Site, case: Case, seconds: float) -> None:
    """Print where the product's time goes while it answers a case; the profiler itself makes it slower."""
    file = site.home.parent / "profile"
    command = (sys.executable, "-m", "cProfile", "-o", str(file), str(system.ORCHESTRATOR))
    with system.serving(site.home, SETTINGS, log=subprocess.DEVNULL, command=command) as (port, pid):
        cost = site.load(case, Running(port, pid), "/graphql", seconds)
    print(f"{case.title}: {cost.cpu:,.0f} µs a request under the profiler")
    for order in ("tottime", "cumulative"):
        pstats.Stats(str(file)).strip_dirs().sort_stats(order).print_stats(45)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two short rounds, to see that it works")
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is measured (5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each measurement lasts (3)")
    parser.add_argument("--case", choices=CASES, help="only this one")
    parser.add_argument("--profile", action="store_true", help="prints where the product's own time goes instead")
    parser.add_argument("--write", type=Path, help="a Markdown file with the markers of this table")
    options = parser.parse_args()
    rounds, seconds = (2, 0.5) if options.quick else (options.rounds, options.seconds)
    cases = {options.case: CASES[options.case]} if options.case else CASES
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory) / "home"
        generator = bench.compile_generator(Path(directory), "httpload")
        with embedded_postgres.start(home) as server:
            url = server.url()
            viewer, editor, edited, postmaster = asyncio.run(seed(url, 2 * (CONNECTIONS * rounds + 1)))
            site = Site(home, url, viewer, editor, iter(edited), postmaster, generator)
            if options.profile:
                for case in cases.values():
                    profile(site, case, seconds)
            else:
                lines = measure(site, cases, rounds, seconds)
        embedded_postgres.remove(home)
    if options.profile:
        return
    words = " ".join(f" {word}" for word in sys.argv[1:])
    made = (
        f"Made by `scripts/bench/queries.py{words}`: {rounds} rounds of {seconds:g} s, {CONNECTIONS} connections, "
        f"{os.cpu_count()} cores for everything, PostgreSQL 18 embedded, durable commits; medians."
    )
    text = "\n".join([made, *lines])
    print(text)
    if options.write:
        page = options.write.read_text(encoding="utf-8")
        head, _, rest = page.partition(BEGIN)
        options.write.write_text(f"{head}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
