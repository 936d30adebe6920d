"""Tables of the log."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Index, LargeBinary, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from graphql_api.kit.columns import timestamp


class Log(SQLModel, table=True):
    """The head of one subject's log: its row lock orders the writers.

    Attributes:
        epoch: Fencing token: an append that carries an older one writes nothing.
        is_closed: A terminal event was appended, so nothing may follow.
    """

    __tablename__ = "event_logs"

    subject_id: UUID = Field(primary_key=True)
    last_sequence: int = Field(default=0, sa_type=BigInteger)
    epoch: int = Field(default=0, sa_type=BigInteger)
    is_closed: bool = False
    created_at: datetime = timestamp()


class Event(SQLModel, table=True):
    """One event. Rows are written once and never changed, and go only into a chunk."""

    __tablename__ = "events"
    __table_args__ = (
        Index("events_one_terminal", "subject_id", unique=True, postgresql_where=text("is_terminal")),
        Index("events_ended", "occurred_at", postgresql_where=text("is_terminal")),
    )

    subject_id: UUID = Field(primary_key=True, foreign_key="event_logs.subject_id")
    sequence: int = Field(primary_key=True, sa_type=BigInteger)
    type: str
    payload: dict[str, Any] = Field(sa_type=JSONB)
    is_terminal: bool = False
    occurred_at: datetime = timestamp()


class EventChunk(SQLModel, table=True):
    """Consecutive events of a closed log, compressed. Rows are written once and never changed.

    Attributes:
        events: In order, each as `[sequence, type, payload, occurred_at, is_terminal]`: JSON, packed by zlib.
    """

    __tablename__ = "event_chunks"

    subject_id: UUID = Field(primary_key=True, foreign_key="event_logs.subject_id")
    first_sequence: int = Field(primary_key=True, sa_type=BigInteger)
    last_sequence: int = Field(sa_type=BigInteger)
    events: bytes = Field(sa_type=LargeBinary)
