"""Keyset pagination: pages that stay stable while rows come and go."""

import base64
import binascii
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Any, Generic, NamedTuple, TypeVar, cast
from uuid import UUID

import orjson
from sqlalchemy import ARRAY, ColumnElement, FromClause, Integer, Select, Uuid, and_, bindparam, func, or_, select, true

from graphql_api.kit.columns import among
from graphql_api.kit.errors import CursorInvalid, Invalid
from graphql_api.kit.statements import Rows
from graphql_api.kit.texts import is_storable

DEFAULT_PAGE = 25
MAX_PAGE = 100

MAX_STATEMENTS = 256
"""Of each kind that are kept, so that each is put into words once."""

Row = TypeVar("Row")
SortValue = datetime | str | int | UUID


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which part of a list is wanted.

    Attributes:
        first: Rows from the start, or after `after`; 1 to 100.
        after: Cursor of the row before the first wanted one.
        last: Rows up to the end, or before `before`; 1 to 100.
        before: Cursor of the row after the last wanted one.
    """

    first: int | None = None
    after: str | None = None
    last: int | None = None
    before: str | None = None

    def size(self) -> int:
        """Tell how many rows are wanted.

        Raises:
            Invalid: When both directions are asked for, or a number is out of range.
        """
        if self.first is not None and self.last is not None:
            raise Invalid("Give first or last, not both.", path=["last"])
        for name, number in (("first", self.first), ("last", self.last)):
            if number is not None and not 1 <= number <= MAX_PAGE:
                raise Invalid(f"{name} is a number from 1 to {MAX_PAGE}.", path=[name])
        return self.first or self.last or DEFAULT_PAGE


@dataclass(frozen=True, slots=True)
class SortKey:
    """One column of an order.

    Attributes:
        column: What is compared; never null.
        attribute: Its name on a row.
        parse: Reads the column's value from a cursor.
        is_descending: Whether the greatest come first.
    """

    column: Any
    attribute: str
    parse: Callable[[str], SortValue]
    is_descending: bool = False


Keys = tuple[SortKey, ...]
"""An order; the last key is unique."""


@dataclass(frozen=True, slots=True)
class Query:
    """Rows of which pages are read.

    Attributes:
        select: Columns, without an order; the same object each time.
        values: Of its parameters.
    """

    select: Select[Any]
    values: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """A part of a list.

    Attributes:
        rows: In the list's order.
        cursor: Names the position of a row.
        count: Counts the whole list when it is awaited.
    """

    rows: list[Row]
    cursor: Callable[[Row], str]
    has_next: bool
    has_previous: bool
    count: Callable[[], Awaitable[int]]

    @property
    def cursors(self) -> list[str]:
        """Name the positions of all rows."""
        return [self.cursor(row) for row in self.rows]


async def read_page(reader: Rows, query: Query, keys: Keys, request: PageRequest) -> Page[Any]:
    """Read one page of a query's rows.

    Args:
        reader: What they are read with.
        query: Selects columns, without an order.
        keys: The order; the last key is unique.
        request: Which part.

    Raises:
        Invalid: When the request can't be read.
        CursorInvalid: When a cursor is not one of this list.
    """
    part = _Part.of(request, keys)
    found = await reader.rows(_limited(query.select, keys, part.shape), **query.values, **part.values)
    return _page(found, keys, request, partial(_count, reader, query))


async def read_pages(
    reader: Rows,
    query: Query,
    parent: ColumnElement[UUID],
    parents: Collection[UUID],
    keys: Keys,
    request: PageRequest,
    count: Callable[[UUID], Awaitable[int]],
) -> dict[UUID, Page[Any]]:
    """Read the same page of the lists of several parents, in one statement.

    Args:
        reader: What they are read with.
        query: Selects columns, without an order.
        parent: The one of them that names the parent.
        parents: Whose lists.
        keys: The order; the last key is unique. Attributes are named as their columns.
        request: Which part of each list.
        count: Counts the whole list of one parent.

    Raises:
        Invalid: When the request can't be read.
        CursorInvalid: When a cursor is not one of this list.
    """
    part = _Part.of(request, keys)
    statement = _limited_each(query.select, parent, keys, part.shape)
    found: dict[UUID, list[Any]] = {id_: [] for id_ in parents}
    for row in await reader.rows(statement, **query.values, **part.values, parents=list(found)):
        found[getattr(row, str(parent.key))].append(row)
    return {id_: _page(own, keys, request, partial(count, id_)) for id_, own in found.items()}


async def count_by(
    reader: Rows, query: Query, parent: ColumnElement[UUID], parents: Collection[UUID]
) -> dict[UUID, int]:
    """Count a query's rows of several parents; one without rows is left out."""
    return dict(await reader.rows(_counting_each(query.select, parent), **query.values, parents=list(parents)))


async def _count(reader: Rows, query: Query) -> int:
    ((counted,),) = await reader.rows(_counting(query.select), **query.values)
    return int(counted)


class _Shape(NamedTuple):
    """What of a request decides how its statement reads."""

    is_after: bool
    is_before: bool
    is_backwards: bool


