"""GraphQL type of audit entries."""

from datetime import datetime
from typing import Self
from uuid import UUID

import strawberry
from strawberry.scalars import JSON

from graphql_api.authoring import models
from graphql_api.authoring.types.loading import loaded
from graphql_api.identity import models as identity
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
    @loaded(lambda loaders: loaders.user, by=lambda entry: entry.actor_id)
    def actor(self, found: identity.User) -> User | None:
        """Show who did it."""
        return User.of(found)

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
