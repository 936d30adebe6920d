"""The content store: each text once, under the digest of its bytes."""

from collections.abc import Collection, Iterable

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Field, SQLModel, col, select

from graphql_api.kit.database import Session
from graphql_api.kit.files import digest_of


class Content(SQLModel, table=True):
    """One text. Rows are written once and never changed."""

    __tablename__ = "contents"

    digest: str = Field(primary_key=True)
    content: str
    size: int


async def store(session: Session, contents: Iterable[str]) -> None:
    """Keep texts; those that are kept already cost nothing."""
    rows = [
        {"digest": digest_of(content), "content": content, "size": len(content.encode())}
        for content in dict.fromkeys(contents)
    ]
    rows.sort(key=lambda row: str(row["digest"]))  # one order for everybody, so that two writers can't deadlock
    if rows:
        await session.execute(insert(Content).on_conflict_do_nothing(), rows)


async def load(session: Session, digests: Collection[str]) -> dict[str, str]:
    """Read texts by their digests."""
    if not digests:
        return {}
    rows = await session.exec(select(Content.digest, Content.content).where(col(Content.digest).in_(digests)))
    return dict(rows.all())
