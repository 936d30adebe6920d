"""Who has connections open, so that those end whose user was disabled meanwhile."""

from collections import defaultdict
from collections.abc import Awaitable, Callable
from uuid import UUID

from graphql_api.identity.users import disabled_among
from graphql_api.kit.database import Database

Leave = Callable[[], Awaitable[None]]


class Presence:
    """The connections of one process, by the user who opened them."""

    def __init__(self) -> None:
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
        async with database.transaction() as session:
            disabled = await disabled_among(session, list(self._open))
        for leave in [leave for user_id in disabled for leave in self._open.get(user_id, ())]:
            await leave()
