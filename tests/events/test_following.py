from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from graphql_api.events.following import Place, followed
from graphql_api.events.hub import Ending, Mailbox
from graphql_api.events.records import StoredEvent
from graphql_api.kit.errors import Forbidden

pytestmark = pytest.mark.anyio


class TestFollowed:
    async def test_who_loses_access_while_the_log_is_read_gets_nothing_of_it(self) -> None:
        ending, subject = Ending(), uuid4()

        async def read(_position: int) -> Sequence[StoredEvent]:
            ending.end(Forbidden("Not any more."))
            return [StoredEvent(subject, 1, "Happened", {}, datetime(2026, 1, 1, tzinfo=UTC), is_terminal=False)]

        with pytest.raises(Forbidden):
            await anext(followed(Place(0), Mailbox(), read, ending))
