"""Who sends a request."""

from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from starlette.requests import HTTPConnection
from structlog.contextvars import bind_contextvars

from graphql_api.context import Context, Engines
from graphql_api.identity.sessions import authenticate, check_enabled
from graphql_api.kit.errors import Unauthenticated

_BEARER = "bearer "
_SUBNET_BITS = 64
_MAX_ADDRESS_LENGTH = 64
"""What is longer is none, with its zone too, and is not remembered."""


async def signed_in(engines: Engines, authorization: str | None, *, address: str = "") -> Context:
    """Make the context of a request that came with these credentials, or with none.

    Args:
        engines: What the process has one of.
        authorization: `Bearer <access token>`, or the token alone.
        address: From `address_of`.
    """
    if not authorization:
        return Context(engines, address=address)
    is_bearer = authorization[: len(_BEARER)].lower() == _BEARER
    token = authorization[len(_BEARER) :] if is_bearer else authorization
    try:
        actor, expires_at = await authenticate(engines.database, engines.keys, token.strip(), provider=engines.provider)
    except Unauthenticated as error:
        return Context(engines, address=address, refusal=error)
    bind_contextvars(user_id=str(actor.user_id))
    return Context(engines, signed_in=actor, expires_at=expires_at, address=address)


async def for_operation(connection: Context) -> Context:
    """Make the context of one more operation on a connection, whose user may have been disabled meanwhile."""
    context = connection.for_operation()
    if context.signed_in is not None:
        try:
            await check_enabled(context.database, context.signed_in)
        except Unauthenticated as error:
            context.refusal = error
    return context


def address_of(connection: HTTPConnection) -> str:
    """Tell where a request comes from: an IPv4 address, or the network of an IPv6 one, all of which one caller has."""
    host = connection.client.host if connection.client is not None else ""
    return _network_of(host) if len(host) <= _MAX_ADDRESS_LENGTH else host


@lru_cache(maxsize=1024)
def _network_of(host: str) -> str:
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return f"{IPv6Address(int(address) >> _SUBNET_BITS << _SUBNET_BITS)}/{128 - _SUBNET_BITS}"
