"""GraphQL type of audit entries."""

from datetime import datetime
from typing import Self

import strawberry
from strawberry.scalars import JSON

from graphql_api.authoring import models
from graphql_api.authoring.types.loading import loaded
from graphql_api.identity import models as identity
from graphql_api.identity.types import User
from graphql_api.kit.showing import show, shows_row
from graphql_api.kit.types import Node


@shows_row()
@strawberry.type(description="Who did what to a workflow. Entries are never changed.")
class AuditEntry(Node):
    """Who did what."""

    at: datetime = strawberry.field(description="When it was done.")
    action: str = strawberry.field(description="What was done, such as `draft.edit` or `version.deploy`.")
    subject: strawberry.ID = strawberry.field(description="Global id of what it was done to.")
    details: JSON = strawberry.field(description="What else is worth knowing; no contents and no secrets.")
    request_id: str | None = strawberry.field(description="Finds the request in the logs.")
    row: strawberry.Private[models.AuditEntry]

    @strawberry.field(description="Who did it; null for the system itself.")
    @loaded(lambda loaders: loaders.user, by=lambda entry: entry.row.actor_id)
    def actor(self, found: identity.User) -> User | None:
        """Show who did it."""
        return User.of(found)

    @classmethod
    def of(cls, row: models.AuditEntry) -> Self:
        """Show an entry."""
        return show(cls, row)
