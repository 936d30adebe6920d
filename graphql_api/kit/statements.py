"""Plain SQL for the driver: a fraction of what a statement costs that SQLAlchemy puts together."""

import re
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import asyncpg
from sqlalchemy import Select

from graphql_api.kit import tracing
from graphql_api.kit.prepared import prepared

_PARAMETER = re.compile(r"(?<![:\w]):([a-z_]+)")


class Statement:
    """Plain SQL whose parameters have names, where those of the driver have numbers.

    Args:
        sql: With `:name` wherever a parameter stands.

    Attributes:
        query: The SQL as the driver takes it.
    """

    def __init__(self, sql: str) -> None:
        self._names = list(dict.fromkeys(_PARAMETER.findall(sql)))
        numbers = {name: number for number, name in enumerate(self._names, 1)}
        self.query = _PARAMETER.sub(lambda found: f"${numbers[found[1]]}", sql)

    def arguments(self, **values: object) -> list[object]:
        """Give the values of all parameters in the order of their numbers."""
        return [values[name] for name in self._names]


class Rows(Protocol):
    """What rows are read from: a transaction, the database, or what reads for one request."""

    async def rows(self, statement: Select[Any], **values: object) -> Sequence[Any]:
        """Read the rows of a statement: tuples with the columns as attributes.

        Args:
            statement: Of columns, not of models; the same object each time, since it is prepared once.
            **values: Of its parameters, by name.
        """
        ...


class Transaction(Rows, Protocol):
    """What use cases write in: a session, or what `Database.plain_transaction` opens.

    Attributes:
        after_commit: What to do once it is committed.
    """

    after_commit: list[Callable[[], None]]

    async def fetch(self, statement: Statement, **values: object) -> Sequence[Any]:
        """Run a statement; give its rows.

        They are tuples with the columns as attributes, as the database has them: enumerations are text.
        """
        ...


class PlainTransaction:
    """A transaction of plain SQL.

    Args:
        driver: A connection that nobody else uses meanwhile.
    """

    def __init__(self, driver: asyncpg.Connection) -> None:
        self._driver = driver
        self.after_commit: list[Callable[[], None]] = []

    async def rows(self, statement: Select[Any], **values: object) -> Sequence[Any]:
        """Read the rows of a statement; see `Rows`."""
        known = prepared(statement)
        with tracing.statement(known.text):
            return known.rows(await self._driver.fetch(known.text, *known.arguments(values)))

    async def fetch(self, statement: Statement, **values: object) -> Sequence[Any]:
        """Run a statement; see `Transaction`."""
        with tracing.statement(statement.query):
            rows: Sequence[Any] = await self._driver.fetch(
                statement.query, *statement.arguments(**values), record_class=_Row
            )
        return rows


class _Row(asyncpg.Record):
    """A row with the columns as attributes."""

    __slots__ = ()

    def __getattr__(self, name: str) -> object:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None
