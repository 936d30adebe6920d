"""Reads of one request: what is asked for in the same moment is read in one statement."""

import asyncio
from asyncio import Future
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select

from graphql_api.kit.database import Database

TURNS = 3
"""Turns of the event loop that a moment lasts: a loader that a resolver asked takes two of them before it reads."""


@dataclass(frozen=True, slots=True)
class _Asked:
    statement: Select[Any]
    values: Mapping[str, object]
    rows: Future[Sequence[Any]]


class Reader:
    """Reads rows for the resolvers of one request.

    A level of an operation asks for all that it shows in one moment, whoever asks, and so it is one statement.

    Args:
        database: What it reads.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._asked: list[_Asked] = []
        self._reading: asyncio.Task[None] | None = None

    async def rows(self, statement: Select[Any], **values: object) -> Sequence[Any]:
        """Read the rows of a statement, in the order that it asks for; see `Database.rows`.

        What fails, fails for all who asked in this moment.
        """
        rows: Future[Sequence[Any]] = asyncio.get_running_loop().create_future()
        if not self._asked:
            self._reading = asyncio.create_task(self._read())
        self._asked.append(_Asked(statement, values, rows))
        return await rows

    async def _read(self) -> None:
        for _ in range(TURNS):
            await asyncio.sleep(0)
        # In one order, whatever that of the resolvers is, since each order would be another statement.
        asked = sorted(self._asked, key=lambda each: id(each.statement))
        self._asked = []
        try:
            found = await self._database.rows_together(
                [each.statement for each in asked], [each.values for each in asked]
            )
        except Exception as error:  # noqa: BLE001 - it is the result of everybody who asked
            for each in asked:
                if not each.rows.done():  # somebody may be gone
                    each.rows.set_exception(error)
        else:
            for each, rows in zip(asked, found, strict=True):
                if not each.rows.done():
                    each.rows.set_result(rows)
