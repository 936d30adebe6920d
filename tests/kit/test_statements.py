import pytest

from graphql_api.kit.database import Database
from graphql_api.kit.statements import Statement

pytestmark = pytest.mark.anyio


class TestStatement:
    def test_names_are_numbered_in_the_order_in_which_they_first_come(self) -> None:
        statement = Statement("SELECT :b::text[], :a, :b FROM rows WHERE at > '12:30' AND x = :long_name")
        assert statement.query == "SELECT $1::text[], $2, $1 FROM rows WHERE at > '12:30' AND x = $3"
        assert statement.arguments(a=1, b=2, long_name=3, other=4) == [2, 1, 3]

    def test_each_parameter_needs_a_value(self) -> None:
        with pytest.raises(KeyError, match="a"):
            Statement("SELECT :a").arguments(b=1)


class TestRows:
    async def test_columns_are_attributes_in_a_session_as_in_a_plain_transaction(self, database: Database) -> None:
        statement = Statement("SELECT number, :text AS text FROM generate_series(1, :count) AS number")
        async with database.transaction() as session, database.plain_transaction() as plain:
            for transaction in (session, plain):
                first, second = await transaction.fetch(statement, text="a", count=2)
                assert (first.number, first.text, second.number) == (1, "a", 2)
                assert tuple(first) == (1, "a")
                with pytest.raises(AttributeError, match="other"):
                    first.other  # noqa: B018 - it is what raises
