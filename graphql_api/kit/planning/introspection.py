"""Operations that ask for the schema and nothing else: what they give never changes, and takes long to find out."""

from typing import Any

from graphql.execution import Executor
from graphql.execution.collect_fields import GroupedFieldSet, collect_fields

MAX_ANSWERS = 4
"""How many are kept: clients and tools send one or two, and each takes megabytes."""

_SCHEMA, _TYPENAME = "__schema", "__typename"


class Introspection:
    """What an operation gives, once it is known.

    Attributes:
        data: None before it was executed for the first time.
    """

    __slots__ = ("data",)

    def __init__(self) -> None:
        self.data: dict[str, Any] | None = None


def asks_for_schema(selection: GroupedFieldSet) -> bool:
    """Tell whether one of the root fields is the schema."""
    return any(fields[0].node.name.value == _SCHEMA for fields in selection.values())


def introspection(executor: Executor[Any]) -> Introspection | None:
    """Make the place for what an operation gives; None for one that asks for anything else, or has variables."""
    operation = executor.operation
    root = executor.schema.get_root_type(operation.operation)
    if root is None or operation.variable_definitions:
        return None
    selection = collect_fields(executor.schema, executor.fragments, executor.variable_values, root, operation)
    names = {fields[0].node.name.value for fields in selection.grouped_field_set.values()}
    return Introspection() if names <= {_SCHEMA, _TYPENAME} else None
