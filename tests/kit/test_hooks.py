from collections.abc import AsyncIterator, Iterator
from typing import ClassVar

import pytest
import strawberry
from strawberry.extensions import SchemaExtension
from strawberry.extensions.runner import SchemaExtensionsRunner
from strawberry.types import ExecutionContext

from graphql_api.kit.hooks import HookRunner

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("anyio_backend")]


class Refused(Exception):
    """What a hook raises."""


class Noted(SchemaExtension):
    """Notes what is asked of it."""

    name: ClassVar[str]
    notes: ClassVar[list[str]]

    def note(self, phase: str) -> Iterator[None]:
        notes = type(self).notes
        notes.append(f"{self.name}: {phase}")
        try:
            yield
        except BaseException as error:
            notes.append(f"{self.name}: {phase} raised {type(error).__name__}")
            raise
        notes.append(f"{self.name}: {phase} over")

    def on_operation(self) -> Iterator[None]:
        yield from self.note("operation")

    def on_execute(self) -> Iterator[None]:
        yield from self.note("execute")


class Outer(Noted):
    name = "outer"


class Inner(Noted):
    name = "inner"

    async def on_validate(self) -> AsyncIterator[None]:
        type(self).notes.append("inner: validate")
        yield
        type(self).notes.append("inner: validate over")


class Refusing(SchemaExtension):
    def on_execute(self) -> Iterator[None]:
        raise Refused
        yield


class Endless(SchemaExtension):
    def on_operation(self) -> Iterator[None]:
        yield
        yield


@strawberry.type
class Query:
    @strawberry.field
    def one(self) -> int:
        return 1


class Schema(strawberry.Schema):
    def create_extensions_runner(
        self, execution_context: ExecutionContext, extensions: list[SchemaExtension]
    ) -> SchemaExtensionsRunner:
        return HookRunner(execution_context, extensions)


@pytest.fixture
def notes() -> list[str]:
    Noted.notes = []
    return Noted.notes


async def test_begin_in_their_order_and_end_in_the_opposite_one(notes: list[str]) -> None:
    result = await Schema(Query, extensions=[Outer, Inner]).execute("{ one }")
    assert (result.data, result.errors) == ({"one": 1}, None)
    assert notes == [
        "outer: operation",
        "inner: operation",
        "inner: validate",
        "inner: validate over",
        "outer: execute",
        "inner: execute",
        "inner: execute over",
        "outer: execute over",
        "inner: operation over",
        "outer: operation over",
    ]


async def test_what_one_raises_at_its_beginning_ends_those_before_it(notes: list[str]) -> None:
    result = await Schema(Query, extensions=[Outer, Refusing, Inner]).execute("{ one }")
    assert result.errors is not None
    assert isinstance(result.errors[0].original_error, Refused)
    assert [note for note in notes if "outer" in note] == [
        "outer: operation",
        "outer: execute",
        "outer: execute raised Refused",
        "outer: operation raised Refused",
    ]
    assert "inner: execute" not in notes


async def test_one_that_goes_on_after_its_phase_is_told() -> None:
    result = await Schema(Query, extensions=[Endless]).execute("{ one }")
    assert result.errors is not None
    assert "goes on after the phase" in result.errors[0].message
