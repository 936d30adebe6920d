"""Sessions: signing in, going on, signing out."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlmodel import col, select, update

from graphql_api.identity import users
from graphql_api.identity.actor import Actor
from graphql_api.identity.errors import InvalidCredentials
from graphql_api.identity.models import RefreshToken, User, UserRole
from graphql_api.identity.outside_tokens import IdentityProvider
from graphql_api.identity.outside_users import user_of
from graphql_api.identity.passwords import matches
from graphql_api.identity.tokens import TokenKeys
from graphql_api.kit.clearing import clear
from graphql_api.kit.columns import among, columns_of, now, select_rows
from graphql_api.kit.conflicts import tried_again
from graphql_api.kit.database import Database, Session
from graphql_api.kit.errors import Unauthenticated

REFRESH_TOKEN_LIFETIME = timedelta(days=30)
_REFRESH_TOKEN_BYTES = 32

_user = columns_of(User)
_USERS = select_rows(_user.id, _user.roles, _user.disabled_at).where(among(_user.id))

DISABLED = "This account can't sign in."
"""What somebody is told who is disabled, or gone."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """What a client needs to act for a user.

    Attributes:
        access_token: For the `Authorization` header; lives 15 minutes.
        refresh_token: For one use of `refresh`; lives 30 days.
        expires_at: When the access token expires.
    """

    access_token: str
    refresh_token: str
    expires_at: datetime
    user: User


@tried_again
async def login(database: Database, keys: TokenKeys, *, email: str, password: str) -> SignedIn:
    """Sign in with a password; an unknown address costs the same time as a wrong password.

    Raises:
        InvalidCredentials: When they do not match, or the user is disabled.
    """
    async with database.transaction() as session:
        user = await users.by_email(session, email)
    refusal = InvalidCredentials("The e-mail address or the password is not right.", path=["input"])
    if not await matches(password, user.password_hash if user else None) or user is None:
        raise refusal
    async with database.transaction() as session:
        held = await session.get(User, user.id, with_for_update={"key_share": True})
        if held is None or held.disabled_at:
            raise refusal
        return await _issue(session, keys, held, family_id=uuid4())


@tried_again
async def refresh(database: Database, keys: TokenKeys, *, refresh_token: str) -> SignedIn:
    """Exchange a refresh token for a new session.

    A token that comes a second time was stolen or replayed, so its whole family is revoked.

    Raises:
        InvalidCredentials: When the token is unknown, expired, revoked or used.
    """
    refusal = InvalidCredentials("The refresh token is not valid, or no longer. Sign in again.", path=["input"])
    async with database.transaction() as session:
        found = await _find(session, refresh_token)
        if found is None:
            raise refusal
        token, user = found
        is_usable = not (token.revoked_at or token.used_at or user.disabled_at) and token.expires_at > now()
        if is_usable:
            token.used_at = now()
            return await _issue(session, keys, user, family_id=token.family_id)
        if token.used_at:
            await _revoke_family(session, token.family_id)
    raise refusal


@tried_again
async def logout(database: Database, *, refresh_token: str) -> None:
    """Revoke a refresh token and all that descend from the same sign-in; an unknown one is no error."""
    async with database.transaction() as session:
        found = await _find(session, refresh_token)
        if found is not None:
            await _revoke_family(session, found[0].family_id)


async def forget_expired(database: Database) -> int:
    """Delete the refresh tokens that have expired, used or not; give how many there were."""
    return await clear(database, RefreshToken, col(RefreshToken.expires_at) < now())


async def authenticate(
    database: Database, keys: TokenKeys, access_token: str, *, provider: IdentityProvider | None = None
) -> tuple[Actor, datetime]:
    """Tell who acts with an access token, and until when it holds.

    Args:
        database: Where users are.
        keys: That sign our own tokens.
        access_token: Ours, or the provider's.
        provider: Who else issues tokens.

    Raises:
        Unauthenticated: When the token is not valid, or its user is gone or disabled.
    """
    if provider is not None and provider.takes(access_token):
        stranger = await provider.verify(access_token)
        user: User | None = await user_of(database, stranger)
        expires_at = stranger.expires_at
    else:
        user_id, expires_at = keys.verify(access_token)
        user = await database.row(_USERS, user_id)
    if user is None or user.disabled_at:
        raise Unauthenticated(DISABLED)
    return Actor(user.id, is_admin=UserRole.ADMIN.value in user.roles), expires_at


async def check_enabled(database: Database, actor: Actor) -> None:
    """Check that somebody who is signed in for a while may still be.

    Raises:
        Unauthenticated: When they are gone or disabled.
    """
    user = await database.row(_USERS, actor.user_id)
    if user is None or user.disabled_at:
        raise Unauthenticated(DISABLED)


async def _issue(session: Session, keys: TokenKeys, user: User, *, family_id: UUID) -> SignedIn:
    issued_at = now()
    refresh_token = secrets.token_urlsafe(_REFRESH_TOKEN_BYTES)
    session.add(
        RefreshToken(
            family_id=family_id,
            user_id=user.id,
            token_hash=_hash(refresh_token),
            created_at=issued_at,
            expires_at=issued_at + REFRESH_TOKEN_LIFETIME,
        )
    )
    access_token, expires_at = keys.issue(user.id, issued_at)
    return SignedIn(access_token, refresh_token, expires_at, user)


async def _find(session: Session, refresh_token: str) -> tuple[RefreshToken, User] | None:
    """Find a token, once its user is locked: a lock of the token alone would let a revoked family's child be born."""
    is_it = RefreshToken.token_hash == _hash(refresh_token)
    its_user = select(User).join(RefreshToken).where(is_it).with_for_update(of=User, key_share=True)
    user = (await session.exec(its_user)).first()
    token = (await session.exec(select(RefreshToken).where(is_it))).first()
    return (token, user) if token is not None and user is not None else None


async def _revoke_family(session: Session, family_id: UUID) -> None:
    family = (col(RefreshToken.family_id) == family_id, col(RefreshToken.revoked_at).is_(None))
    await session.execute(update(RefreshToken).where(*family).values(revoked_at=now()))


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="replace")).digest()