@dataclass(frozen=True, slots=True)
class _Part:
    """A request, as a statement takes it: what its shape is, and the values of the parameters."""

    shape: _Shape
    values: Mapping[str, object]

    @classmethod
    def of(cls, request: PageRequest, keys: Keys) -> "_Part":
        """Read a request.

        Raises:
            Invalid: When it can't be read.
            CursorInvalid: When a cursor is not one of a list in this order.
        """
        values: dict[str, object] = {"limit": request.size() + 1}
        for name, cursor in (("after", request.after), ("before", request.before)):
            if cursor is not None:
                position = _decode(cursor, keys, name)
                values |= {f"{name}_{index}": value for index, value in enumerate(position)}
        shape = _Shape(request.after is not None, request.before is not None, request.last is not None)
        return cls(shape, values)


@lru_cache(MAX_STATEMENTS)
def _limited(query: Select[Any], keys: Keys, shape: _Shape) -> Select[Any]:
    """Select the rows of a page in the direction that it is read in, and one more, which tells whether there are."""
    if shape.is_after:
        query = query.where(_beyond(keys, "after", is_after=True))
    if shape.is_before:
        query = query.where(_beyond(keys, "before", is_after=False))
    limit = bindparam("limit", type_=Integer)
    return query.order_by(*_order(keys, is_backwards=shape.is_backwards)).limit(limit)


@lru_cache(MAX_STATEMENTS)
def _limited_each(query: Select[Any], parent: ColumnElement[UUID], keys: Keys, shape: _Shape) -> Select[Any]:
    """Select the rows of the same page of several lists."""
    wanted = select(func.unnest(bindparam("parents", type_=ARRAY(Uuid)), type_=Uuid).label("id")).subquery()
    rows = _limited(query.where(parent == wanted.c.id), keys, shape).lateral()
    order = _order(keys, is_backwards=shape.is_backwards, rows=rows)
    return select(*rows.c).select_from(wanted.join(rows, true())).order_by(*order)


@lru_cache(MAX_STATEMENTS)
def _counting(query: Select[Any]) -> Select[Any]:
    return select(func.count()).select_from(query.subquery())


@lru_cache(MAX_STATEMENTS)
def _counting_each(query: Select[Any], parent: ColumnElement[UUID]) -> Select[Any]:
    counted = query.where(among(parent, "parents")).with_only_columns(parent, func.count()).group_by(parent)
    return cast("Select[Any]", counted)


def _order(keys: Keys, *, is_backwards: bool, rows: FromClause | None = None) -> list[Any]:
    """Order by the keys, or by the columns of the same names among other rows."""
    columns = [(key.column if rows is None else rows.c[key.attribute], key.is_descending) for key in keys]
    return [column.desc() if is_descending != is_backwards else column.asc() for column, is_descending in columns]


def _page(found: Sequence[Any], keys: Keys, request: PageRequest, count: Callable[[], Awaitable[int]]) -> Page[Any]:
    size, backwards = request.size(), request.last is not None
    rows, has_more = list(found[:size]), len(found) > size
    if backwards:
        rows.reverse()
    return Page(
        rows=rows,
        cursor=lambda row: _encode(row, keys),
        has_next=request.before is not None if backwards else has_more,
        has_previous=has_more if backwards else request.after is not None,
        count=count,
    )


def _beyond(keys: Keys, name: str, *, is_after: bool) -> ColumnElement[bool]:
    """Compare rows with a position, key by key, since each key has a direction of its own."""
    values = [bindparam(f"{name}_{index}", type_=key.column.type) for index, key in enumerate(keys)]
    alternatives = []
    for index, key in enumerate(keys):
        equal = [earlier.column == value for earlier, value in zip(keys[:index], values[:index], strict=True)]
        greater = is_after != key.is_descending
        alternatives.append(and_(*equal, key.column > values[index] if greater else key.column < values[index]))
    return or_(*alternatives)


def _encode(row: object, keys: Keys) -> str:
    # Moments and keys are written as `isoformat` and `str` do it.
    values = [getattr(row, key.attribute) for key in keys]
    return base64.urlsafe_b64encode(orjson.dumps(values, default=str)).decode()


def _decode(cursor: str, keys: Keys, name: str) -> list[SortValue]:
    try:
        values = orjson.loads(base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True))
        return [_comparable(key.parse(value)) for key, value in zip(keys, values, strict=True)]
    except (binascii.Error, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise CursorInvalid("This is not a cursor of this list. Hand back one of its edges.", path=[name]) from error


def _comparable(value: SortValue) -> SortValue:
    """Refuse what PostgreSQL could not compare a column with."""
    if isinstance(value, datetime) and value.tzinfo is None:
        raise ValueError("a moment has a zone")
    if isinstance(value, int) and not -(2**31) <= value < 2**31:
        raise ValueError("a number has 32 bits")
    if isinstance(value, str) and not is_storable(value):
        raise ValueError("a text has no NUL")
    return value.astimezone(UTC) if isinstance(value, datetime) else value
