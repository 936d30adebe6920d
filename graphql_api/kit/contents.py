"""The content store: each text once, under the digest of its bytes."""

from collections.abc import Collection
from typing import Any

from sqlmodel import Field, SQLModel

from graphql_api.kit.columns import among, columns_of, select_rows
from graphql_api.kit.files import digest_of
from graphql_api.kit.statements import Rows

STORE = """
    INSERT INTO contents (digest, content, size)
    SELECT digest, content, size
    FROM unnest(:digests::text[], :contents::text[], :sizes::int[]) AS new (digest, content, size)
    {condition}
    ORDER BY digest ON CONFLICT DO NOTHING  -- one order for everybody, so that two writers can't deadlock
"""
"""Keeps texts, as a part of another statement, perhaps on a condition; those that are kept already cost nothing."""


class Content(SQLModel, table=True):
    """One text. Rows are written once and never changed."""

    __tablename__ = "contents"

    digest: str = Field(primary_key=True)
    content: str
    size: int


_content = columns_of(Content)
TEXTS = select_rows(_content.digest, _content.content).where(among(_content.digest))
"""Texts by their digests, which are the parameter `ids`."""


def arguments(contents: Collection[str]) -> dict[str, list[Any]]:
    """Give the arguments of `STORE`: the digests, the texts and the sizes of texts, each once."""
    texts = list(dict.fromkeys(contents))
    return {
        "digests": [digest_of(text) for text in texts],
        "contents": texts,
        "sizes": [len(text.encode()) for text in texts],
    }


async def load(reader: Rows, digests: Collection[str]) -> dict[str, str]:
    """Read texts by their digests."""
    return dict(await reader.rows(TEXTS, ids=list(digests))) if digests else {}
