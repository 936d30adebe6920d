from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from support.databases import Server
from support.server import Person, Site, engines_for, site


@pytest.fixture(scope="module")
async def target(anyio_backend: str, database_server: Server) -> AsyncIterator[Site]:
    """A server to attack, with a worker; it looks again at who may stay every moment."""
    database = await database_server.create()
    engines = engines_for(database, unchecked_access=timedelta(milliseconds=50))
    async with site(database, engines=engines, with_worker=True) as running:
        yield running
    await database_server.drop(database)


@pytest.fixture(scope="module")
async def ada(target: Site) -> Person:
    """A legitimate user."""
    return await target.person()


@pytest.fixture(scope="module")
async def workflow(target: Site, ada: Person) -> str:
    """Global id of a workflow of hers."""
    document = "mutation($input: CreateWorkflowInput!) { createWorkflow(input: $input) { workflow { id } } }"
    input_ = {"name": "Support", "templateSlug": "single-agent"}
    answer = await target.ask(document, {"input": input_}, token=ada.token)
    id_: str = answer["data"]["createWorkflow"]["workflow"]["id"]
    return id_
