import asyncio
from uuid import UUID

import pytest
from structlog.testing import capture_logs
from support.people import MakeUser

from graphql_api.identity import users
from graphql_api.identity.presence import Leave, Presence
from graphql_api.kit.database import Database

pytestmark = pytest.mark.anyio


class Connections:
    """Connections that note which of them were ended."""

    def __init__(self, presence: Presence) -> None:
        self.presence = presence
        self.ended: list[str] = []

    def open(self, user_id: UUID, name: str, error: Exception | None = None) -> Leave:
        async def leave() -> None:
            self.ended.append(name)
            if error is not None:
                raise error
            if name == "stuck":
                await asyncio.Event().wait()

        self.presence.enter(user_id, leave)
        return leave


@pytest.fixture
def connections() -> Connections:
    return Connections(Presence(leave_seconds=0.05))


class TestLook:
    async def test_it_ends_all_connections_of_those_who_were_disabled(
        self, database: Database, make_user: MakeUser, connections: Connections
    ) -> None:
        ada, eve = await make_user(), await make_user()
        for user, name in ((ada, "hers"), (eve, "one"), (eve, "two")):
            connections.open(user.id, name)
        await connections.presence.look(database)
        assert connections.ended == []
        await users.disable(database, eve.email)
        await connections.presence.look(database)
        assert sorted(connections.ended) == ["one", "two"]

    async def test_one_that_is_closed_already_is_left_alone(
        self, database: Database, make_user: MakeUser, connections: Connections
    ) -> None:
        eve = await make_user()
        leave = connections.open(eve.id, "closed")
        connections.presence.exit(eve.id, leave)
        connections.presence.exit(eve.id, leave)
        await users.disable(database, eve.email)
        await connections.presence.look(database)
        assert connections.ended == []

    async def test_one_that_breaks_or_hangs_keeps_no_other_open(
        self, database: Database, make_user: MakeUser, connections: Connections
    ) -> None:
        eve = await make_user()
        connections.open(eve.id, "broken", RuntimeError("It was closed meanwhile."))
        connections.open(eve.id, "stuck")
        connections.open(eve.id, "sound")
        await users.disable(database, eve.email)
        with capture_logs() as logs:
            await connections.presence.look(database)
        assert sorted(connections.ended) == ["broken", "sound", "stuck"]
        assert sorted(log["error"] for log in logs) == ["RuntimeError", "TimeoutError"]
