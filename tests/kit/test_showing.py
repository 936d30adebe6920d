from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
import strawberry

from graphql_api.kit.ids import to_global_id
from graphql_api.kit.showing import show, shows_row
from graphql_api.kit.types import Node

KEY = UUID(int=5)


@shows_row(mood=None, length=lambda thing: len(thing.row.name))
@strawberry.type
class Thing(Node):
    name: str
    mood: str
    length: int
    row: strawberry.Private[Any]

    @strawberry.field
    def loud(self) -> str:
        return self.name.upper()


@strawberry.type
class Query:
    @strawberry.field
    def thing(self) -> Thing:
        return show(Thing, SimpleNamespace(id=KEY, name="pen"), mood="calm")


def test_fields_are_those_of_the_row_or_given_or_read() -> None:
    result = strawberry.Schema(Query).execute_sync("{ thing { id name mood length loud } }")
    assert result.errors is None
    assert result.data == {
        "thing": {"id": to_global_id("Thing", KEY), "name": "pen", "mood": "calm", "length": 3, "loud": "PEN"}
    }


def test_what_is_made_of_the_row_is_made_once() -> None:
    shown = show(Thing, SimpleNamespace(id=KEY, name="pen"), mood="calm")
    assert shown.length == 3
    shown.row.name = "pencil"
    assert (shown.name, shown.length) == ("pencil", 3)


def test_nothing_is_read_that_nobody_asks_for() -> None:
    shown = show(Thing, SimpleNamespace(), mood="calm")
    assert shown.mood == "calm"
    with pytest.raises(AttributeError, match="name"):
        shown.name  # noqa: B018 - reading it is the test
