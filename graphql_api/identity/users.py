"""Users: making, finding, disabling them."""

import unicodedata
from collections.abc import Collection, Sequence
from typing import cast
from uuid import UUID

from email_validator import EmailNotValidError, validate_email
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select, update

from graphql_api.identity.models import RefreshToken, User, UserRole
from graphql_api.identity.passwords import MAX_PASSWORD_LENGTH, MIN_PASSWORD_LENGTH, hash_password
from graphql_api.kit.columns import among, columns_of, now, select_rows
from graphql_api.kit.database import Database, Session
from graphql_api.kit.errors import AlreadyExists, Invalid, NotFound
from graphql_api.kit.texts import checked_text, is_storable

MAX_NAME_LENGTH = 200

_user = columns_of(User)
SHOWN = (_user.id, _user.name, _user.email, _user.roles, _user.created_at)
"""What others may see of somebody; nobody reads a password's hash in order to show its owner."""

USERS = select_rows(*SHOWN).where(among(_user.id))


def normal_email(email: str) -> str:
    """Write an e-mail address as it is compared: case does not tell people apart."""
    return unicodedata.normalize("NFC", email.strip()).lower()


async def create(database: Database, *, email: str, name: str, password: str, is_admin: bool = False) -> User:
    """Make a user.

    Args:
        database: Where users are.
        email: Unique, whatever its case.
        name: 1 to 200 characters.
        password: 10 to 1024 characters.
        is_admin: Whether they may act as an owner of every workflow.

    Raises:
        Invalid: When an argument breaks its rule.
        AlreadyExists: When the address is taken.
    """
    try:
        validate_email(email, check_deliverability=False, test_environment=True)
    except EmailNotValidError as error:
        raise Invalid(f"{email!r} is not an e-mail address: {error}", path=["input", "email"]) from error
    name = checked_text(name, path=["input", "name"], minimum=1, maximum=MAX_NAME_LENGTH, is_multiline=False)
    if not MIN_PASSWORD_LENGTH <= len(password) <= MAX_PASSWORD_LENGTH:
        raise Invalid(
            f"A password has {MIN_PASSWORD_LENGTH} to {MAX_PASSWORD_LENGTH} characters.", path=["input", "password"]
        )
    roles = [UserRole.USER.value, UserRole.ADMIN.value] if is_admin else [UserRole.USER.value]
    user = User(email=normal_email(email), name=name, password_hash=await hash_password(password), roles=roles)
    try:
        async with database.transaction() as session:
            session.add(user)
    except IntegrityError as error:
        raise AlreadyExists(f"There is a user {user.email} already.", path=["input", "email"]) from error
    return user


async def disable(database: Database, email: str) -> User:
    """Keep somebody out: their sessions end at once, their open connections within half a minute.

    Raises:
        NotFound: When there is no such user.
    """
    async with database.transaction() as session:
        user = await _held(session, email)
        user.disabled_at = user.disabled_at or now()
        is_theirs = (col(RefreshToken.user_id) == user.id, col(RefreshToken.revoked_at).is_(None))
        await session.execute(update(RefreshToken).where(*is_theirs).values(revoked_at=now()))
    return user


async def enable(database: Database, email: str) -> User:
    """Let somebody sign in again; what was ended stays ended.

    Raises:
        NotFound: When there is no such user.
    """
    async with database.transaction() as session:
        user = await _held(session, email)
        user.disabled_at = None
    return user


async def disabled_among(session: Session, ids: Collection[UUID]) -> set[UUID]:
    """Pick those who may not do anything any more: they are disabled, or gone."""
    return set(ids) - set(await able(session, ids))


async def able(session: Session, user_ids: Collection[UUID]) -> dict[UUID, bool]:
    """Tell, of users who may sign in, whether they are administrators; the others are left out."""
    query = select(User.id, User.roles).where(col(User.id).in_(user_ids), col(User.disabled_at).is_(None))
    return {user_id: UserRole.ADMIN.value in roles for user_id, roles in await session.exec(query)}


async def by_email(session: Session, email: str) -> User | None:
    """Find a user by address, whatever its case."""
    if not is_storable(email):
        return None
    return (await session.exec(select(User).where(User.email == normal_email(email)))).first()


async def all_of(session: Session) -> Sequence[User]:
    """Read everybody, by address."""
    return (await session.exec(select(User).order_by(col(User.email)))).all()


async def by_id(database: Database, user_id: UUID) -> User:
    """Read the user of a key that there is."""
    return cast("User", await database.row(USERS, user_id))


async def _held(session: Session, email: str) -> User:
    """Find a user and lock them, so that no session of theirs begins or goes on meanwhile."""
    query = select(User).where(User.email == normal_email(email)).with_for_update()
    user = (await session.exec(query)).first() if is_storable(email) else None
    if user is None:
        raise NotFound(f"There is no user {email!r}.", path=["email"])
    return user
