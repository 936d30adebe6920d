"""Mutations that sign in and out."""

import strawberry

from graphql_api.identity import sessions
from graphql_api.identity.attempts import attempt
from graphql_api.identity.types import IdentityContext, Session
from graphql_api.kit.mutations import ErrorsAsData
from graphql_api.kit.types import UserError

Info = strawberry.Info[IdentityContext, None]

_ERRORS = "Why nothing happened; empty on success."


@strawberry.input(description="Who signs in.")
class LoginInput:
    """Who signs in."""

    email: str = strawberry.field(description="Their e-mail address, in any case.")
    password: str = strawberry.field(description="Their password, 10 to 1024 characters.")


@strawberry.type(description="The result of `login`.")
class LoginPayload:
    """The result of `login`."""

    session: Session | None = strawberry.field(default=None, description="Null when it was refused.")
    errors: list[UserError] = strawberry.field(default_factory=list, description=_ERRORS)


@strawberry.input(description="Which session goes on.")
class RefreshSessionInput:
    """Which session goes on."""

    refresh_token: str = strawberry.field(
        description="From the last `login` or `refreshSession`. It can be used once: a second use ends the session."
    )


@strawberry.type(description="The result of `refreshSession`.")
class RefreshSessionPayload:
    """The result of `refreshSession`."""

    session: Session | None = strawberry.field(default=None, description="Null when it was refused.")
    errors: list[UserError] = strawberry.field(default_factory=list, description=_ERRORS)


@strawberry.input(description="Which session ends.")
class LogoutInput:
    """Which session ends."""

    refresh_token: str = strawberry.field(description="From the last `login` or `refreshSession`.")


@strawberry.type(description="The result of `logout`.")
class LogoutPayload:
    """The result of `logout`."""

    logged_out: bool = strawberry.field(
        default=False, description="True also for a token that was not valid any more: nobody is signed in with it."
    )
    errors: list[UserError] = strawberry.field(default_factory=list, description=_ERRORS)


@strawberry.type
class IdentityMutations:
    """Mutations that sign in and out."""

    @strawberry.mutation(
        extensions=[ErrorsAsData(LoginPayload)],
        description="Sign in with a password. Errors: `InvalidCredentialsError`. Who fails again and again gets "
        "`RATE_LIMITED` at the top level, and waits longer and longer.",
    )
    async def login(self, info: Info, input: LoginInput) -> LoginPayload:  # noqa: A002 - the argument's GraphQL name
        """Sign in."""
        context = info.context
        async with attempt(context.engines.rates, email=input.email, address=context.address):
            signed_in = await sessions.login(
                context.database, context.engines.keys, email=input.email, password=input.password
            )
        return LoginPayload(session=Session.of(signed_in))

    @strawberry.mutation(
        extensions=[ErrorsAsData(RefreshSessionPayload)],
        description="Exchange a refresh token for a new session. Errors: `InvalidCredentialsError`.",
    )
    async def refresh_session(
        self,
        info: Info,
        input: RefreshSessionInput,  # noqa: A002 - the argument's GraphQL name
    ) -> RefreshSessionPayload:
        """Go on with a session."""
        context = info.context
        signed_in = await sessions.refresh(context.database, context.engines.keys, refresh_token=input.refresh_token)
        return RefreshSessionPayload(session=Session.of(signed_in))

    @strawberry.mutation(
        extensions=[ErrorsAsData(LogoutPayload)],
        description="End a session: its refresh token works no more. The access token lives on until it expires.",
    )
    async def logout(self, info: Info, input: LogoutInput) -> LogoutPayload:  # noqa: A002 - the argument's GraphQL name
        """Sign out."""
        await sessions.logout(info.context.database, refresh_token=input.refresh_token)
        return LogoutPayload(logged_out=True)
