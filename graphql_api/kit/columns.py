"""Column types that SQLModel does not have."""

from collections.abc import Callable
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
    Uuid,
    any_,
    bindparam,
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


def names_of(model: Any) -> str:  # noqa: ANN401 - a table's model
    """List the columns of a table, for plain SQL: a `*` would break when a migration adds one."""
    return ", ".join(model.__table__.c.keys())


def select_rows(*columns: Any) -> Select[Any]:  # noqa: ANN401 - of any tables
    """Select columns, for `Database.rows`; SQLModel's own `select` is typed for a few of them."""
    return select(*columns)


def among(column: Any, name: str = "ids") -> ColumnElement[bool]:  # noqa: ANN401 - any column of UUIDs
    """Compare a column of UUIDs with a list that is given as a parameter: the statement is the same for each length.

    Args:
        column: What is compared.
        name: Of the parameter.
    """
    return cast("ColumnElement[bool]", column == any_(bindparam(name, type_=ARRAY(Uuid))))


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
