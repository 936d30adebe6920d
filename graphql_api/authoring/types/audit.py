"""GraphQL type of audit entries."""

from datetime import datetime
from typing import Self
from uuid import UUID

import strawberry
from strawberry.scalars import JSON

from graphql_api.authoring import models
from graphql_api.authoring.loaders import Loaders
from graphql_api.authoring.types.info import Info
from graphql_api.identity.types import User
from graphql_api.kit.ids import to_global_id
from graphql_api.kit.types import Node


@strawberry.type(description="Who did what to a workflow. Entries are never changed.")
class AuditEntry(Node):
    """Who did what."""

    at: datetime = strawberry.field(description="When it was done.")
    action: str = strawberry.field(description="What was done, such as `draft.edit` or `version.deploy`.")
    subject: strawberry.ID = strawberry.field(description="Global id of what it was done to.")
    details: JSON = strawberry.field(description="What else is worth knowing; no contents and no secrets.")
    request_id: str | None = strawberry.field(description="Finds the request in the logs.")
    actor_id: strawberry.Private[UUID | None]

    @strawberry.field(description="Who did it; null for the system itself.")
    async def actor(self, info: Info) -> User | None:
        """Show who did it."""
        return await user_or_none(info, self.actor_id)

    @classmethod
    def of(cls, row: models.AuditEntry) -> Self:
        """Show an entry."""
        return cls(
            id=strawberry.ID(to_global_id("AuditEntry", row.id)),
            at=row.at,
            action=row.action,
            subject=strawberry.ID(row.subject),
            details=JSON(row.details),
            request_id=row.request_id,
            actor_id=row.actor_id,
        )


async def user_or_none(info: Info, id_: UUID | None) -> User | None:
    """Show a user; None for none."""
    return None if id_ is None else User.of(await info.context.loader(Loaders).user.load(id_))
