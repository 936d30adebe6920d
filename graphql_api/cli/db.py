"""`orchestrator db`: the schema of the database."""

import asyncio
import json
from functools import partial
from typing import Annotated

import typer
from sqlalchemy import URL

from graphql_api.cli import places
from graphql_api.cli.examples import examples
from graphql_api.cli.problems import Problem
from graphql_api.kit import logs, migrations
from graphql_api.kit.database import Database

db = typer.Typer(help="Migrate the database's schema, or check it.")
COMMANDS = {"db": db}


@db.callback()
def _configure() -> None:
    """Migrate the schema of DATABASE_URL, or of the embedded database in ORCHESTRATOR_HOME."""
    logs.configure(places.settings().log_level, is_json=False)


@db.command(epilog=examples("DATABASE_URL=postgresql://user:password@host/name orchestrator db upgrade"))
def upgrade() -> None:
    """Bring the schema to the newest revision.

    Each migration is told on standard error as it is done. Where nothing is to be done, nothing is done.
    """
    told = partial(typer.echo, err=True)
    places.with_database(places.settings(), partial(places.upgrade, told=told))
    typer.echo("The schema is the newest one.")


@db.command(
    context_settings={"ignore_unknown_options": True},
    epilog=examples("orchestrator db downgrade -1", "orchestrator db downgrade base"),
)
def downgrade(
    revision: Annotated[str, typer.Argument(metavar="REV", help="A revision, -1 for one back, base for nothing.")],
) -> None:
    """Take the schema back to an earlier revision.

    What only later ones can hold is lost.
    """

    async def step(database: Database) -> None:
        await places.migrating(
            migrations.downgrade(database, revision), advice=f"the revisions are in {migrations.scripts() / 'versions'}"
        )

    places.with_database(places.settings(), step)
    typer.echo(f"The schema is at {revision}.")


@db.command(epilog=examples("orchestrator db check", "orchestrator db check --json | jq -r .schema"))
def check(
    *,
    is_json: Annotated[bool, typer.Option("--json", help="One JSON object, whatever comes out.")] = False,
) -> None:
    """Check that the schema is the newest one and fits the models; exit code 1 when it does not.

    Without a DATABASE_URL it migrates a database that is thrown away, so that continuous integration needs none.
    """
    settings = places.settings()
    try:
        if settings.database_url is None:
            with places.throw_away_database_url() as url:
                asyncio.run(_check_migrations(url))
        else:
            places.with_database(settings, _check)
    except Problem as problem:
        if not is_json:
            raise
        typer.echo(json.dumps({"schema": "wrong", "problem": str(problem)}, ensure_ascii=False))
        raise typer.Exit(1) from problem
    typer.echo(json.dumps({"schema": "newest"}) if is_json else "The schema is the newest one and fits the models.")


async def _check_migrations(url: URL) -> None:
    async with places.connected(url) as database:
        await places.upgrade(database)
        await _check(database)


async def _check(database: Database) -> None:
    await places.check_schema(database)
    await places.migrating(migrations.check(database), advice="write a migration: scripts/migration")
