"""Statements that are made once, and handed to the driver in its own words each time.

SQLAlchemy takes ten times as long over a small statement as the driver does, most of it to find out again what the
statement says and how its values are written.
"""

from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain
from typing import Any
from typing import cast as typing_cast

import orjson
from sqlalchemy import (
    ARRAY,
    BindParameter,
    Compiled,
    CompoundSelect,
    Dialect,
    Select,
    cast,
    literal_column,
    null,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.visitors import cloned_traverse
from sqlalchemy.types import TypeEngine

MAX_PREPARED = 512
"""How many are kept; a further one takes a millisecond."""

MAX_PREPARED_TOGETHER = 128
"""How many unions are kept; a further one takes some milliseconds."""

Change = Callable[[Any], Any]
Values = Mapping[str, object]

_OF = "_of_"
"""Stands between the name of a parameter and the number of its statement."""

_DIALECT: Dialect = asyncpg.dialect(json_deserializer=orjson.loads)  # type: ignore[no-untyped-call]  # SQLAlchemy's is not typed


class Prepared:
    """A statement in the driver's words.

    Args:
        select: Of columns with types, each under a name of its own; a list is a parameter of type ARRAY, which `IN`
            can't take.
    """

    __slots__ = ("_parameters", "_rows", "text")

    def __init__(self, select: Select[Any]) -> None:
        compiled = select.compile(dialect=_DIALECT)
        self.text = str(compiled)
        self._parameters = _parameters(compiled)
        self._rows = _Rows(select)

    def arguments(self, values: Values) -> list[object]:
        """Give the values of its parameters in the driver's order; what it has no parameter for is left out."""
        return [parameter.argument(values) for parameter in self._parameters]

    def rows(self, records: Sequence[Any]) -> list[Any]:
        """Make rows of what the driver read: tuples with the columns as attributes."""
        return self._rows.of(records)


class PreparedTogether:
    """Several statements as one, which gives the rows of each.

    Args:
        selects: As `Prepared` takes them; their rows come in no order.
    """

    __slots__ = ("_parameters", "_parts", "text")

    def __init__(self, selects: Sequence[Select[Any]]) -> None:
        compiled = _union(selects).compile(dialect=_DIALECT)
        self.text = str(compiled)
        self._parameters = [_of_one(parameter) for parameter in _parameters(compiled)]
        self._parts: list[tuple[slice, _Rows]] = []
        start = 1  # after the number of the statement
        for each in selects:
            end = start + len(each.selected_columns)
            self._parts.append((slice(start, end), _Rows(each)))
            start = end

    def arguments(self, values: Sequence[Values]) -> list[object]:
        """Give the values of the parameters in the driver's order.

        Args:
            values: For each statement, by name.
        """
        return [parameter.argument(values[number]) for number, parameter in self._parameters]

    def rows(self, records: Sequence[Any]) -> list[list[Any]]:
        """Make the rows of each statement of what the driver read."""
        own: list[list[Any]] = [[] for _ in self._parts]
        for record in records:
            own[record[0]].append(record)
        return [
            rows.of(record[columns] for record in records)
            for records, (columns, rows) in zip(own, self._parts, strict=True)
        ]


@lru_cache(MAX_PREPARED)
def prepared(select: Select[Any]) -> Prepared:
    """Give a statement in the driver's words; it is put into them once."""
    return Prepared(select)


@lru_cache(MAX_PREPARED_TOGETHER)
def prepared_together(selects: tuple[Select[Any], ...]) -> PreparedTogether:
    """Give several statements as one, in the driver's words; they are put into them once."""
    return PreparedTogether(selects)


class _Rows:
    """Makes rows of a statement's columns."""

    __slots__ = ("_changes", "_make")

    def __init__(self, select: Select[Any]) -> None:
        columns = select.selected_columns
        row: Any = namedtuple("Row", columns.keys(), rename=True)  # type: ignore[misc]  # noqa: PYI024 - its fields are known now
        self._make: Callable[[Iterable[Any]], Any] = row._make
        changes = [(index, _from_database(column.type)) for index, column in enumerate(columns)]
        self._changes = [(index, change) for index, change in changes if change is not None]

    def of(self, records: Iterable[Iterable[Any]]) -> list[Any]:
        """Make the rows."""
        make, changes = self._make, self._changes
        if not changes:
            return [make(record) for record in records]
        rows = []
        for record in records:
            values = list(record)
            for index, change in changes:
                values[index] = change(values[index])
            rows.append(make(values))
        return rows


def _union(selects: Sequence[Select[Any]]) -> CompoundSelect[Any]:
    """Unite statements: after the number of its own, a row has the columns of all of them, and null in the others'."""
    parts = [_numbered(each, number).subquery(f"part_{number}") for number, each in enumerate(selects)]
    nulls = [[cast(null(), column.type) for column in part.c] for part in parts]
    return union_all(
        *(
            select(literal_column(str(number)), *chain(*nulls[:number], part.c, *nulls[number + 1 :]))
            for number, part in enumerate(parts)
        )
    )


def _numbered(statement: Select[Any], number: int) -> Select[Any]:
    """Tell the parameters of a statement from those of others."""

    def rename(bind: BindParameter[Any]) -> None:
        if bind.required:
            bind.key = f"{bind.key}{_OF}{number}"

    return cloned_traverse(statement, {}, {"bindparam": rename})


def _of_one(parameter: "_Parameter") -> tuple[int, "_Parameter"]:
    """Give a parameter under the name that it has in its own statement, and the number of that."""
    name, _, number = parameter.name.rpartition(_OF)
    return (int(number), replace(parameter, name=name)) if parameter.is_given else (0, parameter)


def _parameters(compiled: Compiled) -> list["_Parameter"]:
    """List the parameters in the driver's order."""
    sql = typing_cast("SQLCompiler", compiled)
    return [_Parameter.of(name, sql.binds[name]) for name in sql.positiontup or ()]


@dataclass(frozen=True, slots=True)
class _Parameter:
    """A parameter of a statement.

    Attributes:
        name: Under which its value is given.
        is_given: Whether it is; the statement itself has the value otherwise.
        value: What the statement has.
        change: Makes of a value what the driver takes; None for what it takes as it is.
    """

    name: str
    is_given: bool
    value: object
    change: Change | None

    @classmethod
    def of(cls, name: str, bind: BindParameter[Any]) -> "_Parameter":
        """Find out how a parameter's value is handed over; lists are taken as they are."""
        is_list = isinstance(bind.type, ARRAY)
        change = None if is_list else bind.type.dialect_impl(_DIALECT).bind_processor(_DIALECT)
        value = None if bind.required else bind.effective_value
        return cls(name, bind.required, value if change is None or value is None else change(value), change)

    def argument(self, values: Values) -> object:
        """Give what the driver is handed."""
        if not self.is_given:
            return self.value
        value = values[self.name]
        return value if self.change is None else self.change(value)


def _from_database(type_: TypeEngine[Any]) -> Change | None:
    if isinstance(type_, ARRAY) and _from_database(type_.item_type) is None:
        return None
    return type_.dialect_impl(_DIALECT).result_processor(_DIALECT, None)
