"""Users whom an outside identity provider vouches for."""

import hashlib
import unicodedata
from contextlib import suppress

from sqlalchemy.exc import IntegrityError
from sqlmodel import col, exists, select

from graphql_api.identity import users
from graphql_api.identity.models import OutsideIdentity, User
from graphql_api.identity.outside_tokens import Stranger
from graphql_api.kit.database import Database, Session

_RACES = 2
"""Of two first requests at once, the later finds the earlier's rows when it looks again."""

_UNVERIFIED_DOMAIN = "unverified.invalid"
"""Of the addresses of those whose provider verified none; no message can reach it (RFC 2606)."""

_UNNAMED = "Unnamed"


async def user_of(database: Database, stranger: Stranger) -> User:
    """Find the user behind an outside identity, or make one at first sight.

    The pair of issuer and subject alone tells who somebody is. At first sight a *verified* address may lead to an
    account that has no identity of this provider yet: whoever gets an address later does not get its former owner's
    account with it, and an address that nobody verified leads nowhere and is not kept.
    """
    for _ in range(_RACES):
        with suppress(IntegrityError):
            return await _known_or_joined(database, stranger)
    return await _known_or_joined(database, stranger)


async def _known_or_joined(database: Database, stranger: Stranger) -> User:
    async with database.transaction() as session:
        return await _known(session, stranger) or await _join(session, stranger)


async def _known(session: Session, stranger: Stranger) -> User | None:
    is_it = (OutsideIdentity.issuer == stranger.issuer, OutsideIdentity.subject == stranger.subject)
    return (await session.exec(select(User).join(OutsideIdentity).where(*is_it))).first()


async def _join(session: Session, stranger: Stranger) -> User:
    user = await _matching(session, stranger)
    if user is None:
        email = await _free_email(session, stranger)
        user = User(email=email, name=_name(stranger), password_hash=None)
        session.add(user)
        await session.flush()
    session.add(OutsideIdentity(issuer=stranger.issuer, subject=stranger.subject, user_id=user.id))
    await session.flush()
    return user


async def _matching(session: Session, stranger: Stranger) -> User | None:
    user = None if stranger.email is None else await users.by_email(session, stranger.email)
    if user is None:
        return None
    is_taken = (col(OutsideIdentity.user_id) == user.id, col(OutsideIdentity.issuer) == stranger.issuer)
    return None if (await session.exec(select(exists().where(*is_taken)))).one() else user


async def _free_email(session: Session, stranger: Stranger) -> str:
    """Give the verified address, unless somebody has it; then one that is nobody's."""
    if stranger.email is not None and await users.by_email(session, stranger.email) is None:
        return users.normal_email(stranger.email)
    digest = hashlib.sha256(f"{stranger.issuer}\n{stranger.subject}".encode()).hexdigest()
    return f"{digest[:32]}@{_UNVERIFIED_DOMAIN}"


def _name(stranger: Stranger) -> str:
    name = unicodedata.normalize("NFC", stranger.name or "").strip()[: users.MAX_NAME_LENGTH]
    return name if name.isprintable() and name else (stranger.email or _UNNAMED).partition("@")[0]
