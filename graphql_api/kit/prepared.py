"""Statements that are made once, and handed to the driver in its own words each time.

SQLAlchemy takes ten times as long over a small statement as the driver does, most of it to find out again what the
statement says and how its values are written.
"""

import re
from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, repeat
from operator import itemgetter
from typing import Any
from typing import cast as typing_cast

import orjson
from sqlalchemy import ARRAY, BindParameter, Compiled, Dialect, Select
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeEngine

MAX_PREPARED = 512
"""How many are kept; a further one takes a millisecond."""

MAX_PREPARED_TOGETHER = 256
"""How many unions are kept; a further one takes a tenth of a millisecond."""

Change = Callable[[Any], Any]
Values = Mapping[str, object]

_NUMBER = re.compile(r"\$(\d+)")
"""A parameter as the driver writes it."""

_DIALECT: Dialect = asyncpg.dialect(json_deserializer=orjson.loads)  # type: ignore[no-untyped-call]  # SQLAlchemy's is not typed


class Prepared:
    """A statement in the driver's words.

    Args:
        select: Of columns with types, each under a name of its own; a list is a parameter of type ARRAY, which `IN`
            can't take.

    Attributes:
        text: The words.
        types: Of the columns, as PostgreSQL names them.
    """

    __slots__ = ("_parameters", "_rows", "text", "types")

    def __init__(self, select: Select[Any]) -> None:
        compiled = select.compile(dialect=_DIALECT)
        self.text = str(compiled)
        self.types = [column.type.compile(dialect=_DIALECT) for column in select.selected_columns]
        self._parameters = _parameters(compiled)
        self._rows = _Rows(select)

    @property
    def parameter_count(self) -> int:
        """How many parameters it has."""
        return len(self._parameters)

    def arguments(self, values: Values) -> list[object]:
        """Give the values of its parameters in the driver's order; what it has no parameter for is left out."""
        return [parameter.argument(values) for parameter in self._parameters]

    def rows(self, records: Iterable[Iterable[Any]]) -> list[Any]:
        """Make rows of what the driver read: tuples with the columns as attributes."""
        return self._rows.of(records)


class PreparedTogether:
    """Several statements as one, which gives the rows of each in the order that the statement asks for.

    It is their union. After the number of its statement, a row has a place for as many columns of each type as any of
    the statements has, and null where its own statement has none.

    Args:
        parts: The statements.
    """

    __slots__ = ("_parts", "_picks", "text")

    def __init__(self, parts: Sequence[Prepared]) -> None:
        self._parts = parts
        types: list[str] = []
        places = [_places(part.types, types) for part in parts]
        before = accumulate((part.parameter_count for part in parts), initial=0)
        selects = map(_selecting, range(len(parts)), parts, places, before, repeat(types))
        self.text = " UNION ALL ".join(selects)
        self._picks = [_picking([1 + place for place in own]) for own in places]

    def arguments(self, values: Sequence[Values]) -> list[object]:
        """Give the values of the parameters in the driver's order.

        Args:
            values: For each statement, by name.
        """
        return [argument for part, own in zip(self._parts, values, strict=True) for argument in part.arguments(own)]

    def rows(self, records: Iterable[Any]) -> list[list[Any]]:
        """Make the rows of each statement of what the driver read."""
        own: list[list[Any]] = [[] for _ in self._parts]
        for record in records:
            own[record[0]].append(record)
        return [
            part.rows(map(pick, records)) for part, pick, records in zip(self._parts, self._picks, own, strict=True)
        ]


@lru_cache(MAX_PREPARED)
def prepared(select: Select[Any]) -> Prepared:
    """Give a statement in the driver's words; it is put into them once."""
    return Prepared(select)


@lru_cache(MAX_PREPARED_TOGETHER)
def prepared_together(selects: tuple[Select[Any], ...]) -> PreparedTogether:
    """Give several statements as one, in the driver's words; they are put into them once."""
    return PreparedTogether([prepared(each) for each in selects])


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


def _places(wanted: Sequence[str], types: list[str]) -> list[int]:
    """Find a place for each column among those of all statements, which become more where it takes more.

    Args:
        wanted: Types of the columns.
        types: Of the places.
    """
    free = dict(enumerate(types))
    places = []
    for type_ in wanted:
        place = next((place for place, own in free.items() if own == type_), len(types))
        if place == len(types):
            types.append(type_)
        free.pop(place, None)
        places.append(place)
    return places


def _selecting(number: int, part: Prepared, places: Sequence[int], before: int, types: Sequence[str]) -> str:
    """Write a statement as a part of a union.

    Args:
        number: Of the statement.
        part: The statement.
        places: Of its columns.
        before: How many parameters come before its own.
        types: Of all places.
    """
    names = [f"c{index}" for index in range(len(places))]
    held = dict(zip(places, names, strict=True))
    columns = [held.get(place) or f"NULL::{type_}" for place, type_ in enumerate(types)]
    text = _NUMBER.sub(lambda found: f"${int(found[1]) + before}", part.text)
    return f"SELECT {', '.join([str(number), *columns])} FROM ({text}) AS part ({', '.join(names)})"  # noqa: S608 - of texts of ours


def _picking(places: Sequence[int]) -> Callable[[Any], Iterable[Any]]:
    """Give what takes the columns at some places out of a record."""
    if len(places) > 1:
        return itemgetter(*places)
    (place,) = places
    return lambda record: (record[place],)


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
