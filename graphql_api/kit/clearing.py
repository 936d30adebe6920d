"""Deleting what has had its time, a batch at a time: a backlog of millions must not be one transaction."""

from collections.abc import Mapping

from sqlalchemy import ColumnElement, literal_column, text
from sqlmodel import SQLModel, delete, select

from graphql_api.kit.database import Database

BATCH = 5000
"""Rows of one transaction."""


async def clear(
    database: Database, model: type[SQLModel], is_due: ColumnElement[bool], *, settings: Mapping[str, str] | None = None
) -> int:
    """Delete the rows of which a condition holds.

    Args:
        database: Where they are.
        model: Their table.
        is_due: The condition; it should have an index.
        settings: Configuration of the database that holds for the transactions.

    Returns:
        How many rows there were.
    """
    address: ColumnElement[object] = literal_column(f"{model.__tablename__}.ctid")
    statement = delete(model).where(address.in_(select(address).where(is_due).limit(BATCH)))
    cleared, batch = 0, BATCH
    while batch == BATCH:
        async with database.transaction() as session:
            for name, value in (settings or {}).items():
                await session.execute(text("SELECT set_config(:name, :value, true)"), {"name": name, "value": value})
            batch = len((await session.execute(statement.returning(address))).all())
        cleared += batch
    return cleared
