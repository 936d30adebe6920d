import asyncio
from typing import Any

import pytest
from graphql import get_introspection_query
from support.happenings import Source, make_schema, noted

_SOURCE = Source()
_STOCK, _OURS = make_schema(_SOURCE, executor=None, extensions=[]), make_schema(_SOURCE)


class TestIntrospection:
    @pytest.mark.parametrize(
        "query",
        [
            get_introspection_query(),
            "{ __schema { queryType { name } } again: __schema { types { name } } __typename }",
            "{ __schema { queryType { name } } first { sequence } }",
            "query Q($all: Boolean!) { __schema { types { fields(includeDeprecated: $all) { name } } } }",
        ],
        ids=["everything", "twice", "and more", "variables"],
    )
    def test_an_answer_is_what_graphql_core_gives(self, query: str) -> None:
        for number in (1, 2, 3):
            _SOURCE.events = [noted(sequence=number)]
            variables = {"all": number == 2}
            stock, ours = (asyncio.run(schema.execute(query, variable_values=variables)) for schema in (_STOCK, _OURS))
            assert repr(ours.data) == repr(stock.data)
            assert ours.errors is None

    def test_it_is_found_out_once(self) -> None:
        first, second = (asyncio.run(_OURS.execute("{ __schema { types { name } } }")) for _ in range(2))
        assert first.data is not None
        assert second.data is first.data

    def test_what_others_ask_for_does_not_push_it_out(self) -> None:
        async def ask(query: str) -> Any:  # noqa: ANN401 - the data
            return (await _OURS.execute(query)).data

        data = asyncio.run(ask("{ __schema { directives { name } } }"))
        for number in range(10):
            asyncio.run(ask(f"{{ n{number}: __typename }}"))
        assert asyncio.run(ask("{ __schema { directives { name } } }")) is data
