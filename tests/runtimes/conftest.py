from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from support.executions import Engine, Listener
from support.logs import running_log

from graphql_api.kit.database import Database


@pytest.fixture
async def engine(fresh_database: Callable[..., Awaitable[Database]]) -> AsyncIterator[Engine]:
    """Make a database with nothing in its queue, and a log whose notifier runs."""
    database = await fresh_database()
    async with running_log(database) as log:
        yield Engine(database, log, Listener(log))
