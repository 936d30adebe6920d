"""Who has connections open, so that those end whose user was disabled meanwhile."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from uuid import UUID

import structlog

from graphql_api.identity.users import disabled_among
from graphql_api.kit.database import Database

Leave = Callable[[], Awaitable[None]]

_log = structlog.get_logger()


class Presence:
    """The connections of one process, by the user who opened them.

    Args:
        leave_seconds: How long the end of one may take: its client may read nothing.
    """

    def __init__(self, *, leave_seconds: float = 5.0) -> None:
        self._leave_seconds = leave_seconds
        self._open: defaultdict[UUID, set[Leave]] = defaultdict(set)

    def enter(self, user_id: UUID, leave: Leave) -> None:
        """Take note of a connection.

        Args:
            user_id: Who opened it.
            leave: Ends it; it may be called once more than needed.
        """
        self._open[user_id].add(leave)

    def exit(self, user_id: UUID, leave: Leave) -> None:
        """Forget a connection; one that is not known is no error."""
        self._open[user_id].discard(leave)
        if not self._open[user_id]:
            del self._open[user_id]

    async def look(self, database: Database) -> None:
        """End the connections of those who were disabled; one statement for all who are here."""
        if not self._open:
            return
        async with database.reading() as session:
            disabled = await disabled_among(session, list(self._open))
        leaving = [leave for user_id in disabled for leave in self._open.get(user_id, ())]
        await asyncio.gather(*(self._end(leave) for leave in leaving))

    async def _end(self, leave: Leave) -> None:
        """End one connection; one that can't be ended keeps nobody else's open, and is tried again at the next look."""
        try:
            async with asyncio.timeout(self._leave_seconds):
                await leave()
        except Exception as error:  # noqa: BLE001 - whatever broke in it is its own
            _log.warning("connection_not_ended", error=type(error).__name__)
