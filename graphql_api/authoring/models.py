"""Tables of the product."""

from datetime import datetime
from enum import Enum
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ARRAY, ForeignKeyConstraint, Index, Text, UniqueConstraint, desc, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from graphql_api.kit.columns import enumeration, timestamp
from graphql_api.kit.errors import ErrorCode
from graphql_api.kit.files import FileType


class AccessRole(Enum):
    """What somebody may do with one workflow; each role may all that the ones before it may."""

    VIEWER = "VIEWER"
    EDITOR = "EDITOR"
    OWNER = "OWNER"


class DraftStatus(Enum):
    """What the authors say of their draft."""

    IN_PROGRESS = "IN_PROGRESS"
    READY_TO_PUBLISH = "READY_TO_PUBLISH"
    ABANDONED = "ABANDONED"


class VersionStatus(Enum):
    """Whether a version is still recommended."""

    PUBLISHED = "PUBLISHED"
    DEPRECATED = "DEPRECATED"


class ProposalStatus(Enum):
    """How far a proposal is."""

    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    APPROVED = "APPROVED"
    REJECTED = "REJECTED"
    SUPERSEDED = "SUPERSEDED"
    EXPIRED = "EXPIRED"


class Workflow(SQLModel, table=True):
    """A team's agent workflow. Its row lock orders all that changes it; its id is the subject of its log.

    Attributes:
        production_version_number: The deployed version; a foreign key keeps it within the same workflow.
        deleted_at: Since when nobody sees it; its versions and logs stay for the record.
    """

    __tablename__ = "workflows"
    __table_args__ = (
        ForeignKeyConstraint(
            ["id", "production_version_number"],
            ["versions.workflow_id", "versions.number"],
            name="workflows_production_version",
            use_alter=True,
        ),
        Index("workflows_updated", "updated_at", "id", postgresql_where=text("deleted_at IS NULL")),
    )

    id: UUID = Field(default_factory=uuid4, primary_key=True, foreign_key="event_logs.subject_id")
    name: str
    description: str | None = None
    is_archived: bool = False
    production_version_number: int | None = None
    lock_holder_id: UUID | None = Field(default=None, foreign_key="users.id")
    lock_acquired_at: datetime | None = timestamp(default=None)
    lock_expires_at: datetime | None = timestamp(default=None)
    created_at: datetime = timestamp()
    updated_at: datetime = timestamp()
    deleted_at: datetime | None = timestamp(default=None)


class WorkflowMember(SQLModel, table=True):
    """Somebody's role in a workflow. A trigger keeps at least one owner."""

    __tablename__ = "workflow_members"
    __table_args__ = (Index("workflow_members_user", "user_id", "workflow_id"),)

    workflow_id: UUID = Field(primary_key=True, foreign_key="workflows.id")
    user_id: UUID = Field(primary_key=True, foreign_key="users.id")
    role: AccessRole = enumeration(AccessRole)
    since: datetime = timestamp()


class Draft(SQLModel, table=True):
    """What is being edited. A workflow has at most one that is not closed.

    Attributes:
        revision: Grows by one with every accepted change.
        closed_at: When it was published or discarded.
    """

    __tablename__ = "drafts"
    __table_args__ = (
        ForeignKeyConstraint(
            ["workflow_id", "based_on_version_number"],
            ["versions.workflow_id", "versions.number"],
            name="drafts_based_on_version",
            use_alter=True,
        ),
        UniqueConstraint("workflow_id", "id", name="drafts_workflow_id"),
        Index("drafts_one_open", "workflow_id", unique=True, postgresql_where=text("closed_at IS NULL")),
    )

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    workflow_id: UUID = Field(foreign_key="workflows.id")
    name: str
    description: str | None = None
    status: DraftStatus = enumeration(DraftStatus, default=DraftStatus.IN_PROGRESS)
    revision: int = 1
    based_on_version_number: int | None = None
    created_by_id: UUID = Field(foreign_key="users.id")
    created_at: datetime = timestamp()
    updated_at: datetime = timestamp()
    closed_at: datetime | None = timestamp(default=None)


class DraftFile(SQLModel, table=True):
    """A file of a draft in a range of revisions: from one up to, and without, another. The history is the table."""

    __tablename__ = "draft_files"
    __table_args__ = (
        Index("draft_files_current", "draft_id", "path", unique=True, postgresql_where=text("to_revision IS NULL")),
    )

    draft_id: UUID = Field(primary_key=True, foreign_key="drafts.id")
    path: str = Field(primary_key=True)
    from_revision: int = Field(primary_key=True)
    to_revision: int | None = None
    type: FileType = enumeration(FileType)
    digest: str = Field(foreign_key="contents.digest")
    size: int
    updated_at: datetime = timestamp()


