"""The schema of the database: moved by Alembic, compared with what the code expects."""

from collections.abc import Callable
from enum import Enum
from io import StringIO
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext, MigrationInfo
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text

from graphql_api.kit.database import Database

_PACKAGE = Path(__file__).parents[1]
_LOCK_KEY = 0x0DC4E57
"""Key of the advisory lock that keeps two processes from migrating at once."""


class SchemaState(Enum):
    """How the schema of a database stands to the code."""

    CURRENT = "CURRENT"
    EMPTY = "EMPTY"
    """No migration has run."""
    OLDER = "OLDER"
    """Run `orchestrator db upgrade`."""
    NEWER = "NEWER"
    """A later release of the code made it."""


class MigrationError(Exception):
    """A migration that was asked for can't run; the message says why."""


def scripts() -> Path:
    """Find the migrations: beside the package in a checkout, inside it in a wheel."""
    inside = _PACKAGE / "_migrations"
    return inside if inside.is_dir() else _PACKAGE.parent / "migrations"


async def state(database: Database) -> SchemaState:
    """Compare the database's revision with the newest one of the code."""
    async with database.engine.connect() as connection:
        current = await connection.run_sync(lambda sync: MigrationContext.configure(sync).get_current_revision())
    directory = ScriptDirectory.from_config(_config())
    if current is None:
        return SchemaState.EMPTY
    if current == directory.get_current_head():
        return SchemaState.CURRENT
    known = {script.revision for script in directory.walk_revisions()}
    return SchemaState.OLDER if current in known else SchemaState.NEWER


async def upgrade(database: Database, told: Callable[[str], None] = lambda _: None) -> None:
    """Bring the schema to the newest revision; a second caller waits, and finds it done.

    Args:
        database: Whose schema.
        told: Called after each migration with its revision and what it did; all of them count once the last has run.

    Raises:
        MigrationError: When the schema was made by later code.
    """

    def tell(*, step: MigrationInfo, **_others: Any) -> None:  # noqa: ANN401 - Alembic's own
        revision = step.up_revision_id or ""
        told(f"{revision}  {ScriptDirectory.from_config(_config()).get_revision(revision).doc}")

    def run(config: Config) -> None:
        config.attributes["told"] = tell
        command.upgrade(config, "head")

    await _run(database, run)


async def downgrade(database: Database, revision: str) -> None:
    """Take the schema back to an earlier revision; `base` empties it.

    Raises:
        MigrationError: When there is no such revision.
    """
    await _run(database, lambda config: command.downgrade(config, revision))


async def check(database: Database) -> None:
    """Compare the models with the migrated schema.

    Raises:
        MigrationError: With what differs.
    """
    await _run(database, command.check)


async def _run(database: Database, step: Callable[[Config], Any]) -> None:
    def run(connection: Connection) -> None:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
        try:
            step(_config(connection))
        except CommandError as error:
            raise MigrationError(str(error)) from error

    # A migration, and waiting for that of another process, may take longer than a request's statements.
    unhurried = Database(database.url, pool_size=1, statement_seconds=None)
    try:
        async with unhurried.engine.begin() as connection:
            await connection.run_sync(run)
    finally:
        await unhurried.close()


def _config(connection: Connection | None = None) -> Config:
    config = Config(stdout=StringIO())  # what Alembic has to say is raised or returned
    config.set_main_option("script_location", str(scripts()).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
