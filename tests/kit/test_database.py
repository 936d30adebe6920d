import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from support.databases import another
from support.proxy import proxied
from support.waiting import until

from graphql_api.kit import pool
from graphql_api.kit.contents import Content
from graphql_api.kit.database import DATABASE_ERRORS, Database, DatabaseURLError, is_away, parse_url
from graphql_api.kit.files import digest_of
from graphql_api.kit.statements import Statement

pytestmark = pytest.mark.anyio

FreshDatabase = Callable[..., Awaitable[Database]]


class TestParseUrl:
    @pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg"])
    def test_every_way_to_write_postgresql_is_understood(self, scheme: str) -> None:
        url = parse_url(f"{scheme}://ada:p%40ss@host:5433/name?sslmode=require")
        assert url.drivername == "postgresql+asyncpg"
        assert (url.username, url.password, url.host, url.port, url.database) == ("ada", "p@ss", "host", 5433, "name")
        assert url.query == {"sslmode": "require"}

    @pytest.mark.parametrize(
        ("given", "told"),
        [
            ("", "not a URL"),
            ("nothing", "not a URL"),
            ("postgresql://ada:secret@host:port/name", "not a URL"),
            ("postgresql://ada:sec@host:secret@host/name", "not a URL"),
            ("mysql://ada:secret@host/name", "starts with mysql://"),
            ("sqlite:///secret.db", "starts with sqlite://"),
            ("postgresql+psycopg://ada:secret@host/name", "starts with postgresql\\+psycopg://"),
            ("postgresql://ada:secret@host", "names no database"),
            ("postgresql://ada:secret@host/", "names no database"),
        ],
    )
    def test_anything_else_is_refused_without_telling_the_secret(self, given: str, told: str) -> None:
        with pytest.raises(DatabaseURLError, match=told) as refusal:
            parse_url(given)
        assert "secret" not in str(refusal.value)
        assert refusal.value.__cause__ is None


class TestIsAway:
    @pytest.mark.parametrize("error", [asyncpg.InterfaceError("closed"), asyncpg.InternalClientError("being closed")])
    def test_a_connection_that_the_server_ended_is_known_for_it(self, error: Exception) -> None:
        assert is_away(error)
        assert isinstance(error, DATABASE_ERRORS)

    async def test_a_mistake_of_ours_is_none_of_the_database(self, database: Database) -> None:
        for arguments in ((), ("x",), (2**40,)):
            with pytest.raises((asyncpg.InterfaceError, asyncpg.DataError)) as mistake:
                await database.fetch("SELECT $1::int", *arguments)
            assert not is_away(mistake.value)
        assert await database.fetch("SELECT 1") == [(1,)]


