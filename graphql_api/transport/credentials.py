"""Who sends a request."""

from graphql_api.context import Context, Engines
from graphql_api.identity.sessions import authenticate, check_enabled
from graphql_api.kit.errors import Unauthenticated

_BEARER = "bearer "


async def signed_in(engines: Engines, authorization: str | None) -> Context:
    """Make the context of a request that came with these credentials, or with none.

    Args:
        engines: What the process has one of.
        authorization: `Bearer <access token>`, or the token alone.
    """
    if not authorization:
        return Context(engines)
    is_bearer = authorization[: len(_BEARER)].lower() == _BEARER
    token = authorization[len(_BEARER) :] if is_bearer else authorization
    try:
        actor, expires_at = await authenticate(engines.database, engines.keys, token.strip())
    except Unauthenticated as error:
        return Context(engines, refusal=error)
    return Context(engines, signed_in=actor, expires_at=expires_at)


async def for_operation(connection: Context) -> Context:
    """Make the context of one more operation on a connection, whose user may have been disabled meanwhile."""
    context = connection.for_operation()
    if context.signed_in is not None:
        try:
            await check_enabled(context.database, context.signed_in)
        except Unauthenticated as error:
            context.refusal = error
    return context
