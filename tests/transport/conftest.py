from collections.abc import AsyncIterator

import pytest
from support.databases import Server
from support.server import Person, Site, site

from graphql_api.kit.database import Database


@pytest.fixture(scope="module")
async def own_database(anyio_backend: str, database_server: Server) -> AsyncIterator[Database]:
    """A migrated database in which no other module's executions are: a worker takes whatever it finds."""
    database = await database_server.create()
    yield database
    await database_server.drop(database)


@pytest.fixture(scope="module")
async def running_site(own_database: Database) -> AsyncIterator[Site]:
    """The whole application with a worker, served."""
    async with site(own_database, with_worker=True) as running:
        yield running


@pytest.fixture(scope="module")
async def ada(running_site: Site) -> Person:
    return await running_site.person()
