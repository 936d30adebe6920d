"""The content store: each text once, under the digest of its bytes."""

from collections.abc import Collection, Iterable

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Field, SQLModel, col, select

from graphql_api.kit.database import Session
from graphql_api.kit.files import digest_of

STORE = """
    INSERT INTO contents (digest, content, size)
    SELECT digest, content, size
    FROM unnest({digests}::text[], {contents}::text[], {sizes}::int[]) AS new (digest, content, size)
    WHERE EXISTS (SELECT FROM {condition})
    ORDER BY digest ON CONFLICT DO NOTHING
"""
"""Does what `store` does, as a part of another statement, if a query of it has a row; `columns` gives the arguments."""


class Content(SQLModel, table=True):
    """One text. Rows are written once and never changed."""

    __tablename__ = "contents"

    digest: str = Field(primary_key=True)
    content: str
    size: int


async def store(session: Session, contents: Iterable[str]) -> None:
    """Keep texts; those that are kept already cost nothing."""
    rows = [
        {"digest": digest, "content": content, "size": size}
        for digest, content, size in zip(*columns(contents), strict=True)
    ]
    rows.sort(key=lambda row: str(row["digest"]))  # one order for everybody, so that two writers can't deadlock
    if rows:
        await session.execute(insert(Content).on_conflict_do_nothing(), rows)


def columns(contents: Iterable[str]) -> tuple[list[str], list[str], list[int]]:
    """Give the digests, the texts and the sizes of texts, each once."""
    texts = list(dict.fromkeys(contents))
    return [digest_of(text) for text in texts], texts, [len(text.encode()) for text in texts]


async def load(session: Session, digests: Collection[str]) -> dict[str, str]:
    """Read texts by their digests."""
    if not digests:
        return {}
    rows = await session.exec(select(Content.digest, Content.content).where(col(Content.digest).in_(digests)))
    return dict(rows.all())
