"""Users for tests."""

from typing import Protocol

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from graphql_api.identity.models import User

PASSWORD = "correct horse battery staple"
"""The password of everybody that `make_user` makes."""

PASSWORD_HASH = PasswordHash((Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1),)).hash(PASSWORD)
"""A real hash, and a cheap one: a login in a test takes a millisecond."""


class MakeUser(Protocol):
    """The type of the fixture `make_user`."""

    async def __call__(self, *, name: str = "Ada", is_admin: bool = False) -> User:
        """Make a user with an e-mail address that nobody else has."""
        ...
