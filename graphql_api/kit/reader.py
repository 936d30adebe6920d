"""Reads of one request: what is asked for in the same moment is read in one statement."""

import asyncio
from asyncio import Future
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Select

from graphql_api.kit.database import Database

TURNS = 3
"""Turns of the event loop that a moment lasts: a loader that a resolver asked takes two of them before it reads."""

MAX_TOGETHER = 32
"""Reads in one statement: to plan one of hundreds takes PostgreSQL a hundred megabytes, on each connection."""


@dataclass(frozen=True, slots=True)
class _Asked:
    statement: Select[Any]
    values: Mapping[str, object]
    rows: Future[Sequence[Any]]


@dataclass(slots=True)
class _Moment:
    asked: list[_Asked] = field(default_factory=list)
    reading: asyncio.Task[None] | None = None


class Reader:
    """Reads rows for the resolvers of one request.

    A level of an operation asks for all that it shows in one moment, whoever asks, and so it is one statement; a very
    large one is some more.

    Args:
        database: What it reads.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._moment = _Moment()

    async def rows(self, statement: Select[Any], **values: object) -> Sequence[Any]:
        """Read the rows of a statement, in the order that it asks for; see `Database.rows`.

        What fails, fails for all who asked in this moment. When all of them are gone, nothing is read for them.
        """
        moment = self._moment
        if moment.reading is None:
            moment.reading = asyncio.create_task(self._read(moment))
        rows: Future[Sequence[Any]] = asyncio.get_running_loop().create_future()
        moment.asked.append(_Asked(statement, values, rows))
        try:
            return await rows
        except asyncio.CancelledError:
            if all(each.rows.done() for each in moment.asked):
                self._end(moment)
                moment.reading.cancel()
            raise

    def _end(self, moment: _Moment) -> None:
        """Let nobody ask in a moment any more."""
        if self._moment is moment:
            self._moment = _Moment()

    async def _read(self, moment: _Moment) -> None:
        for _ in range(TURNS):
            await asyncio.sleep(0)
        self._end(moment)
        # In one order, whatever that of the resolvers is, since each order would be another statement.
        asked = sorted(moment.asked, key=lambda each: id(each.statement))
        try:
            found = await self._found(asked)
        except Exception as error:  # noqa: BLE001 - it is the result of everybody who asked
            for each in asked:
                if not each.rows.done():  # somebody may be gone
                    each.rows.set_exception(error)
        else:
            for each, rows in zip(asked, found, strict=True):
                if not each.rows.done():
                    each.rows.set_result(rows)

    async def _found(self, asked: Sequence[_Asked]) -> list[Sequence[Any]]:
        found: list[Sequence[Any]] = []
        for start in range(0, len(asked), MAX_TOGETHER):
            some = asked[start : start + MAX_TOGETHER]
            found += await self._database.rows_together(
                [each.statement for each in some], [each.values for each in some]
            )
        return found
