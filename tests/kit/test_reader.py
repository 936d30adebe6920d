import asyncio
from collections.abc import Awaitable, Callable

import pytest
from asyncpg import ProgramLimitExceededError
from sqlalchemy import Integer, Text, bindparam, column, func, table
from strawberry.dataloader import DataLoader
from support.studio import counted
from support.waiting import until

from graphql_api.kit.columns import listed, select_rows
from graphql_api.kit.database import Database
from graphql_api.kit.loading import RowLoader
from graphql_api.kit.reader import MAX_TOGETHER, Reader

pytestmark = pytest.mark.anyio

_listed = listed("numbers", number=Integer).c
NUMBERS = select_rows(_listed.number).order_by(_listed.number.desc())
SQUARES = select_rows(_listed.number, (_listed.number * _listed.number).label("square"))
_series = (
    func.generate_series(1, bindparam("last", type_=Integer)).table_valued(column("number", Integer)).render_derived().c
)
SERIES = select_rows(_series.number).order_by(_series.number.desc())
LETTER = select_rows(func.chr(bindparam("code", type_=Integer), type_=Text).label("letter"))
SLEEP = select_rows(func.count()).select_from(func.pg_sleep(bindparam("seconds", type_=Integer)).alias())
KEYS = listed("keys", ids=Integer).c
FOUND = select_rows(KEYS.ids.label("id"))


@pytest.fixture
def reader(database: Database) -> Reader:
    return Reader(database)


class TestAMoment:
    async def test_is_one_statement_whoever_asks(self, database: Database, reader: Reader) -> None:
        loader: DataLoader[int, int] = RowLoader(reader, FOUND, lambda rows: {row.id: row.id for row in rows})
        async with counted(database) as statements:
            numbers, squares, found, more = await asyncio.gather(
                reader.rows(NUMBERS, number=[1, 3, 2]),
                reader.rows(SQUARES, number=[4]),
                loader.load(7),  # which asks two turns later
                loader.load_fn([8, 9]),
            )
        assert len(statements) == 1
        assert [row.number for row in numbers] == [3, 2, 1]
        assert [(row.number, row.square) for row in squares] == [(4, 16)]
        assert (found, more) == (7, [8, 9])

    async def test_is_the_same_statement_in_whatever_order_they_ask(self, database: Database, reader: Reader) -> None:
        async with counted(database) as statements:
            await asyncio.gather(reader.rows(NUMBERS, number=[1]), reader.rows(SQUARES, number=[2]))
            await asyncio.gather(reader.rows(SQUARES, number=[3]), reader.rows(NUMBERS, number=[4]))
        assert len(statements) == 2
        assert len(set(statements)) == 1

    async def test_may_have_the_same_statement_twice(self, reader: Reader) -> None:
        first, second = await asyncio.gather(reader.rows(NUMBERS, number=[1]), reader.rows(NUMBERS, number=[2, 3]))
        assert ([row.number for row in first], [row.number for row in second]) == ([1], [3, 2])

    async def test_is_more_statements_when_very_much_is_asked_for(self, database: Database, reader: Reader) -> None:
        async with counted(database) as statements:
            answers = await asyncio.gather(
                *(reader.rows(NUMBERS, number=[each]) for each in range(2 * MAX_TOGETHER + 1))
            )
        assert len(statements) == 3
        assert [row.number for (row,) in answers] == [*range(2 * MAX_TOGETHER + 1)]

    async def test_is_over_once_it_is_read(self, database: Database, reader: Reader) -> None:
        async with counted(database) as statements:
            await reader.rows(NUMBERS, number=[1])
            await reader.rows(NUMBERS, number=[2])
        assert len(statements) == 2

    async def test_fails_for_all_and_the_next_does_not(self, reader: Reader) -> None:
        errors = await asyncio.gather(
            reader.rows(NUMBERS, number=[1]), reader.rows(LETTER, code=0), return_exceptions=True
        )
        assert [type(error) for error in errors] == 2 * [ProgramLimitExceededError]
        assert len(await reader.rows(NUMBERS, number=[1])) == 1

    async def test_goes_on_when_somebody_leaves(self, reader: Reader) -> None:
        leaving = asyncio.create_task(reader.rows(NUMBERS, number=[1]))
        staying = asyncio.create_task(reader.rows(SQUARES, number=[2]))
        await asyncio.sleep(0)
        leaving.cancel()
        assert [row.square for row in await staying] == [4]
        with pytest.raises(asyncio.CancelledError):
            await leaving

    async def test_is_read_no_further_when_all_have_left(self, database: Database) -> None:
        unhurried = Database(database.url, pool_size=1, statement_seconds=None)
        reader = Reader(unhurried)
        leaving = [asyncio.create_task(reader.rows(each, seconds=3600)) for each in (SLEEP, SLEEP)]
        await until(lambda: unhurried.pool.in_use == 1)
        leaving[0].cancel()
        await asyncio.gather(leaving[0], return_exceptions=True)
        assert unhurried.pool.in_use == 1
        leaving[1].cancel()
        await until(lambda: unhurried.pool.in_use == 0)
        assert [row.number for row in await reader.rows(NUMBERS, number=[1])] == [1]
        await unhurried.close()

    async def test_begins_anew_when_all_have_left_before_it_is_read(self, reader: Reader) -> None:
        leaving = asyncio.create_task(reader.rows(NUMBERS, number=[1]))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        assert [row.number for row in await reader.rows(NUMBERS, number=[2])] == [2]


class TestOrder:
    async def test_is_kept_when_postgresql_works_in_parallel(
        self, fresh_database: Callable[..., Awaitable[Database]]
    ) -> None:
        database = await fresh_database()
        connection = await database.connect()
        await connection.execute("CREATE TABLE many AS SELECT i AS number FROM generate_series(1, 20000) AS i")
        settings = {"debug_parallel_query": "on", "parallel_setup_cost": 0, "parallel_tuple_cost": 0}
        settings |= {"min_parallel_table_scan_size": 0, "max_parallel_workers_per_gather": 2}
        for name, value in settings.items():
            await connection.execute(f"ALTER DATABASE {database.url.database} SET {name} = {value}")
        await connection.close()
        await database.engine.dispose()
        many = select_rows(column("number", Integer)).select_from(table("many")).order_by(column("number").desc())
        down, squares, series = await database.rows_together(
            [many, SQUARES, SERIES], [{}, {"number": [1]}, {"last": 500}]
        )
        assert [row.number for row in down] == [*range(20000, 0, -1)]
        assert len(squares) == 1
        assert [row.number for row in series] == [*range(500, 0, -1)]
