"""Calls that a client may repeat: the same key with the same input gives the first result again."""

import hashlib
import json
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlmodel import col

from graphql_api.authoring.errors import IdempotencyMismatch
from graphql_api.authoring.models import IdempotencyKey
from graphql_api.identity.actor import Actor
from graphql_api.kit.clearing import clear
from graphql_api.kit.columns import now
from graphql_api.kit.database import Database
from graphql_api.kit.statements import Statement, Transaction
from graphql_api.kit.texts import checked_text

LIFETIME = timedelta(hours=24)
MAX_KEY_LENGTH = 255

_PATH = ("input", "idempotencyKey")

_LOCK = Statement("SELECT pg_advisory_xact_lock(hashtextextended(:lock, 0))")
_KEPT = Statement("""
    SELECT input_digest, result_id FROM idempotency_keys WHERE user_id = :user AND key = :key AND created_at >= :since
""")
_KEEP = Statement("""
    INSERT INTO idempotency_keys (user_id, key, input_digest, result_id, created_at)
    VALUES (:user, :key, :digest, :result, :moment)
    ON CONFLICT (user_id, key) DO UPDATE
    SET input_digest = excluded.input_digest, result_id = excluded.result_id, created_at = excluded.created_at
""")


class Repeatable:
    """One call with a key; without one, nothing is looked up or kept.

    Args:
        actor: Keys are per user.
        key: 1 to 255 characters, or None.
        operation: The mutation's name.
        arguments: Its input.
    """

    def __init__(self, actor: Actor, key: str | None, operation: str, arguments: dict[str, Any]) -> None:
        self._actor = actor
        self._key = key if key is None else checked_text(key, path=_PATH, minimum=1, maximum=MAX_KEY_LENGTH)
        self._digest = "" if key is None else _digest_of(operation, arguments)

    async def first_result(self, transaction: Transaction) -> UUID | None:
        """Find what the first call made; a call that runs now with the same key is waited for.

        Raises:
            IdempotencyMismatch: When the key was used for another input.
        """
        if self._key is None:
            return None
        user = self._actor.user_id
        await transaction.fetch(_LOCK, lock=f"{user} {self._key}")
        kept = await transaction.fetch(_KEPT, user=user, key=self._key, since=now() - LIFETIME)
        if not kept:
            return None
        if kept[0].input_digest != self._digest:
            raise IdempotencyMismatch("This idempotency key was used for another input. Take a new key.", path=_PATH)
        first: UUID = kept[0].result_id
        return first

    async def keep(self, transaction: Transaction, result_id: UUID) -> None:
        """Keep the result in the call's own transaction."""
        if self._key is not None:
            user, key, digest = self._actor.user_id, self._key, self._digest
            await transaction.fetch(_KEEP, user=user, key=key, digest=digest, result=result_id, moment=now())


async def forget_expired(database: Database) -> int:
    """Delete the keys whose time is over; give how many there were."""
    return await clear(database, IdempotencyKey, col(IdempotencyKey.created_at) < now() - LIFETIME)


def _digest_of(operation: str, arguments: dict[str, Any]) -> str:
    """Digest an input that nobody has checked yet: json, unlike orjson, takes any number and lone surrogates."""
    content = json.dumps([operation, arguments], sort_keys=True)
    return hashlib.sha256(content.encode("ascii")).hexdigest()
