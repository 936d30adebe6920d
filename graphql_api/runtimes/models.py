"""Tables of executions: the order to run an agent, its lease, and the files as the agent left them."""

from datetime import datetime
from enum import Enum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from graphql_api.kit.columns import enumeration, timestamp
from graphql_api.kit.files import FileType


class ExecutionState(Enum):
    """How far an execution is. The row is its own job."""

    QUEUED = "QUEUED"
    """To be claimed by a worker."""
    RUNNING = "RUNNING"
    """A worker holds the lease, or held it when it died."""
    ENDED = "ENDED"
    """Its log is closed."""
    TO_FORGET = "TO_FORGET"
    """The runtime is to be asked to stop it, if it runs, and to drop the thread."""
    FORGOTTEN = "FORGOTTEN"
    """Nothing is left to do."""


class Execution(SQLModel, table=True):
    """Our side of one thread: outbox, queue and lease in one row.

    Attributes:
        id: Also the subject of its log.
        request: Prompt, context path and context selection.
        due_at: When a worker may claim it.
        attempts: How often it was claimed without success.
        epoch: Counts claims: what an older one writes is refused.
        lease_owner: Number of the worker that holds the lease; its session lock tells that it lives.
        handle: What the adapter needs to find the thread again.
        traceparent: The trace that it was ordered in, as W3C Trace Context writes it; None when nobody traces.
        frames_ingested: Frames whose events are stored; a replay skips as many.
    """

    __tablename__ = "executions"
    __table_args__ = (
        Index("executions_due", "due_at", postgresql_where=text("state IN ('QUEUED', 'RUNNING', 'TO_FORGET')")),
    )

    id: UUID = Field(primary_key=True, foreign_key="event_logs.subject_id")
    state: ExecutionState = enumeration(ExecutionState, default=ExecutionState.QUEUED)
    request: dict[str, Any] = Field(sa_type=JSONB)
    due_at: datetime = timestamp()
    attempts: int = 0
    epoch: int = Field(default=0, sa_type=BigInteger)
    lease_owner: int | None = None
    lease_expires_at: datetime | None = timestamp(default=None)
    runtime: str | None = None
    thread_id: str | None = None
    handle: dict[str, Any] = Field(default_factory=dict, sa_type=JSONB)
    frames_ingested: int = Field(default=0, sa_type=BigInteger)
    input_tokens: int = Field(default=0, sa_type=BigInteger)
    output_tokens: int = Field(default=0, sa_type=BigInteger)
    traceparent: str | None = None
    created_at: datetime = timestamp()
    started_at: datetime | None = timestamp(default=None)
    ended_at: datetime | None = timestamp(default=None)


class ExecutionFile(SQLModel, table=True):
    """A file as it was in a range of the log: from one event up to, and without, another.

    Attributes:
        from_sequence: The event that brought this content; 0 for what the agent was given.
        to_sequence: The event that replaced or deleted it; None while it stands.
    """

    __tablename__ = "execution_files"
    __table_args__ = (
        Index(
            "execution_files_current", "execution_id", "path", unique=True, postgresql_where=text("to_sequence IS NULL")
        ),
    )

    execution_id: UUID = Field(primary_key=True, foreign_key="executions.id")
    path: str = Field(primary_key=True)
    from_sequence: int = Field(primary_key=True, sa_type=BigInteger)
    to_sequence: int | None = Field(default=None, sa_type=BigInteger)
    type: FileType = enumeration(FileType)
    digest: str = Field(foreign_key="contents.digest")
    size: int
    updated_at: datetime = timestamp()