class TestTransaction:
    async def test_it_is_committed_at_the_end_and_then_the_callbacks_run(self, fresh_database: FreshDatabase) -> None:
        database = await fresh_database(is_migrated=False)
        called: list[str] = []
        async with database.transaction() as session:
            await session.execute(text("CREATE TABLE marks (mark int)"))
            session.after_commit.extend([lambda: called.append("first"), lambda: called.append("second")])
            assert called == []
        assert called == ["first", "second"]
        async with database.transaction() as session:
            assert (await session.execute(text("SELECT count(*) FROM marks"))).scalar_one() == 0

    async def test_an_error_undoes_it_and_no_callback_runs(self, database: Database) -> None:
        called: list[str] = []

        async def fail() -> None:
            async with database.transaction() as session:
                await session.execute(text("CREATE TABLE never (mark int)"))
                session.after_commit.append(lambda: called.append("never"))
                raise LookupError

        with pytest.raises(LookupError):
            await fail()
        assert called == []
        async with database.transaction() as session:
            assert (await session.execute(text("SELECT to_regclass('never')"))).scalar_one() is None

    async def test_a_cancelled_one_is_undone_and_gives_its_connection_back(self, fresh_database: FreshDatabase) -> None:
        database = Database((await fresh_database(is_migrated=False)).url, pool_size=1)
        entered = asyncio.Event()

        async def hold() -> None:
            async with database.transaction() as session:
                await session.execute(text("CREATE TABLE never (mark int)"))
                entered.set()
                await asyncio.Event().wait()

        holder = asyncio.create_task(hold())
        await entered.wait()
        holder.cancel()
        await asyncio.gather(holder, return_exceptions=True)
        async with database.transaction() as session:
            assert (await session.execute(text("SELECT to_regclass('never')"))).scalar_one() is None
        await database.close()

    async def test_json_is_read_and_written_by_orjson(self, database: Database) -> None:
        async with database.transaction() as session:
            (read,) = (await session.execute(text("SELECT CAST('{\"a\": [1, null]}' AS jsonb)"))).one()
        assert read == {"a": [1, None]}

    async def test_a_connection_that_the_server_cut_is_replaced(self, fresh_database: FreshDatabase) -> None:
        database = await fresh_database(is_migrated=False)
        async with database.transaction() as session:
            pid = (await session.execute(text("SELECT pg_backend_pid()"))).scalar_one()
        connection = await database.connect()
        await connection.execute("SELECT pg_terminate_backend($1, 5000)", pid)
        await connection.close()
        async with database.transaction() as session:
            assert (await session.execute(text("SELECT 1"))).scalar_one() == 1

    async def test_one_that_was_idle_is_tried_before_it_is_used(
        self, fresh_database: FreshDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pool, "FRESH_SECONDS", 0)
        migrated = await fresh_database(is_migrated=False)
        direct = migrated.url
        async with (
            proxied(f"{direct.query['host']}/.s.PGSQL.{direct.query['port']}") as proxy,
            another(migrated, direct.set(host="127.0.0.1", port=proxy.port, query={})) as database,
        ):
            for _ in range(2):
                async with database.transaction() as session:
                    assert (await session.execute(text("SELECT 1"))).scalar_one() == 1
            assert proxy.carried == 1
            proxy.cut()
            async with database.transaction() as session:
                assert (await session.execute(text("SELECT 1"))).scalar_one() == 1
            assert proxy.carried == 2


class TestFetch:
    async def test_a_statement_is_committed_and_gives_its_rows(self, fresh_database: FreshDatabase) -> None:
        database = await fresh_database(is_migrated=False)
        await database.fetch("CREATE TABLE marks (mark int)")
        assert await database.fetch("INSERT INTO marks VALUES ($1), ($2) RETURNING mark", 1, 2) == [(1,), (2,)]
        async with database.transaction() as session:
            assert (await session.execute(text("SELECT count(*) FROM marks"))).scalar_one() == 2

    async def test_one_that_fails_or_is_cancelled_gives_its_connection_back(
        self, fresh_database: FreshDatabase
    ) -> None:
        database = Database((await fresh_database(is_migrated=False)).url, pool_size=1)
        ((pid,),) = await database.fetch("SELECT pg_backend_pid()")
        with pytest.raises(asyncpg.DivisionByZeroError):
            await database.fetch("SELECT 1 / 0")
        assert await database.fetch("SELECT pg_backend_pid()") == [(pid,)]
        long = asyncio.create_task(database.fetch("SELECT pg_sleep(3600)"))
        await until(lambda: database.pool.in_use == 1)
        long.cancel()
        await asyncio.gather(long, return_exceptions=True)
        assert await database.fetch("SELECT 1") == [(1,)]
        assert (database.pool.in_use, database.pool.idle) == (0, 1)
        await database.close()

    async def test_more_at_once_than_there_are_connections_wait_for_one_and_those_of_a_rush_are_kept(
        self, fresh_database: FreshDatabase, caplog: pytest.LogCaptureFixture
    ) -> None:
        database = Database((await fresh_database(is_migrated=False)).url, pool_size=1)
        answers = await asyncio.gather(*(database.fetch("SELECT $1::int, pg_sleep(0.001)", each) for each in range(6)))
        assert [row[0] for (row,) in answers] == [*range(6)]
        assert (database.pool.in_use, database.pool.idle) == (0, 2)
        await database.close()
        assert caplog.records == []


