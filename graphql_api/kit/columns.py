"""Columns: types that SQLModel does not have, and what statements of rows are made of."""

from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime
from enum import Enum
from typing import Any, cast

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    DateTime,
    Dialect,
    Select,
    Text,
    TypeDecorator,
    any_,
    bindparam,
    column,
    func,
    select,
)
from sqlmodel import Field


class EnumText(TypeDecorator[Enum]):
    """An enumeration stored as text: a new value needs no `ALTER TYPE`, a check constraint guards the column."""

    impl = Text
    cache_ok = True

    def __init__(self, enum: type[Enum]) -> None:
        super().__init__()
        self.enum = enum
        self._members: dict[str | None, Enum | None] = {None: None, **{str(member.value): member for member in enum}}

    def process_bind_param(self, value: Enum | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - the signature is SQLAlchemy's
        """Store the member's value."""
        return None if value is None else str(value.value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[str | None], Enum | None]:  # noqa: ARG002 - the signature is SQLAlchemy's
        """Read members by their values, without a call for each."""
        return self._members.__getitem__


def columns_of(model: Any) -> Any:  # noqa: ANN401 - a table's model, and a collection whose attributes are the columns
    """Give the columns of a table: a statement of them gives rows, which cost far less than objects."""
    return model.__table__.c


def columns_for(class_: type, table: Any) -> list[Any]:  # noqa: ANN401 - the columns of a table
    """Give the columns that the attributes of a data class are named after, in their order."""
    return [table[each.name] for each in fields(class_)]


def names_of(model: Any) -> str:  # noqa: ANN401 - a table's model
    """List the columns of a table, for plain SQL: a `*` would break when a migration adds one."""
    return ", ".join(model.__table__.c.keys())


def select_rows(*columns: Any) -> Select[Any]:  # noqa: ANN401 - of any tables
    """Select columns, for `Database.rows`; SQLModel's own `select` is typed for a few of them."""
    return select(*columns)


def among(compared: Any, name: str = "ids") -> ColumnElement[bool]:  # noqa: ANN401 - any column
    """Compare a column with a list that is given as a parameter: the statement is the same for each length.

    Args:
        compared: The column.
        name: Of the parameter.
    """
    return cast("ColumnElement[bool]", compared == any_(bindparam(name, type_=ARRAY(compared.type))))


def listed(name: str, **columns: Any) -> Any:  # noqa: ANN401 - a table, whose columns are attributes of its `c`
    """Make a table of lists of the same length that are given as parameters, each named as its column.

    Args:
        name: Of the table.
        **columns: Their types.
    """
    lists = [bindparam(each, type_=ARRAY(type_)) for each, type_ in columns.items()]
    shown = [column(each, type_) for each, type_ in columns.items()]
    return func.unnest(*lists).table_valued(*shown, name=name).render_derived()


def lasts_at(position: Any, start: Any, end: Any) -> ColumnElement[bool]:  # noqa: ANN401 - columns of numbers
    """Tell whether a position is from a row's start on and before its end, which is null as long as it lasts."""
    return cast("ColumnElement[bool]", (start <= position) & (end.is_(None) | (end > position)))


def now() -> datetime:
    """Tell the time with its zone."""
    return datetime.now(UTC)


def timestamp(**options: Any) -> Any:  # noqa: ANN401 - passes Field's own options on
    """Declare a column for a moment in time, with its zone; now unless a default is given."""
    if "default" not in options:
        options.setdefault("default_factory", now)
    return Field(sa_type=DateTime(timezone=True), **options)


def enumeration(enum: type[Enum], **options: Any) -> Any:  # noqa: ANN401 - passes Field's own options on
    """Declare a column for a member of an enumeration."""
    return Field(sa_type=EnumText(enum), **options)
