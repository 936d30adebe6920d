"""GraphQL types of users and sessions."""

from datetime import datetime
from typing import Protocol, Self

import strawberry

from graphql_api.identity import models
from graphql_api.identity.actor import Actor
from graphql_api.identity.errors import InvalidCredentials
from graphql_api.identity.models import UserRole
from graphql_api.identity.sessions import SignedIn
from graphql_api.identity.tokens import TokenKeys
from graphql_api.kit.database import Database
from graphql_api.kit.rates import Rates
from graphql_api.kit.showing import show, shows_row
from graphql_api.kit.types import Node, UserError, base_fields, described_enum, user_error

described_enum(
    UserRole,
    "What somebody may do in the whole system, beside their roles in workflows.",
    {
        "USER": "May sign in and make workflows.",
        "ADMIN": "May act as an owner of every workflow.",
    },
)


class IdentityEngines(Protocol):
    """What identity's resolvers need of the process."""

    keys: TokenKeys
    rates: Rates


class IdentityContext(Protocol):
    """What identity's resolvers need of a request."""

    engines: IdentityEngines
    address: str

    @property
    def actor(self) -> Actor:
        """Who asks."""
        ...

    @property
    def database(self) -> Database:
        """The database."""
        ...


@shows_row(roles=lambda user: [UserRole(role) for role in user.row.roles])
@strawberry.type(description="Somebody who can sign in.")
class User(Node):
    """Somebody who can sign in."""

    name: str = strawberry.field(description="How people call them.")
    email: str = strawberry.field(description="Their e-mail address, in lower case.")
    roles: list[UserRole] = strawberry.field(description="What they may do in the whole system.")
    created_at: datetime = strawberry.field(description="When the account was made.")
    row: strawberry.Private[models.User]

    @classmethod
    def of(cls, row: models.User) -> Self:
        """Show a user."""
        return show(cls, row)


@strawberry.type(description="What a client needs to act for a user.")
class Session:
    """What a client needs to act for a user."""

    access_token: str = strawberry.field(
        description="Send it as `Authorization: Bearer …`, and over WebSocket in the payload of `connection_init`. "
        "Lives 15 minutes."
    )
    refresh_token: str = strawberry.field(
        description="For one call of `refreshSession`. Lives 30 days. Keep it as you would a password."
    )
    expires_at: datetime = strawberry.field(description="When the access token expires.")
    user: User = strawberry.field(description="Who is signed in.")

    @classmethod
    def of(cls, signed_in: SignedIn) -> Self:
        """Show a sign-in."""
        return cls(
            access_token=signed_in.access_token,
            refresh_token=signed_in.refresh_token,
            expires_at=signed_in.expires_at,
            user=User.of(signed_in.user),
        )


@strawberry.type(description="The e-mail address, password or refresh token is not right; which one is not told.")
class InvalidCredentialsError(UserError):
    """Signing in was refused."""


@user_error.register
def _(error: InvalidCredentials) -> UserError:
    return InvalidCredentialsError(**base_fields(error))
