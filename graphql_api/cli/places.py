"""Where a command works: its settings, its database and its home. What can be wrong with them becomes a `Problem`."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import asyncpg
import structlog
from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError

from graphql_api.cli.problems import Problem, one_line
from graphql_api.identity.tokens import MIN_SECRET_BYTES
from graphql_api.kit import embedded_postgres, migrations
from graphql_api.kit.database import Database, parse_url
from graphql_api.kit.embedded_postgres import EmbeddedPostgresError
from graphql_api.kit.migrations import MigrationError, SchemaState
from graphql_api.settings import Settings, SettingsError, read_settings

Result = TypeVar("Result")

_SECRET_FILE = "jwt-secret"  # noqa: S105 - the name of the file

_log = structlog.get_logger()

_REFUSALS = {
    SchemaState.EMPTY: "The database has no tables yet; run: orchestrator db upgrade",
    SchemaState.OLDER: "The database has the schema of an earlier release; run: orchestrator db upgrade",
    SchemaState.NEWER: "The database was migrated by a later release of orchestrator; run that release, or set "
    "DATABASE_URL to another database",
}


def settings() -> Settings:
    """Read the environment.

    Raises:
        Problem: When a variable is wrong.
    """
    try:
        return read_settings()
    except SettingsError as error:
        raise wrong_setting(error) from error


def wrong_setting(error: SettingsError) -> Problem:
    """Say which variable is wrong, and where it may stand."""
    return Problem(f"{one_line(error)} (in the environment, or in .env)")


@contextmanager
def database_url(of: Settings) -> Iterator[URL]:
    """Give the address of the database; without a `DATABASE_URL` that of the embedded one, which is kept running.

    Raises:
        Problem: When the embedded one can't run here.
    """
    if (url := of.parsed_database_url()) is not None:
        yield url
        return
    with _embedded(of.orchestrator_home) as url:
        yield url


@contextmanager
def throw_away_database_url() -> Iterator[URL]:
    """Give the address of an empty database that is gone afterwards.

    Raises:
        Problem: When the embedded PostgreSQL can't run here.
    """
    with TemporaryDirectory(prefix="orchestrator-") as directory:
        home = Path(directory)
        with _embedded(home, {"fsync": "off"}) as url:
            yield url
        embedded_postgres.remove(home)


@contextmanager
def _embedded(home: Path, options: dict[str, str] | None = None) -> Iterator[URL]:
    try:
        server = embedded_postgres.start(home, settings=options)
    except EmbeddedPostgresError as error:
        raise Problem(one_line(error)) from error
    with server:
        yield parse_url(server.url())


@asynccontextmanager
async def connected(url: URL) -> AsyncIterator[Database]:
    """Open a database, once it is clear that it answers.

    Raises:
        Problem: When it does not.
    """
    database = Database(url)
    try:
        await check_reachable(database)
        yield database
    finally:
        await database.close()


async def check_reachable(database: Database) -> None:
    """Connect once.

    Raises:
        Problem: When that fails; it says to whom, without the password.
    """
    try:
        connection = await database.connect()
        await connection.close()
    except (OSError, TimeoutError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        url = database.url
        where = f"{url.host or 'localhost'}:{url.port or 5432}/{url.database}"
        raise Problem(
            f"The database at {where} can't be used: {one_line(error)}; start it, or mend DATABASE_URL"
        ) from error


async def check_schema(database: Database) -> None:
    """Compare the schema with the code.

    Raises:
        Problem: When it is not the newest; it says what to run.
    """
    state = await migrations.state(database)
    if state is not SchemaState.CURRENT:
        raise Problem(_REFUSALS[state])


async def check_usable(database: Database) -> None:
    """Check that this release can work on the schema: its own, or that of a later release.

    While an upgrade rolls out, the migrations have run and processes of the release before still start. A migration
    leaves to them all that they use; what they no longer use goes with the release after.

    Raises:
        Problem: When it is older, or there is none; it says what to run.
    """
    state = await migrations.state(database)
    if state is SchemaState.NEWER:
        _log.warning("schema_is_newer", advice="finish the upgrade: this is not the newest release of orchestrator")
    elif state is not SchemaState.CURRENT:
        raise Problem(_REFUSALS[state])


async def upgrade(database: Database, told: Callable[[str], None] = lambda _: None) -> None:
    """Bring the schema to the newest revision.

    Args:
        database: Whose schema.
        told: Called after each migration with what it did.

    Raises:
        Problem: When later code made it.
    """
    if await migrations.state(database) is SchemaState.NEWER:
        raise Problem(_REFUSALS[SchemaState.NEWER])
    await migrating(migrations.upgrade(database, told), advice="mend the migrations")


async def migrating(step: Awaitable[None], *, advice: str) -> None:
    """Wait for a step of the migrations.

    Args:
        step: What Alembic does.
        advice: What to do when it can't.

    Raises:
        Problem: When it can't be done.
    """
    try:
        await step
    except MigrationError as error:
        raise Problem(f"{one_line(error)}; {advice}") from error
    except (DBAPIError, asyncpg.PostgresError) as error:
        reason = error.orig or error if isinstance(error, DBAPIError) else error
        raise Problem(f"The database refused: {one_line(reason)}; mend that, then run it again") from error


def with_database(of: Settings, work: Callable[[Database], Coroutine[Any, Any, Result]]) -> Result:
    """Run something that needs the database, to its end."""

    async def run(url: URL) -> Result:
        async with connected(url) as database:
            return await work(database)

    with database_url(of) as url:
        return asyncio.run(run(url))


def kept_secret(home: Path) -> str:
    """Read the secret of a home, which is made at the first call and kept for its owner alone.

    Raises:
        Problem: When it can't be kept, or is none.
    """
    path = home / _SECRET_FILE
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _keep(path, secrets.token_urlsafe(48))
        secret = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Problem(f"The secret can't be kept in {home}: {one_line(error)}; set ORCHESTRATOR_HOME") from error
    if len(secret.encode()) < MIN_SECRET_BYTES:
        raise Problem(f"{path} holds no secret of {MIN_SECRET_BYTES} bytes; delete it, and a new one is made")
    return secret


def _keep(path: Path, secret: str) -> None:
    """Write a file whole or not at all; of two processes that do, one wins, and both read what it wrote."""
    scratch = path.with_name(f"{path.name}-{secrets.token_hex(8)}")
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"{secret}\n")
    try:
        os.link(scratch, path)
    except FileExistsError:
        return
    finally:
        scratch.unlink()
