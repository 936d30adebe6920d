#!/usr/bin/env python3
"""Make a migration file; with `--autogenerate`, of what the models have and a migrated database has not.

The database is an embedded one that is made for it and thrown away.

Usage: scripts/migration "What it does" [--autogenerate]
"""

import argparse
import asyncio
import tempfile
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from graphql_api.kit import embedded_postgres, migrations
from graphql_api.kit.database import Database, parse_url

CONFIGURATION = Path(__file__).resolve().parent.parent / "migrations" / "alembic.ini"


async def generate(url: str, message: str) -> None:
    """Compare the models with a new database that is migrated to the newest revision."""
    database = Database(parse_url(url))
    await migrations.upgrade(database)

    def revise(connection: Connection) -> None:
        configuration = Config(CONFIGURATION)
        configuration.attributes["connection"] = connection
        command.revision(configuration, message, autogenerate=True)

    async with database.engine.connect() as connection:
        await connection.run_sync(revise)
    await database.close()


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("message", help="what it does, in a few words")
    parser.add_argument("--autogenerate", action="store_true", help="begin with what the models have changed")
    options = parser.parse_args()
    if not options.autogenerate:
        command.revision(Config(CONFIGURATION), options.message)
        return
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory) / "home"
        with embedded_postgres.start(home) as server:
            asyncio.run(generate(server.url(), options.message))
        embedded_postgres.remove(home)


if __name__ == "__main__":
    main()
