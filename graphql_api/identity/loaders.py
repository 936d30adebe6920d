"""Batched reads of users for one request."""

from collections.abc import Sequence
from uuid import UUID

from strawberry.dataloader import DataLoader

from graphql_api.identity import models, users
from graphql_api.kit.database import Database


def user_loader(database: Database) -> DataLoader[UUID, models.User]:
    """Make a loader of users by key; it remembers nothing, so that a subscription never shows an old state."""

    async def load(ids: list[UUID]) -> Sequence[models.User]:
        async with database.reading() as session:
            found = await users.by_ids(session, set(ids))
        return [found[id_] for id_ in ids]

    return DataLoader(load, cache=False)
