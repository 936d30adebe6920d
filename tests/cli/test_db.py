import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text
from support.commands import Invoke, assert_one_line, running

from graphql_api.kit import migrations
from graphql_api.kit.database import Database
from graphql_api.kit.migrations import SchemaState

pytestmark = pytest.mark.anyio

FreshDatabase = Callable[..., Awaitable[Database]]
VERSIONS = list((migrations.scripts() / "versions").glob("2*.py"))
SECRET = "a secret of tests that is long enough to sign with"


def point(invoke: Invoke, database: Database) -> None:
    url = database.url.set(drivername="postgresql").render_as_string(hide_password=False)
    invoke.set(DATABASE_URL=url, JWT_SECRET=SECRET)


async def execute(database: Database, statement: str) -> None:
    async with database.engine.begin() as connection:
        await connection.execute(text(statement))


class TestUpgrade:
    async def test_it_may_run_twice(self, invoke: Invoke, fresh_database: FreshDatabase) -> None:
        database = await fresh_database(is_migrated=False)
        point(invoke, database)

        first, second = await invoke.off_loop("db", "upgrade"), await invoke.off_loop("db", "upgrade")

        assert await migrations.state(database) is SchemaState.CURRENT
        assert first[:2] == second[:2] == (0, "The schema is the newest one.\n")
        told = [line.split("  ", 1) for line in first.err.splitlines()]
        assert [revision for revision, _ in told] == sorted(path.stem[:15] for path in VERSIONS)
        assert all(text.endswith(".") for _, text in told)
        assert second.err == ""

    async def test_what_the_database_forbids_is_one_line(self, invoke: Invoke, fresh_database: FreshDatabase) -> None:
        database = await fresh_database(is_migrated=False)
        await execute(database, "CREATE TABLE users (id integer)")
        point(invoke, database)

        assert_one_line(await invoke.off_loop("db", "upgrade"), 'relation "users" already exists')
        assert await migrations.state(database) is SchemaState.EMPTY


class TestDowngrade:
    async def test_it_goes_back_as_far_as_it_is_told(self, invoke: Invoke, fresh_database: FreshDatabase) -> None:
        database = await fresh_database()
        point(invoke, database)

        assert (await invoke.off_loop("db", "downgrade", "-1")).code == 0
        assert await migrations.state(database) is SchemaState.OLDER
        assert await invoke.off_loop("db", "downgrade", "base") == (0, "The schema is at base.\n", "")
        assert await migrations.state(database) is SchemaState.EMPTY

    async def test_an_unknown_revision_is_one_line(self, invoke: Invoke, fresh_database: FreshDatabase) -> None:
        database = await fresh_database()
        point(invoke, database)

        assert_one_line(await invoke.off_loop("db", "downgrade", "nosuch"), "'nosuch'", "migrations/versions")
        assert await migrations.state(database) is SchemaState.CURRENT


class TestCheck:
    async def test_the_models_agree_with_the_migrations(self, invoke: Invoke, fresh_database: FreshDatabase) -> None:
        point(invoke, await fresh_database())
        assert (await invoke.off_loop("db", "check")).code == 0

    def test_it_needs_no_database_of_its_own(self, invoke: Invoke) -> None:
        result = invoke("db", "check")
        assert (result.code, result.err) == (0, "")
        assert result.out.endswith("The schema is the newest one and fits the models.\n")

    async def test_a_column_that_no_model_has_is_told(self, invoke: Invoke, fresh_database: FreshDatabase) -> None:
        database = await fresh_database()
        await execute(database, "ALTER TABLE users ADD shoe_size integer")
        point(invoke, database)

        assert_one_line(await invoke.off_loop("db", "check"), "shoe_size", "scripts/migration")

    async def test_scripts_get_an_object_whatever_comes_out(
        self, invoke: Invoke, fresh_database: FreshDatabase
    ) -> None:
        database = await fresh_database()
        point(invoke, database)
        fine = await invoke.off_loop("db", "check", "--json")
        await execute(database, "ALTER TABLE users ADD shoe_size integer")
        wrong = await invoke.off_loop("db", "check", "--json")

        assert fine == (0, '{"schema": "newest"}\n', "")
        assert (wrong.code, wrong.err) == (1, "")
        told = json.loads(wrong.out)
        assert told["schema"] == "wrong"
        assert "shoe_size" in told["problem"]


class TestOtherSchemas:
    @pytest.mark.parametrize("words", ["serve --port 0", "worker", "db check", "users create --email a@b.cd --name A"])
    async def test_without_tables_the_way_to_them_is_told(
        self, invoke: Invoke, fresh_database: FreshDatabase, words: str
    ) -> None:
        point(invoke, await fresh_database(is_migrated=False))
        invoke.type("long enough pw\n")
        assert_one_line(await invoke.off_loop(*words.split()), "no tables yet; run: orchestrator db upgrade")

    @pytest.mark.parametrize("words", ["dev --port 0", "db upgrade", "db check"])
    async def test_that_of_a_later_release_is_left_alone(
        self, invoke: Invoke, fresh_database: FreshDatabase, words: str
    ) -> None:
        database = await fresh_database()
        await execute(database, "UPDATE alembic_version SET version_num = 'of_the_future'")
        point(invoke, database)

        assert_one_line(await invoke.off_loop(*words.split()), "a later release", "DATABASE_URL")
        assert await migrations.state(database) is SchemaState.NEWER

    @pytest.mark.parametrize("words", ["serve --port 0", "worker"])
    async def test_that_of_an_earlier_release_is_to_be_upgraded(
        self, invoke: Invoke, fresh_database: FreshDatabase, words: str
    ) -> None:
        database = await fresh_database()
        await migrations.downgrade(database, "-1")
        point(invoke, database)

        assert_one_line(await invoke.off_loop(*words.split()), "earlier release; run: orchestrator db upgrade")

    async def test_that_of_a_later_release_is_worked_on_while_an_upgrade_rolls_out(
        self, fresh_database: FreshDatabase, tmp_path: Path
    ) -> None:
        database = await fresh_database()
        await execute(database, "UPDATE alembic_version SET version_num = 'of_the_future'")
        url = database.url.set(drivername="postgresql").render_as_string(hide_password=False)
        variables = {"DATABASE_URL": url, "JWT_SECRET": SECRET}

        with (
            running("serve", "--port", "0", home=tmp_path / "api", until='"listening"', **variables) as api,
            running("worker", home=tmp_path / "worker", until='"working"', **variables) as worker,
        ):
            async with httpx.AsyncClient(base_url=api.url, trust_env=False) as client:
                ready = await client.get("/ready")

        assert (ready.status_code, ready.json()["migrations"]) == (200, "up")
        assert "schema_is_newer" in api.output
        assert "schema_is_newer" in worker.output
