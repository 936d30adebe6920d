"""A database with workflows, the servers that are asked about them, and what asks."""

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import bench
import psutil
import system
from bench import HERE, Peer, Skipped
from sqlalchemy import make_url

from graphql_api.identity import users
from graphql_api.identity.tokens import TokenKeys
from graphql_api.kit import embedded_postgres, migrations
from graphql_api.kit.columns import now
from graphql_api.kit.database import Database, parse_url
from graphql_api.kit.ids import to_global_id

OURS = "product"
WORKFLOWS = 300
"""How many can be listed."""

CONNECTIONS = 8
WARM_SECONDS = 2.0
"""Node compiles what it runs often."""

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
class Running:
    """A server that answers."""

    port: int
    pid: int


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

    def figures(self) -> tuple[float, float, float]:
        """Give all of them."""
        return self.cpu, self.postgres, self.rate


@dataclass(frozen=True, slots=True)
class Site:
    """A database with workflows, and what is needed to ask about them.

    Attributes:
        home: Of the database.
        url: Of the database.
        generator: What asks.
        viewer: Who lists workflows.
        editor: Who edits others, so that what is listed stays as it is.
        unedited: Global ids of workflows whose draft nobody has edited yet.
        postmaster: Of PostgreSQL's processes the first.
    """

    home: Path
    url: str
    generator: Sequence[str]
    viewer: UUID
    editor: UUID
    unedited: Iterator[str]
    postmaster: int

    def peers(self) -> list[Peer]:
        """Name the servers beside the product: those in Python, and the one in Node when it is here."""
        user = str(self.viewer)
        python = [
            Peer("stock", (sys.executable, str(HERE / "query_servers.py"), "stock", user)),
            Peer("bare", (sys.executable, str(HERE / "query_servers.py"), "bare", user)),
            Peer("same", (sys.executable, str(HERE / "own_use_cases.py"))),
        ]
        try:
            return [*python, Peer("yoga", (bench.install_node_peers(), str(HERE / "peers" / "queries.mjs"), user))]
        except Skipped as reason:
            print(f"skipped: yoga: {reason}")
            return python

    def start(self, stack: ExitStack, peers: Sequence[Peer]) -> dict[str, Running]:
        """Start the product and its peers; they run until the stack ends."""
        ours = stack.enter_context(system.serving(self.home, SETTINGS, log=subprocess.DEVNULL))
        servers = {OURS: Running(*ours)}
        for peer in peers:
            try:
                servers[peer.name] = Running(*stack.enter_context(bench.serving(peer, self._environment)))
            except Skipped as reason:
                print(f"skipped: {reason}")
        return servers

    @contextmanager
    def profiling(self, file: Path) -> Iterator[Running]:
        """Start the product under a profiler, which writes the file when the block ends; see profiled.py."""
        command = (sys.executable, str(HERE / "profiled.py"), str(file))
        with system.serving(self.home, SETTINGS, log=subprocess.DEVNULL, command=command) as (port, pid):
            yield Running(port, pid)

    def load(
        self, server: Running, path: str, *, user: UUID, bodies: Sequence[str], expect: str, seconds: float
    ) -> Cost:
        """Ask one server as fast as it answers.

        Args:
            server: Which.
            path: Where.
            user: Who asks.
            bodies: What each connection asks; see httpload.c.
            expect: A part of each right answer.
            seconds: How long, after a while to get warm.
        """
        warm = min(WARM_SECONDS, seconds)
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            file.write("\n".join(bodies))
            file.flush()
            command = [*self.generator, "--port", str(server.port), "--pid", str(server.pid), "--path", path]
            command += ["--token", token_of(user), "--bodies", file.name, "--expect", expect]
            command += ["--connections", str(CONNECTIONS), "--warm", str(warm), "--seconds", str(seconds)]
            before = self._postgres_seconds()
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            used = self._postgres_seconds() - before
        if done.returncode != 0:
            sys.exit(done.stderr)
        measured = json.loads(done.stdout)
        return Cost(
            cpu=measured["cpu"] * 1e6 / measured["answers"],
            postgres=used * 1e6 / measured["all_answers"],
            rate=measured["answers"] / measured["seconds"],
        )

    @property
    def _environment(self) -> Mapping[str, str]:
        """Tell the peers where the database is, and what signs tokens."""
        url = make_url(self.url)
        return {
            "DATABASE_URL": self.url,
            "JWT_SECRET": system.SECRET,
            "PGHOST": str(url.query["host"]),
            "PGPORT": str(url.query["port"]),
            "PGUSER": url.username or "",
            "PGPASSWORD": url.password or "",
            "PGDATABASE": url.database or "",
        }

    def _postgres_seconds(self) -> float:
        """Tell how much CPU time PostgreSQL has used; what a process used that is over is among the first one's."""
        postmaster = psutil.Process(self.postmaster)
        while True:
            with suppress(psutil.NoSuchProcess):
                running = sum(sum(child.cpu_times()[:2]) for child in postmaster.children())
                return running + sum(postmaster.cpu_times()[:4])


def token_of(user: UUID) -> str:
    """Sign somebody in."""
    return TokenKeys((system.SECRET,)).issue(user, now())[0]


@contextmanager
def opened(edited: int) -> Iterator[Site]:
    """Make a database with that many workflows to edit, beside those to list; it is gone afterwards."""
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory) / "home"
        generator = bench.load_generator(Path(directory), "httpload")
        try:
            with embedded_postgres.start(home) as server:
                url = server.url()
                yield Site(home, url, generator, *asyncio.run(_seed(url, edited)))
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
