"""What an operation gives level by level is exactly what graphql-core gives object by object."""

import asyncio
from functools import partial
from typing import Any

import orjson
import pytest
import strawberry
from hypothesis import given, settings
from hypothesis import strategies as st
from strawberry.dataloader import DataLoader
from support.happenings import ForAnybody, Item, Operation, Source, Upset, happenings, make_schema, noted, operations

from graphql_api.kit.documents import Documents
from graphql_api.kit.execution import EventExecutor
from graphql_api.kit.loading import loaded_by

_SOURCE = Source()
_STOCK, _OURS = make_schema(_SOURCE, executor=None, extensions=[]), make_schema(_SOURCE)
_NESTED = """{ happenings { ... on Noted {
    text echo(text: "!") later items { name owner { name } friend { name } children { name friend { name } } }
} } }"""


async def _answer(schema: strawberry.Schema, operation: Operation) -> tuple[bytes, list[Any]]:
    """Give the data as they are written, and the errors in some order: it is nobody's promise."""
    result = await schema.execute(operation.query, variable_values=operation.variables)
    errors = [error.formatted for error in result.errors or ()]
    return repr(result.data).encode(), sorted(errors, key=orjson.dumps)


def _check(operation: Operation, events: list[object], *, times: int = 3) -> None:
    _SOURCE.events = events
    expected = asyncio.run(_answer(_STOCK, operation))
    for _ in range(times):  # the first time there is no plan yet
        assert asyncio.run(_answer(_OURS, operation)) == expected


class TestLevels:
    @pytest.mark.parametrize("kind", ["query", "mutation"])
    @settings(deadline=None)
    @given(data=st.data(), events=st.lists(happenings(), max_size=3))
    def test_an_answer_is_what_graphql_core_gives(self, kind: str, data: st.DataObject, events: list[object]) -> None:
        operation = data.draw(operations(kind))
        # What JSON can't say is an error in either way; bytes would be one of this test.
        _check(operation, [event for event in events if not _is_unsayable(event)])

    @pytest.mark.parametrize("names", ["a friendless", "c", "friendless c c", "shy", "", "shy a friendless"])
    def test_values_found_by_a_key_are_those_of_each_object(self, names: str) -> None:
        items = [
            Item(name=name, mood=None, children=[Item(name="cd", mood=None, children=[])]) for name in names.split()
        ]
        _check(Operation(_NESTED, {}), [noted(items=items), noted(items=items)])

    def test_variables_that_decide_what_is_selected_make_plans_of_their_own(self) -> None:
        query = "query Q($a: Boolean!) { first { sequence @include(if: $a) later @skip(if: $a) } }"
        for a in (True, False, True):
            _check(Operation(query, {"a": a}), [noted()])

    def test_arguments_may_be_variables(self) -> None:
        query = "query Q($t: String!) { first { echo(text: $t) } }"
        _SOURCE.events = [noted()]
        for text in ("1", "2", "3"):
            result = asyncio.run(_OURS.execute(query, variable_values={"t": text}))
            assert result.data == {"first": {"echo": f"1{text}"}}

    def test_several_root_fields_come_in_their_order(self) -> None:
        _check(Operation("{ first { later } __typename b: first { sequence } nothing }", {}), [noted()])

    def test_nothing_selected_gives_nothing(self) -> None:
        _check(Operation("query Q($no: Boolean!) { first @include(if: $no) { later } }", {"no": False}), [])

    def test_what_only_graphql_core_knows_is_left_to_it(self) -> None:
        _check(Operation("{ __schema { queryType { name } } first { sequence } }", {}), [noted()])

    def test_nothing_is_resolved_twice_when_something_fails(self) -> None:
        _SOURCE.events = [noted(items=[Item(name="friendless", mood=None, children=[])])]
        for _ in range(3):
            _SOURCE.resolved = 0
            result = asyncio.run(_OURS.execute(f"# again\n{_NESTED}"))
            assert [error.message for error in result.errors or ()] == ["no friends"]
            assert _SOURCE.resolved == 1

    def test_a_source_that_fails_fails_once(self) -> None:
        _SOURCE.events = [Upset("gone")]
        for _ in range(3):
            _SOURCE.resolved = 0
            result = asyncio.run(_OURS.execute("{ happenings { sequence } }"))
            assert [(error.message, error.path) for error in result.errors or ()] == [("gone", ["happenings"])]
            assert (result.data, _SOURCE.resolved) == (None, 1)


def _is_unsayable(event: object) -> bool:
    return isinstance(getattr(event, "extra", None), bytes | set)


class TestReads:
    """How often the database would be asked."""

    def _schema(self, asked: list[list[int]]) -> strawberry.Schema:
        async def squares(keys: list[int]) -> list[int]:
            asked.append(keys)
            return [key * key for key in keys]

        @strawberry.type
        class Number:
            value: int

            @strawberry.field
            @loaded_by(lambda _: DataLoader(squares, cache=False), by=lambda number: number.value or None)
            def square(self, found: int) -> int | None:
                return found

        @strawberry.type
        class Query:
            @strawberry.field
            def numbers(self) -> list[Number]:
                return [Number(value=value) for value in (3, 0, 5, 3)]

        return strawberry.Schema(
            Query, execution_context_class=EventExecutor, extensions=[partial(ForAnybody, Documents(), {})]
        )

    def test_a_list_is_one_read_of_different_keys(self) -> None:
        asked: list[list[int]] = []
        schema = self._schema(asked)
        for _ in range(2):
            asked.clear()
            result = asyncio.run(schema.execute("{ numbers { square } }"))
            assert result.data == {"numbers": [{"square": 9}, {"square": None}, {"square": 25}, {"square": 9}]}
        assert asked == [[3, 5]]
