"""GraphQL enums of the product, each described before any type uses it."""

from graphql_api.authoring.definitions import Severity
from graphql_api.authoring.deltas import DeltaMode
from graphql_api.authoring.listing import WorkflowOrderField
from graphql_api.authoring.merging import ConflictSide, MergeStatus
from graphql_api.authoring.models import AccessRole, DraftStatus, ProposalStatus, VersionStatus
from graphql_api.kit.files import FileChangeKind, FileType
from graphql_api.kit.types import described_enum

__all__ = [
    "AccessRole",
    "ConflictSide",
    "DeltaMode",
    "DraftStatus",
    "FileChangeKind",
    "FileType",
    "MergeStatus",
    "ProposalStatus",
    "Severity",
    "VersionStatus",
    "WorkflowOrderField",
]

described_enum(
    Severity,
    "How bad a diagnostic is.",
    {"ERROR": "Stops `publishDraft`.", "WARNING": "Worth knowing; stops nothing."},
)
described_enum(
    DraftStatus,
    "What the authors say of their draft.",
    {
        "IN_PROGRESS": "They work on it.",
        "READY_TO_PUBLISH": "They think that it is done. It can be published in either state.",
        "ABANDONED": "It was discarded.",
    },
)
described_enum(
    FileType,
    "What a file holds. It follows the ending of the path unless it is given.",
    {
        "MARKDOWN": "Markdown (`.md`, `.markdown`).",
        "JSON": "JSON (`.json`).",
        "YAML": "YAML (`.yaml`, `.yml`).",
        "TEXT": "Any other text.",
    },
)
described_enum(
    FileChangeKind,
    "What happened to a file.",
    {
        "ADDED": "It was not there before.",
        "MODIFIED": "Its content or type changed.",
        "DELETED": "It is not there any more.",
    },
)
described_enum(
    WorkflowOrderField,
    "What workflows can be ordered by.",
    {
        "NAME": "Their name, by code points.",
        "CREATED_AT": "When they were made.",
        "UPDATED_AT": "When anything about them changed last.",
    },
)
described_enum(
    AccessRole,
    "What somebody may do with one workflow; each role may all that the ones before it may.",
    {
        "VIEWER": "Reads and subscribes.",
        "EDITOR": "Also edits, refines, approves, rejects, publishes and locks.",
        "OWNER": "Also deploys, deprecates, shares, archives, deletes and breaks locks.",
    },
)
described_enum(
    MergeStatus,
    "How a merge goes.",
    {
        "FAST_FORWARD": "The draft did not move since the base.",
        "CLEAN": "Both moved; they merge.",
        "CONFLICTED": "Both changed the same lines: give resolutions in `approveProposal`.",
    },
)
described_enum(
    ConflictSide,
    "Which side of a conflict.",
    {"OURS": "The draft as it is.", "THEIRS": "The proposal."},
)
described_enum(
    ProposalStatus,
    "How far a proposal is.",
    {
        "PENDING": "Stored; the runtime has not accepted it yet.",
        "PROCESSING": "The runtime works on it.",
        "COMPLETED": "Its files are final and wait for a decision.",
        "FAILED": "The runtime failed at it; `failure` says why. It can be retried.",
        "CANCELLED": "Somebody stopped it.",
        "APPROVED": "It was merged into the draft.",
        "REJECTED": "Somebody decided against it.",
        "SUPERSEDED": "The draft that it was for is published or gone.",
        "EXPIRED": "Nobody decided in time.",
    },
)
described_enum(
    VersionStatus,
    "Whether a version is still recommended.",
    {"PUBLISHED": "It can be deployed.", "DEPRECATED": "It is not to be used any more, and can't be deployed."},
)
described_enum(
    DeltaMode,
    "Which pieces of messages a subscription carries while they are written.",
    {
        "ALL": "Every piece as the runtime sends it.",
        "COALESCED": "Joined over about 50 ms.",
        "NONE": "None: finished messages only.",
    },
)
