"""GraphQL types that show a row: a field is read when it is asked for, and most of them nobody asks for."""

from collections.abc import Callable
from functools import cached_property
from operator import attrgetter
from typing import Any, TypeVar

from strawberry.types.base import get_object_definition

from graphql_api.kit.ids import to_global_id

Type = TypeVar("Type")


def shows_row(**readers: Callable[[Any], object] | None) -> Callable[[type[Type]], type[Type]]:
    """Let the fields of a type be those of its private attribute `row`; its id is the row's as a global one.

    Args:
        **readers: Fields that are no attributes of the row, and what reads each from an object of the type; None for
            one that objects are given.

    Returns:
        A decorator for a Strawberry type whose objects are made by `show`.
    """

    def decorate(type_: type[Type]) -> type[Type]:
        definition = get_object_definition(type_, strict=True)
        name = definition.name
        known: dict[str, Callable[[Any], object] | None] = {"id": lambda shown: to_global_id(name, shown.row.id)}
        known |= readers
        for field in definition.fields:
            attribute = field.python_name
            read = known.get(attribute, attrgetter(f"row.{attribute}"))
            if field.is_basic_field and read is not None:
                setattr(type_, attribute, _kept(attribute, read) if attribute in readers else property(read))
        return type_

    return decorate


def _kept(attribute: str, read: Callable[[Any], object]) -> cached_property[object]:
    """Read once: what is resolved of the value is known by the value's identity."""
    kept = cached_property(read)
    kept.__set_name__(object, attribute)
    return kept


def show(type_: type[Type], row: object, **given: object) -> Type:
    """Make an object of a type that `shows_row`.

    Args:
        type_: The type.
        row: What is shown.
        **given: What it can't read from the row.
    """
    shown = object.__new__(type_)
    shown.__dict__.update(given, row=row)
    return shown
