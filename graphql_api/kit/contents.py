"""The content store: each text once, under the digest of its bytes."""

from collections.abc import Collection
from typing import Any

from sqlmodel import Field, SQLModel

from graphql_api.kit.files import digest_of
from graphql_api.kit.statements import Statement, Transaction

STORE = """
    INSERT INTO contents (digest, content, size)
    SELECT digest, content, size
    FROM unnest(:digests::text[], :contents::text[], :sizes::int[]) AS new (digest, content, size)
    {condition}
    ORDER BY digest ON CONFLICT DO NOTHING  -- one order for everybody, so that two writers can't deadlock
"""
"""Does what `store` does, as a part of another statement, perhaps on a condition; see `arguments`."""

_STORE = Statement(STORE.format(condition=""))
_LOAD = Statement("SELECT digest, content FROM contents WHERE digest = ANY(:digests::text[])")


class Content(SQLModel, table=True):
    """One text. Rows are written once and never changed."""

    __tablename__ = "contents"

    digest: str = Field(primary_key=True)
    content: str
    size: int


async def store(transaction: Transaction, contents: Collection[str]) -> None:
    """Keep texts; those that are kept already cost nothing."""
    if contents:
        await transaction.fetch(_STORE, **arguments(contents))


def arguments(contents: Collection[str]) -> dict[str, list[Any]]:
    """Give the arguments of `STORE`: the digests, the texts and the sizes of texts, each once."""
    texts = list(dict.fromkeys(contents))
    return {
        "digests": [digest_of(text) for text in texts],
        "contents": texts,
        "sizes": [len(text.encode()) for text in texts],
    }


async def load(transaction: Transaction, digests: Collection[str]) -> dict[str, str]:
    """Read texts by their digests."""
    if not digests:
        return {}
    return {row.digest: row.content for row in await transaction.fetch(_LOAD, digests=list(digests))}
