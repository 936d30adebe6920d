import asyncio
from collections.abc import AsyncIterator

import pytest
from support.databases import Server
from support.node import Workspace
from support.server import quick_settings, site

from graphql_api.identity import users


@pytest.fixture(scope="session")
async def workspace(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The clients and the examples, with the types that graphql-codegen and relay-compiler make from the schema."""
    workspace = Workspace(tmp_path_factory.mktemp("clients"))
    await asyncio.gather(
        workspace.run("graphql-codegen", "--config", "codegen.ts", cwd=workspace.examples),
        workspace.run("relay-compiler", "relay.config.json", cwd=workspace.clients / "relay"),
    )
    return workspace


@pytest.fixture(scope="session")
async def address(anyio_backend: str, database_server: Server) -> AsyncIterator[str]:
    """Serve the application with a worker and the demo account."""
    database = await database_server.create()
    await users.create(database, email="demo@example.com", name="Demo", password="demo-password")
    async with site(database, settings=quick_settings(max_concurrent_refinements=50), with_worker=True) as running:
        yield f"{running.url}/graphql"
    await database_server.drop(database)
