"""GraphQL inputs of the product."""

from enum import Enum
from typing import Any

import strawberry
from strawberry.scalars import JSON

from graphql_api.authoring.filesets import Edit, NewFile, Rename
from graphql_api.authoring.listing import Proposals
from graphql_api.authoring.merging import Resolution
from graphql_api.authoring.types.enums import (
    AccessRole,
    ConflictSide,
    DraftStatus,
    FileType,
    ProposalStatus,
    WorkflowOrderField,
)
from graphql_api.kit.pagination import PageRequest

_KEY = (
    "At most 255 characters, per user, kept 24 hours: the same key with the same input gives the first result again, "
    "with another input `IdempotencyMismatchError`."
)
_WORKFLOW = "Which workflow."
_PROPOSAL = "Which proposal."


@strawberry.enum(description="Which end of a list comes first.")
class OrderDirection(Enum):
    """Which end of a list comes first."""

    ASC = strawberry.enum_value("ASC", description="The smallest or oldest.")
    DESC = strawberry.enum_value("DESC", description="The greatest or newest.")


def optional(description: str) -> Any:  # noqa: ANN401 - stands for the field's own type
    """Declare an input field that may be left out, without a default that clients would see."""
    return strawberry.field(default=None, description=description)


@strawberry.input(description="Which proposals.")
class ProposalFilter:
    """Which proposals."""

    statuses: list[ProposalStatus] | None = optional("Only those with one of these statuses.")
    created_by_me: bool | None = optional("True for your own, false for other people's.")

    def to_list(self, page: PageRequest) -> Proposals:
        """Give the use case's own form."""
        return Proposals(page, None if self.statuses is None else tuple(self.statuses), self.created_by_me)


@strawberry.input(description="Which workflows.")
class WorkflowFilter:
    """Which workflows."""

    search: str | None = optional("Text that the name or description contains, in any case.")
    is_archived: bool | None = optional("True for archived ones, false for others.")
    role: AccessRole | None = optional("Only those in which you are a member with this role.")


@strawberry.input(description="The order of workflows.")
class WorkflowOrder:
    """The order of workflows."""

    field: WorkflowOrderField = strawberry.field(description="What they are ordered by.")
    direction: OrderDirection = strawberry.field(default=OrderDirection.DESC, description="Which end comes first.")


@strawberry.input(description="A file to write.")
class FileInput:
    """A file to write."""

    path: str = strawberry.field(
        description="Relative POSIX path of 1 to 500 characters in NFC: no leading `/`, no `.` or `..` segment, no "
        "control character, no backslash."
    )
    content: str = strawberry.field(description="The whole text: UTF-8 without NUL, at most 1 MiB.")
    type: FileType | None = optional("What it holds; follows the ending of the path when null.")

    def to_file(self) -> NewFile:
        """Give the use case's own form."""
        return NewFile(self.path, self.content, self.type)


@strawberry.input(description="A file to rename; its content stays.")
class FileRenameInput:
    """A file to rename."""

    source: str = strawberry.field(name="from", description="Path that it has.")
    target: str = strawberry.field(name="to", description="Path that it shall have; no file may be there.")


@strawberry.input(description="A new workflow.")
class CreateWorkflowInput:
    """A new workflow."""

    name: str = strawberry.field(description="1 to 200 characters on one line.")
    description: str | None = optional("What it is for, at most 10000 characters.")
    template_slug: str | None = optional("Start from the files of this template.")
    customization: JSON | None = optional("Checked against the template's `customizationSchema`.")
    files: list[FileInput] | None = optional("Files to start with, at most 500; they win over the template's.")
    idempotency_key: str | None = optional(_KEY)


@strawberry.input(description="What to change about a workflow. What is left out stays.")
class UpdateWorkflowInput:
    """What to change about a workflow."""

    workflow_id: strawberry.ID = strawberry.field(description=_WORKFLOW)
    name: str | None = optional("1 to 200 characters on one line.")
    description: str | None = strawberry.field(
        default=strawberry.UNSET, description="At most 10000 characters; null clears it."
    )
    is_archived: bool | None = optional("True puts it away, false takes it out again. It takes an owner.")


@strawberry.input(description="Which workflow is deleted.")
class DeleteWorkflowInput:
    """Which workflow is deleted."""

    workflow_id: strawberry.ID = strawberry.field(description=_WORKFLOW)


@strawberry.input(description="Who may do what with a workflow.")
class SetWorkflowMemberInput:
    """Who may do what."""

    workflow_id: strawberry.ID = strawberry.field(description=_WORKFLOW)
    email: str = strawberry.field(description="Address of somebody who can sign in.")
    role: AccessRole | None = optional("Null takes access away.")


@strawberry.input(description="Which workflow is locked, and for how long.")
class LockWorkflowInput:
    """Which workflow is locked."""

    workflow_id: strawberry.ID = strawberry.field(description=_WORKFLOW)
    ttl: int | None = strawberry.field(default=900, description="Seconds, 30 to 3600.")


