"""Databases for tests: made of one migrated template, which takes tens of milliseconds each."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

from sqlalchemy import URL, text

from graphql_api.kit import migrations
from graphql_api.kit.database import Database


class Server:
    """A PostgreSQL server in which tests make and drop databases.

    Args:
        url: Of a database in it that is only connected to for that.
    """

    def __init__(self, url: URL) -> None:
        self._entrance = Database(url, pool_size=1)
        self._template: str | None = None

    async def create(self, *, is_migrated: bool = True) -> Database:
        """Make a database; `drop` it."""
        if is_migrated and self._template is None:
            self._template = await self._create_template()
        name = _new_name()
        await self._run(f"CREATE DATABASE {name} TEMPLATE {self._template if is_migrated else 'template0'}")
        return Database(self._entrance.url.set(database=name))

    async def drop(self, database: Database) -> None:
        """Drop a database, whoever is connected to it."""
        await database.close()
        await self._run(f"DROP DATABASE {database.url.database} WITH (FORCE)")

    async def close(self) -> None:
        """Drop the template and disconnect."""
        if self._template is not None:
            await self._run(f"DROP DATABASE {self._template}")
        await self._entrance.close()

    async def _create_template(self) -> str:
        database = await self.create(is_migrated=False)
        await migrations.upgrade(database)
        await database.close()
        return str(database.url.database)

    async def _run(self, statement: str) -> None:
        connection = await self._entrance.connect()
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


@asynccontextmanager
async def another(database: Database, url: URL | None = None) -> AsyncIterator[Database]:
    """Open the same database with a pool of its own, as a second process would, perhaps on another way."""
    second = Database(url or database.url)
    try:
        yield second
    finally:
        await second.close()


def _new_name() -> str:
    return f"orchestrator_test_{uuid4().hex}"


@asynccontextmanager
async def taking_back(database: Database, table: str) -> AsyncIterator[None]:
    """Have the next commit that changes a table fail, as in favour of another transaction, and check that one came."""
    function = """
        CREATE FUNCTION take_back() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF nextval('taken_back') = 1 THEN RAISE 'could not serialize access' USING ERRCODE = '40001'; END IF;
            RETURN NULL;
        END $$"""
    trigger = f"""CREATE CONSTRAINT TRIGGER take_back AFTER INSERT OR UPDATE ON {table} DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION take_back()"""
    async with database.transaction() as session:
        for statement in ("CREATE SEQUENCE taken_back", function, trigger):
            await session.execute(text(statement))
    try:
        yield
        async with database.transaction() as session:
            assert (await session.execute(text("SELECT last_value FROM taken_back"))).scalar_one() > 1
    finally:
        async with database.transaction() as session:
            for statement in (
                f"DROP TRIGGER take_back ON {table}",
                "DROP FUNCTION take_back",
                "DROP SEQUENCE taken_back",
            ):
                await session.execute(text(statement))
