"""GraphQL types of who may do what with a workflow, and who does it now."""

from datetime import datetime
from uuid import UUID

import strawberry

from graphql_api.authoring.types.enums import AccessRole
from graphql_api.authoring.types.loading import loaded
from graphql_api.identity import models
from graphql_api.identity.types import User


@strawberry.type(description="Somebody's role in a workflow.")
class WorkflowMember:
    """Somebody's role in a workflow."""

    role: AccessRole = strawberry.field(description="What they may do.")
    since: datetime = strawberry.field(description="When they were given this role.")
    user_id: strawberry.Private[UUID]

    @strawberry.field(description="Who it is.")
    @loaded(lambda loaders: loaders.user, by=lambda member: member.user_id)
    def user(self, found: models.User) -> User:
        """Show who it is."""
        return User.of(found)


@strawberry.type(description="The right to edit a workflow alone, for some time.")
class WorkflowLock:
    """The right to edit a workflow alone."""

    acquired_at: datetime = strawberry.field(description="When it was taken.")
    expires_at: datetime = strawberry.field(description="When it ends, unless its holder renews it.")
    holder_id: strawberry.Private[UUID]

    @strawberry.field(description="Who holds it.")
    @loaded(lambda loaders: loaders.user, by=lambda lock: lock.holder_id)
    def holder(self, found: models.User) -> User:
        """Show who holds it."""
        return User.of(found)