@strawberry.input(description="Which workflow is unlocked.")
class UnlockWorkflowInput:
    """Which workflow is unlocked."""

    workflow_id: strawberry.ID = strawberry.field(description=_WORKFLOW)
    force: bool | None = strawberry.field(default=False, description="An owner may break somebody else's lock.")


@strawberry.input(description="A change of a draft: renames first, then deletions, then what is written.")
class EditDraftInput:
    """A change of a draft."""

    workflow_id: strawberry.ID = strawberry.field(description=_WORKFLOW)
    expected_revision: int | None = optional(
        "The revision that you edited. Null only when no draft is open: the edit then opens one from the latest "
        "version."
    )
    write: list[FileInput] | None = optional("Files to add or replace.")
    delete: list[str] | None = optional("Paths of files to delete.")
    rename: list[FileRenameInput] | None = optional("Files to rename.")
    status: DraftStatus | None = optional("What you say of it now. To abandon it, call `discardDraft`.")
    idempotency_key: str | None = optional(_KEY)

    def to_edit(self) -> Edit:
        """Give the use case's own form."""
        return Edit(
            write=[file.to_file() for file in self.write or ()],
            delete=list(self.delete or ()),
            rename=[Rename(rename.source, rename.target) for rename in self.rename or ()],
        )


@strawberry.input(description="Which draft is discarded.")
class DiscardDraftInput:
    """Which draft is discarded."""

    workflow_id: strawberry.ID = strawberry.field(description=_WORKFLOW)


@strawberry.input(description="Which draft is published.")
class PublishDraftInput:
    """Which draft is published."""

    workflow_id: strawberry.ID = strawberry.field(description=_WORKFLOW)
    expected_revision: int | None = optional("The revision that you looked at; any when null.")
    notes: str | None = optional("What you say about the version, at most 10000 characters.")
    idempotency_key: str | None = optional(_KEY)


@strawberry.input(description="Which version is deployed.")
class DeployVersionInput:
    """Which version is deployed."""

    workflow_id: strawberry.ID = strawberry.field(description=_WORKFLOW)
    number: int = strawberry.field(description="Number of the version, newer or older than what is deployed.")


@strawberry.input(description="Which version is deprecated.")
class DeprecateVersionInput:
    """Which version is deprecated."""

    workflow_id: strawberry.ID = strawberry.field(description=_WORKFLOW)
    number: int = strawberry.field(description="Number of the version.")


@strawberry.input(description="What an agent is asked for.")
class RefineWorkflowInput:
    """What an agent is asked for."""

    workflow_id: strawberry.ID = strawberry.field(description=_WORKFLOW)
    prompt: str = strawberry.field(description="What it shall do, 1 to 100000 characters.")
    context_file_path: str | None = optional("The file that you have open; it must be in the draft.")
    context_selection: str | None = optional("The text that you have selected in it, at most 100000 characters.")
    idempotency_key: str | None = optional(_KEY)


@strawberry.input(description="Which proposal is stopped.")
class CancelProposalInput:
    """Which proposal is stopped."""

    proposal_id: strawberry.ID = strawberry.field(description=_PROPOSAL)
    reason: str | None = optional("Why, at most 10000 characters.")


@strawberry.input(description="Which proposal is tried again.")
class RetryProposalInput:
    """Which proposal is tried again."""

    proposal_id: strawberry.ID = strawberry.field(description=_PROPOSAL)
    prompt: str | None = optional("Another prompt; the same one when null.")


@strawberry.input(description="What a file in conflict shall be. Give `side` or `content`.")
class FileResolutionInput:
    """What a file in conflict shall be."""

    path: str = strawberry.field(description="A file among `MergePreview.conflicts`.")
    side: ConflictSide | None = optional("Take it as it is on this side, deleted or not.")
    content: str | None = optional("The whole text that it shall have.")

    def to_resolution(self) -> Resolution:
        """Give the use case's own form."""
        return Resolution(self.path, self.side, self.content)


@strawberry.input(description="Which proposal is merged into its draft, and how.")
class ApproveProposalInput:
    """Which proposal is approved."""

    proposal_id: strawberry.ID = strawberry.field(description=_PROPOSAL)
    expected_merge_digest: str | None = optional("From `MergePreview.digest`: approve exactly what was shown.")
    paths: list[str] | None = optional("Only these files of the proposal; all when null.")
    resolutions: list[FileResolutionInput] | None = optional("What files in conflict shall be.")
    comment: str | None = optional("For the record, at most 10000 characters.")
    idempotency_key: str | None = optional(_KEY)


@strawberry.input(description="Which proposal is rejected.")
class RejectProposalInput:
    """Which proposal is rejected."""

    proposal_id: strawberry.ID = strawberry.field(description=_PROPOSAL)
    comment: str | None = optional("Why, at most 10000 characters.")
