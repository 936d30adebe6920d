from collections.abc import AsyncIterator

import pytest
from support.databases import Server
from support.executions import Engine, Listener
from support.logs import running_log


@pytest.fixture(scope="session")
async def runtimes_engine(anyio_backend: str, database_server: Server) -> AsyncIterator[Engine]:
    """Make a database whose queue is nobody else's, with a log whose notifier runs."""
    database = await database_server.create()
    async with running_log(database) as log:
        yield Engine(database, log, Listener(log))
    await database_server.drop(database)


@pytest.fixture
async def engine(runtimes_engine: Engine) -> Engine:
    """Give a queue with nothing in it."""
    await runtimes_engine.forget_all()
    return Engine(runtimes_engine.database, runtimes_engine.log, Listener(runtimes_engine.log))