class Version(SQLModel, table=True):
    """A published snapshot. Only its status can change: a trigger refuses the rest."""

    __tablename__ = "versions"
    __table_args__ = (
        UniqueConstraint("workflow_id", "number", name="versions_number"),
        ForeignKeyConstraint(
            ["workflow_id", "draft_id"], ["drafts.workflow_id", "drafts.id"], name="versions_draft_of_workflow"
        ),
    )

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    workflow_id: UUID = Field(foreign_key="workflows.id")
    number: int
    draft_id: UUID = Field(unique=True)
    status: VersionStatus = enumeration(VersionStatus, default=VersionStatus.PUBLISHED)
    notes: str | None = None
    published_by_id: UUID = Field(foreign_key="users.id")
    published_at: datetime = timestamp()


class VersionFile(SQLModel, table=True):
    """A file of a version. A trigger refuses every change."""

    __tablename__ = "version_files"

    version_id: UUID = Field(primary_key=True, foreign_key="versions.id")
    path: str = Field(primary_key=True)
    type: FileType = enumeration(FileType)
    digest: str = Field(foreign_key="contents.digest")
    size: int
    updated_at: datetime = timestamp()


class Proposal(SQLModel, table=True):
    """What an agent was asked for, what became of it, and what people decided.

    Attributes:
        id: Also that of its execution and its log.
        base_revision: The draft's revision that the agent started from.
        completed_at: When the execution ended, however it ended.
    """

    __tablename__ = "proposals"
    __table_args__ = (
        ForeignKeyConstraint(
            ["workflow_id", "draft_id"], ["drafts.workflow_id", "drafts.id"], name="proposals_draft_of_workflow"
        ),
        Index("proposals_workflow", "workflow_id", desc("created_at"), desc("id")),
        Index("proposals_created", desc("created_at"), desc("id")),
        Index("proposals_draft", "draft_id"),
        Index("proposals_running", "created_by_id", postgresql_where=text("status IN ('PENDING', 'PROCESSING')")),
        Index("proposals_undecided", "completed_at", postgresql_where=text("status IN ('COMPLETED', 'FAILED')")),
    )

    id: UUID = Field(default_factory=uuid4, primary_key=True, foreign_key="executions.id")
    workflow_id: UUID = Field(foreign_key="workflows.id")
    draft_id: UUID
    status: ProposalStatus = enumeration(ProposalStatus, default=ProposalStatus.PENDING)
    prompt: str
    context_file_path: str | None = None
    context_selection: str | None = None
    base_revision: int
    impact_analysis: str | None = None
    failure_code: ErrorCode | None = enumeration(ErrorCode, default=None)
    failure_message: str | None = None
    failure_is_retryable: bool | None = None
    retry_of_id: UUID | None = Field(default=None, foreign_key="proposals.id")
    decided_by_id: UUID | None = Field(default=None, foreign_key="users.id")
    decided_at: datetime | None = timestamp(default=None)
    decision_comment: str | None = None
    decision_draft_revision: int | None = None
    applied_paths: list[str] = Field(default_factory=list, sa_type=ARRAY(Text))
    created_by_id: UUID = Field(foreign_key="users.id")
    created_at: datetime = timestamp()
    started_at: datetime | None = timestamp(default=None)
    completed_at: datetime | None = timestamp(default=None)


class AuditEntry(SQLModel, table=True):
    """Who did what. Append-only: triggers refuse changes, and deletion within the lifetime of the policy.

    Attributes:
        subject: Global id of what it was done to.
    """

    __tablename__ = "audit_entries"
    __table_args__ = (
        Index("audit_entries_workflow", "workflow_id", desc("at"), desc("id")),
        Index("audit_entries_at", "at"),
    )

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    workflow_id: UUID = Field(foreign_key="workflows.id")
    at: datetime = timestamp()
    actor_id: UUID | None = Field(default=None, foreign_key="users.id")
    action: str
    subject: str
    details: dict[str, Any] = Field(default_factory=dict, sa_type=JSONB)
    request_id: str | None = None


class IdempotencyKey(SQLModel, table=True):
    """The first result of a call that a client may repeat.

    Attributes:
        input_digest: SHA-256 of the operation and its input, hex.
        result_id: Key of what the call made or changed.
    """

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index("idempotency_keys_created", "created_at"),)

    user_id: UUID = Field(primary_key=True, foreign_key="users.id")
    key: str = Field(primary_key=True)
    input_digest: str
    result_id: UUID
    created_at: datetime = timestamp()
