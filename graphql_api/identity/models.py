"""Tables of users and their sessions."""

from datetime import datetime
from enum import Enum
from uuid import UUID, uuid4

from sqlalchemy import ARRAY, Index, LargeBinary, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from graphql_api.kit.columns import timestamp


class UserRole(Enum):
    """What somebody may do in the whole system, beside their roles in workflows."""

    USER = "USER"
    ADMIN = "ADMIN"


class User(SQLModel, table=True):
    """Somebody who can sign in.

    Attributes:
        email: In lower case; unique.
        password_hash: Argon2id in PHC form; None for those who sign in elsewhere.
        roles: Values of `UserRole`.
        disabled_at: Since when they can't sign in.
    """

    __tablename__ = "users"

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    email: str = Field(unique=True)
    name: str
    password_hash: str | None
    roles: list[str] = Field(default_factory=lambda: [UserRole.USER.value], sa_type=ARRAY(Text))
    created_at: datetime = timestamp()
    disabled_at: datetime | None = timestamp(default=None)


class RefreshToken(SQLModel, table=True):
    """One refresh token of a family: each may be used once, and a second use revokes the family.

    Attributes:
        token_hash: SHA-256 of the token: a copy of the table signs nobody in.
        family_id: The sign-in that it descends from.
    """

    __tablename__ = "refresh_tokens"
    __table_args__ = (
        Index("refresh_tokens_family", "family_id"),
        Index("refresh_tokens_user", "user_id"),
        Index("refresh_tokens_expiry", "expires_at"),
    )

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    family_id: UUID
    user_id: UUID = Field(foreign_key="users.id")
    token_hash: bytes = Field(sa_type=LargeBinary, unique=True)
    created_at: datetime = timestamp()
    expires_at: datetime = timestamp()
    used_at: datetime | None = timestamp(default=None)
    revoked_at: datetime | None = timestamp(default=None)


class OutsideIdentity(SQLModel, table=True):
    """Who somebody is for an outside identity provider; one user has at most one identity of each.

    Attributes:
        issuer: The provider.
        subject: Whom it means; it never gives a subject to somebody else.
    """

    __tablename__ = "outside_identities"
    __table_args__ = (UniqueConstraint("user_id", "issuer"),)

    issuer: str = Field(primary_key=True)
    subject: str = Field(primary_key=True)
    user_id: UUID = Field(foreign_key="users.id")
    created_at: datetime = timestamp()
