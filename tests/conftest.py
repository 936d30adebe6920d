import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import settings
from support.agents import langgraph_dev
from support.databases import Server
from support.people import PASSWORD_HASH, MakeUser

from graphql_api.events.log import EventLog
from graphql_api.identity.models import User, UserRole
from graphql_api.kit import collector, embedded_postgres
from graphql_api.kit.database import Database, parse_url

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Whoever runs the tests in the background ignores Ctrl-C, and so would every process that a test interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says more about what else the machine does than about the code.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")

NO_DURABILITY = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def pytest_collection_finish() -> None:
    """Keep the collector from what was collected: it would look at half a million objects again and again."""
    collector.spare()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run async tests and fixtures on one event loop, which engines and their pools are bound to."""
    return "asyncio"


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the address of PostgreSQL: that of DATABASE_URL, or of an embedded one that ends with the session."""
    if given := os.environ.get("DATABASE_URL"):
        yield given
        return
    home: Path = tmp_path_factory.mktemp("postgres")
    with embedded_postgres.start(home, settings=NO_DURABILITY) as server:
        yield server.url()
    embedded_postgres.remove(home)


@pytest.fixture(scope="session")
async def database_server(anyio_backend: str, server_url: str) -> AsyncIterator[Server]:
    server = Server(parse_url(server_url))
    yield server
    await server.close()


@pytest.fixture(scope="session")
async def database(anyio_backend: str, database_server: Server) -> AsyncIterator[Database]:
    """The migrated database that tests share: they make users and workflows of their own."""
    database = await database_server.create()
    yield database
    await database_server.drop(database)


@pytest.fixture
async def fresh_database(database_server: Server) -> AsyncIterator[Callable[..., Awaitable[Database]]]:
    """Make databases of a test's own: `await fresh_database()`, or `(is_migrated=False)` for an empty one."""
    made: list[Database] = []

    async def make(*, is_migrated: bool = True) -> Database:
        made.append(await database_server.create(is_migrated=is_migrated))
        return made[-1]

    yield make
    for database in made:
        await database_server.drop(database)


@pytest.fixture(scope="session")
async def event_log(anyio_backend: str, database: Database) -> AsyncIterator[EventLog]:
    """A log on the shared database, whose notifier runs."""
    log = EventLog(database)
    async with log.running():
        await log.notifier.listening.wait()
        yield log


@pytest.fixture(scope="session")
def make_user(database: Database) -> MakeUser:
    """Make users with the password `support.people.PASSWORD`."""

    async def make(*, name: str = "Ada", is_admin: bool = False) -> User:
        user = User(
            email=f"{uuid4().hex}@example.com",
            name=name,
            password_hash=PASSWORD_HASH,
            roles=[UserRole.USER.value, UserRole.ADMIN.value] if is_admin else [UserRole.USER.value],
        )
        async with database.transaction() as session:
            session.add(user)
        return user

    return make


@pytest.fixture(scope="session")
def langgraph_dev_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the address of a real LangGraph Server, on a graph whose language model is scripted."""
    with langgraph_dev(tmp_path_factory.mktemp("langgraph")) as url:
        yield url
