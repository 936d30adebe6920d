"""Queries about who asks."""

import strawberry

from graphql_api.identity import users
from graphql_api.identity.types import IdentityContext, User


@strawberry.type
class IdentityQueries:
    """Queries about who asks."""

    @strawberry.field(description="Who is signed in. Anonymous callers get the error `UNAUTHENTICATED`.")
    async def viewer(self, info: strawberry.Info[IdentityContext, None]) -> User:
        """Show who asks."""
        return User.of(await users.by_id(info.context.database, info.context.actor.user_id))
