"""Calls that a client may repeat: the same key with the same input gives the first result again."""

import hashlib
import json
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from graphql_api.authoring.errors import IdempotencyMismatch
from graphql_api.authoring.models import IdempotencyKey
from graphql_api.identity.actor import Actor
from graphql_api.kit.clearing import clear
from graphql_api.kit.columns import now
from graphql_api.kit.database import Database, Session
from graphql_api.kit.texts import checked_text

LIFETIME = timedelta(hours=24)
MAX_KEY_LENGTH = 255

_PATH = ("input", "idempotencyKey")


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

    async def first_result(self, session: Session) -> UUID | None:
        """Find what the first call made; a call that runs now with the same key is waited for.

        Raises:
            IdempotencyMismatch: When the key was used for another input.
        """
        if self._key is None:
            return None
        lock = "SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"
        await session.execute(text(lock), {"key": f"{self._actor.user_id} {self._key}"})
        kept = await session.get(IdempotencyKey, (self._actor.user_id, self._key))
        if kept is None or kept.created_at < now() - LIFETIME:
            return None
        if kept.input_digest != self._digest:
            raise IdempotencyMismatch("This idempotency key was used for another input. Take a new key.", path=_PATH)
        return kept.result_id

    async def keep(self, session: Session, result_id: UUID) -> None:
        """Keep the result in the call's own transaction."""
        if self._key is None:
            return
        values = {"input_digest": self._digest, "result_id": result_id, "created_at": now()}
        statement = insert(IdempotencyKey).values(user_id=self._actor.user_id, key=self._key, **values)
        await session.execute(statement.on_conflict_do_update(index_elements=["user_id", "key"], set_=values))


async def forget_expired(database: Database) -> int:
    """Delete the keys whose time is over; give how many there were."""
    return await clear(database, IdempotencyKey, col(IdempotencyKey.created_at) < now() - LIFETIME)


def _digest_of(operation: str, arguments: dict[str, Any]) -> str:
    """Digest an input that nobody has checked yet: json, unlike orjson, takes any number and lone surrogates."""
    content = json.dumps([operation, arguments], sort_keys=True)
    return hashlib.sha256(content.encode("ascii")).hexdigest()
