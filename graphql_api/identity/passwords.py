"""Password hashes: argon2id, in threads, since one takes tens of milliseconds by design."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from pwdlib import PasswordHash
from pwdlib.exceptions import UnknownHashError
from pwdlib.hashers.argon2 import Argon2Hasher

MIN_PASSWORD_LENGTH = 10
"""Characters of a new password."""

MAX_PASSWORD_LENGTH = 1024
"""Characters; a longer one is refused unread, since hashing costs by length."""

_THREADS = ThreadPoolExecutor(4, thread_name_prefix="passwords")
"""So few that a flood of sign-ins takes neither the memory (64 MiB each) nor the threads of anything else."""

_hashing = PasswordHash((Argon2Hasher(),))

_NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$x6neBQVoquxKoLc9svXb/g$prMiI3G1Kxu5O9VFwv4ErxAFL5VHBPeA5fhUiKR44jQ"
"""Of a random password; made once and for all, since a hash would take every process a fifth of a second to start."""


async def hash_password(password: str) -> str:
    """Hash a new password with a salt of its own."""
    return await asyncio.get_running_loop().run_in_executor(_THREADS, _hashing.hash, password)


async def matches(password: str, password_hash: str | None) -> bool:
    """Compare a password with a hash; with None (no account, or none with a password) it works as hard, for False."""
    if len(password) > MAX_PASSWORD_LENGTH:
        return False
    try:
        is_right = await asyncio.get_running_loop().run_in_executor(
            _THREADS, _hashing.verify, password, password_hash or _NOBODY
        )
    except (UnknownHashError, UnicodeEncodeError):
        return False
    return is_right and password_hash is not None