class TestPlainTransaction:
    async def test_it_is_committed_before_its_callbacks_run(self, fresh_database: FreshDatabase) -> None:
        database = await fresh_database(is_migrated=False)
        called: list[str] = []
        async with database.plain_transaction() as transaction:
            assert await transaction.fetch(Statement("CREATE TABLE marks (mark int)")) == []
            rows = await transaction.fetch(Statement("INSERT INTO marks VALUES (:mark) RETURNING mark"), mark=1)
            transaction.after_commit.extend([lambda: called.append("first"), lambda: called.append("second")])
            assert (rows, called) == ([(1,)], [])
        assert called == ["first", "second"]
        assert await database.fetch("SELECT mark FROM marks") == [(1,)]

    @pytest.mark.parametrize("statement", ["SELECT 1", "SELECT 1 / 0"])
    async def test_an_error_undoes_it_and_no_callback_runs(self, fresh_database: FreshDatabase, statement: str) -> None:
        database = Database((await fresh_database(is_migrated=False)).url, pool_size=1)
        ((pid,),) = await database.fetch("SELECT pg_backend_pid()")
        called: list[str] = []

        async def fail() -> None:
            async with database.plain_transaction() as transaction:
                await transaction.fetch(Statement("CREATE TABLE never (mark int)"))
                transaction.after_commit.append(lambda: called.append("never"))
                await transaction.fetch(Statement(statement))
                raise LookupError

        with pytest.raises((LookupError, asyncpg.DivisionByZeroError)):
            await fail()
        assert called == []
        assert await database.fetch("SELECT to_regclass('never'), pg_backend_pid()") == [(None, pid)]
        await database.close()

    async def test_a_failure_that_nobody_was_told_of_is_no_success(self, database: Database) -> None:
        called: list[str] = []

        async def fail() -> None:
            async with database.plain_transaction() as transaction:
                transaction.after_commit.append(lambda: called.append("never"))
                with suppress(asyncpg.DivisionByZeroError):
                    await transaction.fetch(Statement("SELECT 1 / 0"))

        with pytest.raises(RuntimeError, match="Nothing was written"):
            await fail()
        assert called == []
        assert await database.fetch("SELECT 1") == [(1,)]

    async def test_what_its_commit_refuses_undoes_it(self, fresh_database: FreshDatabase) -> None:
        database = Database((await fresh_database(is_migrated=False)).url, pool_size=1)
        await database.fetch("CREATE TABLE marks (mark int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
        called: list[str] = []

        async def fail() -> None:
            async with database.plain_transaction() as transaction:
                await transaction.fetch(Statement("INSERT INTO marks VALUES (1), (1)"))
                transaction.after_commit.append(lambda: called.append("never"))

        with pytest.raises(asyncpg.UniqueViolationError):
            await fail()
        assert called == []
        assert await database.fetch("SELECT mark FROM marks") == []
        await database.close()

    @pytest.mark.parametrize("statement", ["SELECT 1", "SELECT pg_sleep(3600)"])
    async def test_a_cancelled_one_is_undone_and_gives_its_connection_back(
        self, fresh_database: FreshDatabase, statement: str
    ) -> None:
        database = Database((await fresh_database(is_migrated=False)).url, pool_size=1)
        entered = asyncio.Event()

        async def hold() -> None:
            async with database.plain_transaction() as transaction:
                await transaction.fetch(Statement("CREATE TABLE never (mark int)"))
                entered.set()
                await transaction.fetch(Statement(statement))
                await asyncio.Event().wait()

        holder = asyncio.create_task(hold())
        await entered.wait()
        holder.cancel()
        await asyncio.gather(holder, return_exceptions=True)
        assert await database.fetch("SELECT to_regclass('never')") == [(None,)]
        assert (database.pool.in_use, database.pool.idle) == (0, 1)
        await database.close()

    async def test_a_connection_that_the_server_cuts_meanwhile_is_replaced(self, fresh_database: FreshDatabase) -> None:
        database = Database((await fresh_database(is_migrated=False)).url, pool_size=1)

        async def work() -> None:
            async with database.plain_transaction() as transaction:
                ((pid,),) = await transaction.fetch(Statement("SELECT pg_backend_pid()"))
                connection = await database.connect()
                await connection.execute("SELECT pg_terminate_backend($1, 5000)", pid)
                await connection.close()
                await transaction.fetch(Statement("SELECT 1"))

        with pytest.raises(DATABASE_ERRORS) as caught:
            await work()
        assert is_away(caught.value)
        assert await database.fetch("SELECT 1") == [(1,)]
        await database.close()

    async def test_a_database_that_is_not_there_is_told_in_the_drivers_words(self, database: Database) -> None:
        nowhere = Database(database.url.set(database="there_is_none"))
        with pytest.raises(asyncpg.InvalidCatalogNameError):
            async with nowhere.plain_transaction():
                pass


class TestSessionFetch:
    async def test_what_the_session_has_to_write_comes_first_and_all_of_it_is_one_transaction(
        self, database: Database
    ) -> None:
        text_ = f"{uuid4()}"
        content = Content(digest=digest_of(text_), content=text_, size=len(text_))
        found = Statement("SELECT size FROM contents WHERE digest = :digest")

        async def fail() -> None:
            async with database.transaction() as session:
                session.add(content)
                assert [row.size for row in await session.fetch(found, digest=content.digest)] == [36]
                raise LookupError

        with pytest.raises(LookupError):
            await fail()
        async with database.transaction() as session:
            assert await session.fetch(found, digest=digest_of(text_)) == []
            assert await session.fetch(Statement("CREATE TEMP TABLE marks (mark int)")) == []


class TestConnect:
    async def test_connections_tell_what_they_are_for(self, database: Database) -> None:
        connection = await database.connect()
        assert await connection.fetchval("SHOW application_name") == "orchestrator-notifier"
        await connection.close()
        async with database.transaction() as session:
            assert (await session.execute(text("SHOW application_name"))).scalar_one() == "orchestrator"
            assert (await session.execute(text("SHOW jit"))).scalar_one() == "off"

    async def test_what_psql_reads_in_an_address_is_read_here_too(self, database: Database) -> None:
        picky = Database(database.url.update_query_dict({"sslmode": "disable"}))
        async with picky.transaction() as session:
            assert (await session.execute(text("SELECT 1"))).scalar_one() == 1
        await picky.close()


class TestStatementTimeout:
    async def test_a_statement_that_takes_too_long_is_ended_and_the_next_runs(self, database: Database) -> None:
        hurried = Database(database.url, pool_size=1, statement_seconds=0.05)
        try:
            with pytest.raises(DBAPIError, match="statement timeout"):
                async with hurried.transaction() as session:
                    await session.execute(text("SELECT pg_sleep(60)"))
            async with hurried.transaction() as session:
                assert (await session.execute(text("SELECT 1"))).scalar_one() == 1
        finally:
            await hurried.close()

    async def test_there_is_one_unless_somebody_has_time(self, database: Database) -> None:
        unhurried = Database(database.url, pool_size=1, statement_seconds=None)
        try:
            timeouts = []
            for each in (database, unhurried):
                async with each.transaction() as session:
                    timeouts.append((await session.execute(text("SHOW statement_timeout"))).scalar_one())
        finally:
            await unhurried.close()
        assert timeouts == ["15s", "0"]
