from collections.abc import AsyncIterator, Iterator

import pytest
from structlog.testing import capture_logs
from support.databases import Server
from support.logs import running_log
from support.studio import Studio, Team, open_studio


@pytest.fixture(scope="session")
async def studio(anyio_backend: str, database_server: Server) -> AsyncIterator[Studio]:
    """One database for all tests of the product: they make people and workflows of their own.

    It is not the one that other tests share: a studio claims whatever execution is due.
    """
    database = await database_server.create()
    async with running_log(database) as log, open_studio(database, log) as studio:
        yield studio
    await database_server.drop(database)


@pytest.fixture
async def team(studio: Studio) -> Team:
    """A new workflow with `FILES` in its draft, and people of all roles."""
    return await studio.team()


@pytest.fixture(autouse=True)
def nothing_breaks() -> Iterator[None]:
    """Fail a test in which an operation broke on our side, even where the test does not look."""
    with capture_logs() as entries:
        yield
    broken = [entry for entry in entries if entry["event"] == "operation_failed"]
    assert broken == []
