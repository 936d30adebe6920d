"""A database with workflows and logs, and what is run on it: API processes, and what makes events."""

import asyncio
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from signal import SIGTERM
from uuid import UUID

import asyncpg
import httpx
import orjson
import psutil
from running import HERE, Nursery, Peer, Running, Skips, load_generator, node_peers, port_of, started
from source import stored_event
from sqlalchemy import make_url

from graphql_api.identity import users
from graphql_api.identity.tokens import TokenKeys
from graphql_api.kit import embedded_postgres, migrations
from graphql_api.kit.columns import now
from graphql_api.kit.database import Database, parse_url
from graphql_api.kit.ids import to_global_id

SECRET = "x" * 48
START_SECONDS = 60
WORKFLOWS = 300
"""How many can be listed."""

UNLIMITED = "1000000000/minute"
SETTINGS = {
    "ENVIRONMENT": "production",
    "JWT_SECRET": SECRET,
    "LOG_LEVEL": "info",
    "MAX_CONCURRENT_REFINEMENTS": "1000",
    "MAX_OPEN_SUBSCRIPTIONS": "10000",
    "RATE_LIMIT_COST": UNLIMITED,
    "RATE_LIMIT_MUTATIONS": UNLIMITED,
    "RATE_LIMIT_REFINEMENTS": UNLIMITED,
    "RATE_LIMIT_SUBSCRIPTIONS": UNLIMITED,
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

LOGS = """
WITH logs AS (
    INSERT INTO event_logs SELECT id, $2, 1, false, now() FROM unnest($1::uuid[]) AS id RETURNING subject_id AS id),
runs AS (
    INSERT INTO executions (id, state, request, due_at, attempts, epoch, handle, frames_ingested, input_tokens,
                            output_tokens, created_at)
    SELECT id, 'FORGOTTEN', '{}', now(), 1, 1, '{}', 0, 0, 0, now() FROM logs RETURNING id)
INSERT INTO proposals (id, workflow_id, draft_id, status, prompt, base_revision, applied_paths, created_by_id,
                       created_at, completed_at, decided_at)
    SELECT runs.id, d.workflow_id, d.id, 'REJECTED', 'Tick', 1, '{}', d.created_by_id, now(), now(), now()
    FROM runs, (SELECT * FROM drafts WHERE created_by_id = $3 AND closed_at IS NULL LIMIT 1) d
"""
EVENTS = """
INSERT INTO events (subject_id, sequence, type, payload, is_terminal, occurred_at) VALUES ($1, $2, $3, $4, false, $5)
"""


@dataclass(frozen=True, slots=True)
class Site:
    """A database with workflows, and what is needed to ask about them.

    Attributes:
        home: Of the database.
        url: Of the database.
        viewer: Who lists workflows.
        editor: Who edits others, so that what is listed stays as it is, and owns proposals.
        unedited: Global ids of workflows whose draft nobody has edited yet.
        postmaster: Of PostgreSQL's processes the first.
        product: Runs the product, what makes events for it, and what shares its use cases.
        servers: Runs the servers of subscriptions.
        wsload: What subscribes.
        httpload: What asks over HTTP.
    """

    home: Path
    url: str
    viewer: UUID
    editor: UUID
    unedited: Iterator[str]
    postmaster: int
    product: Nursery
    servers: Nursery
    wsload: Sequence[str]
    httpload: Sequence[str]

    @contextmanager
    def serving(self, module: str = "graphql_api.cli", *words: object) -> Iterator[Running]:
        """Run an API process: `orchestrator serve` in production, with everything that a request goes through.

        Args:
            module: What is `orchestrator`.
            words: What comes before `serve` on its command line.
        """
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        settings = {**SETTINGS, "ORCHESTRATOR_HOME": str(self.home)}
        words = (*words, "serve", "--port", port)
        with self.product.running(module, *words, settings=settings, is_quiet=True, ending=SIGTERM) as (pid, _):
            deadline = time.monotonic() + START_SECONDS
            while time.monotonic() < deadline:
                with suppress(httpx.TransportError):
                    httpx.get(f"http://127.0.0.1:{port}/health").raise_for_status()
                    break
                time.sleep(0.02)
            else:
                sys.exit("an API process does not start")
            yield Running(port, pid)

    @contextmanager
    def clockwork(self, what: str, *words: object) -> Iterator[None]:
        """Run what makes events; see clockwork.py."""
        with self.product.running("clockwork", what, self.url, *words) as (_, said):
            if said != "ready":
                sys.exit(f"clockwork {what} does not start: {said}")
            yield

    def query_peers(self, skips: Skips) -> list[Peer]:
        """Name the servers that queries are compared with, and note which can't run."""
        user, settings = str(self.viewer), self._settings

        def peer(name: str, file: str, *words: str) -> Peer:
            return Peer(name, lambda: started((sys.executable, HERE / file, *words), settings))

        return [
            peer("strawberry", "query_servers.py", "strawberry", user),
            peer("starlette", "query_servers.py", "starlette", user),
            Peer("same", self._same_use_cases),
            *node_peers({"yoga": "queries.mjs"}, skips, words=(user,), settings=settings),
        ]

    @contextmanager
    def _same_use_cases(self) -> Iterator[Running]:
        with self.product.running("own_use_cases", settings=self._settings) as (pid, said):
            yield Running(port_of(said), pid)

    @property
    def _settings(self) -> Mapping[str, str]:
        """Tell the peers where the database is, and what signs tokens."""
        url = make_url(self.url)
        return {
            "DATABASE_URL": self.url,
            "JWT_SECRET": SECRET,
            "PGHOST": str(url.query["host"]),
            "PGPORT": str(url.query["port"]),
            "PGUSER": url.username or "",
            "PGPASSWORD": url.password or "",
            "PGDATABASE": url.database or "",
        }

    def logs(self, ids: Sequence[UUID], events: int = 1) -> list[str]:
        """Make proposals of the editor whose logs begin as those of source.py; gives their global ids.

        Args:
            ids: Of the proposals.
            events: How many there are in each.
        """
        asyncio.run(self._make_logs(ids, events))
        return [to_global_id("Proposal", each) for each in ids]

    async def _make_logs(self, ids: Sequence[UUID], events: int) -> None:
        made = [stored_event(id_, sequence) for id_ in ids for sequence in range(1, events + 1)]
        rows = [
            (each.subject, each.sequence, each.type, orjson.dumps(each.payload).decode(), each.occurred_at)
            for each in made
        ]
        connection = await asyncpg.connect(self.url)
        async with connection.transaction():
            await connection.execute(LOGS, ids, events, self.editor)
            await connection.executemany(EVENTS, rows)
        await connection.close()

    def postgres_seconds(self) -> float:
        """Tell how much CPU time PostgreSQL has used; what a process used that is over is among the first one's."""
        postmaster = psutil.Process(self.postmaster)
        while True:
            with suppress(psutil.NoSuchProcess):
                running = sum(sum(child.cpu_times()[:2]) for child in postmaster.children())
                return running + sum(postmaster.cpu_times()[:4])


def token_of(user: UUID) -> str:
    """Sign somebody in."""
    return TokenKeys((SECRET,)).issue(user, now())[0]


@contextmanager
def opened(edited: int) -> Iterator[Site]:
    """Make a database, with that many workflows to edit beside those to list; it is gone afterwards."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        directory = Path(name)
        home = directory / "home"
        # They import what they need while the database is made.
        modules = ("graphql_api.cli.serving", "clockwork", "own_use_cases")
        product = stack.enter_context(Nursery(*modules, directory=directory))
        servers = stack.enter_context(Nursery("servers", directory=directory))
        generators = [load_generator(directory, generator) for generator in ("wsload", "httpload")]
        try:
            with embedded_postgres.start(home) as server:
                seeded = asyncio.run(_seed(server.url(), edited + 1))
                product.wait()
                servers.wait()
                yield Site(home, server.url(), *seeded, product, servers, *generators)
        finally:
            embedded_postgres.remove(home)


async def _seed(url: str, edited: int) -> tuple[UUID, UUID, Iterator[str], int]:
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
    return viewer.id, editor.id, iter([to_global_id("Workflow", row["id"]) for row in rows]), postmaster
