from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlmodel import col, func, select
from support.people import PASSWORD_HASH

from graphql_api.identity.models import User
from graphql_api.kit import clearing
from graphql_api.kit.clearing import clear
from graphql_api.kit.database import Database

pytestmark = pytest.mark.anyio

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("rows", [0, 2, 3, 4, 7])
async def test_what_is_due_goes_in_batches_and_the_rest_stays(
    fresh_database: Callable[..., Awaitable[Database]], monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(clearing, "BATCH", 3)
    database = await fresh_database()
    async with database.transaction() as session:
        for number in range(rows + 2):
            made_at = MOMENT - timedelta(days=1) if number < rows else MOMENT
            email = f"{uuid4().hex}@example.com"
            session.add(User(email=email, name="Ada", password_hash=PASSWORD_HASH, created_at=made_at))

    assert await clear(database, User, col(User.created_at) < MOMENT) == rows

    async with database.transaction() as session:
        assert (await session.exec(select(func.count()).select_from(User))).one() == 2
