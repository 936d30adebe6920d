import asyncio
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from graphql_api.kit.conflicts import tried_again, tries
from graphql_api.kit.database import Database
from graphql_api.kit.errors import NotFound

pytestmark = pytest.mark.anyio

MakeDatabase = Callable[[], Awaitable[Database]]


async def run(database: Database, *statements: str) -> None:
    async with database.transaction() as session:
        for statement in statements:
            await session.execute(text(statement))


async def refused(database: Database, code: str) -> None:
    """Try what PostgreSQL always takes back, each time with the number of the attempt."""
    async for attempt in tries():
        with attempt:
            await run(database, f"DO $$ BEGIN RAISE 'taken back {attempt.num}' USING ERRCODE = '{code}'; END $$")


class TestTries:
    async def test_two_transactions_that_wait_for_each_other_both_succeed(self, fresh_database: MakeDatabase) -> None:
        database = await fresh_database()
        await run(database, "CREATE TABLE rows AS SELECT id, 0 AS value FROM generate_series(1, 2) AS id")
        both = asyncio.Barrier(2)
        begun = 0

        async def swap(first: int, second: int) -> None:
            nonlocal begun
            async for attempt in tries():
                with attempt:
                    async with database.transaction() as session:
                        await session.execute(text(f"UPDATE rows SET value = value + 1 WHERE id = {first}"))
                        begun += 1
                        if begun <= 2:
                            await both.wait()
                        await session.execute(text(f"UPDATE rows SET value = value + 1 WHERE id = {second}"))

        await asyncio.gather(swap(1, 2), swap(2, 1))

        async with database.transaction() as session:
            values = (await session.execute(text("SELECT value FROM rows"))).scalars().all()
        assert (values, begun) == ([2, 2], 3)

    async def test_what_never_goes_well_is_raised_in_the_end(self, database: Database) -> None:
        with pytest.raises(DBAPIError, match="taken back 5"):
            await refused(database, "40001")

    async def test_another_error_is_raised_at_once(self, database: Database) -> None:
        with pytest.raises(IntegrityError, match="taken back 1"):
            await refused(database, "23505")


class TestTriedAgain:
    async def test_only_the_use_case_is_done_again(self, database: Database) -> None:
        done: list[str] = []

        @tried_again
        async def use_case(name: str, *, code: str) -> str:
            done.append(name)
            if len(done) == 1:
                await run(database, f"DO $$ BEGIN RAISE 'taken back' USING ERRCODE = '{code}'; END $$")
            return name

        assert await use_case("a", code="40P01") == "a"
        assert done == ["a", "a"]

    async def test_what_is_refused_is_not_done_again(self) -> None:
        done: list[None] = []

        @tried_again
        async def use_case() -> None:
            await asyncio.sleep(0)
            done.append(None)
            raise NotFound("There is no such thing.")

        with pytest.raises(NotFound):
            await use_case()
        assert done == [None]
