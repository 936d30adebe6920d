"""GraphQL payloads of the product: the result is null exactly when `errors` is not empty."""

from typing import Any

import strawberry

from graphql_api.authoring.types.drafts import Draft
from graphql_api.authoring.types.proposals import Proposal
from graphql_api.authoring.types.versions import Version
from graphql_api.authoring.types.workflows import Workflow
from graphql_api.kit.types import UserError


def result(description: str) -> Any:  # noqa: ANN401 - stands for the field's own type
    """Declare a payload's result."""
    return strawberry.field(default=None, description=f"{description} Null when `errors` is not empty.")


def errors() -> Any:  # noqa: ANN401 - stands for the field's own type
    """Declare a payload's errors."""
    return strawberry.field(default_factory=list, description="Why nothing was changed; empty on success.")


@strawberry.type(description="The result of `createWorkflow`.")
class CreateWorkflowPayload:
    """The result of `createWorkflow`."""

    workflow: Workflow | None = result("The new workflow.")
    errors: list[UserError] = errors()


@strawberry.type(description="The result of `updateWorkflow`.")
class UpdateWorkflowPayload:
    """The result of `updateWorkflow`."""

    workflow: Workflow | None = result("The workflow after the change.")
    errors: list[UserError] = errors()


@strawberry.type(description="The result of `deleteWorkflow`.")
class DeleteWorkflowPayload:
    """The result of `deleteWorkflow`."""

    deleted_workflow_id: strawberry.ID | None = result("Global id of the workflow that is gone.")
    errors: list[UserError] = errors()


@strawberry.type(description="The result of `setWorkflowMember`.")
class SetWorkflowMemberPayload:
    """The result of `setWorkflowMember`."""

    workflow: Workflow | None = result("The workflow after the change; who has left it sees it once more.")
    errors: list[UserError] = errors()


@strawberry.type(description="The result of `lockWorkflow`.")
class LockWorkflowPayload:
    """The result of `lockWorkflow`."""

    workflow: Workflow | None = result("The workflow with your lock.")
    errors: list[UserError] = errors()


@strawberry.type(description="The result of `unlockWorkflow`.")
class UnlockWorkflowPayload:
    """The result of `unlockWorkflow`."""

    workflow: Workflow | None = result("The workflow without a lock.")
    errors: list[UserError] = errors()


@strawberry.type(description="The result of `editDraft`.")
class EditDraftPayload:
    """The result of `editDraft`."""

    draft: Draft | None = result("The draft after the edit.")
    errors: list[UserError] = errors()


@strawberry.type(description="The result of `discardDraft`.")
class DiscardDraftPayload:
    """The result of `discardDraft`."""

    workflow: Workflow | None = result("The workflow without a draft.")
    discarded_draft_id: strawberry.ID | None = result("Global id of the draft that is gone.")
    errors: list[UserError] = errors()


@strawberry.type(description="The result of `publishDraft`.")
class PublishDraftPayload:
    """The result of `publishDraft`."""

    version: Version | None = result("The new version.")
    errors: list[UserError] = errors()


@strawberry.type(description="The result of `deployVersion`.")
class DeployVersionPayload:
    """The result of `deployVersion`."""

    workflow: Workflow | None = result("The workflow with its new production version.")
    version: Version | None = result("The version that is deployed.")
    errors: list[UserError] = errors()


@strawberry.type(description="The result of `deprecateVersion`.")
class DeprecateVersionPayload:
    """The result of `deprecateVersion`."""

    version: Version | None = result("The deprecated version.")
    errors: list[UserError] = errors()


@strawberry.type(description="The result of `refineWorkflow`.")
class RefineWorkflowPayload:
    """The result of `refineWorkflow`."""

    proposal: Proposal | None = result("The new proposal: subscribe to `proposalEvents` to watch it.")
    errors: list[UserError] = errors()


@strawberry.type(description="The result of `cancelProposal`.")
class CancelProposalPayload:
    """The result of `cancelProposal`."""

    proposal: Proposal | None = result("The cancelled proposal.")
    errors: list[UserError] = errors()


@strawberry.type(description="The result of `retryProposal`.")
class RetryProposalPayload:
    """The result of `retryProposal`."""

    proposal: Proposal | None = result("The new proposal, with `retryOf`.")
    errors: list[UserError] = errors()


@strawberry.type(description="The result of `approveProposal`.")
class ApproveProposalPayload:
    """The result of `approveProposal`."""

    proposal: Proposal | None = result("The approved proposal.")
    draft: Draft | None = result("The draft with the proposal's changes.")
    errors: list[UserError] = errors()


@strawberry.type(description="The result of `rejectProposal`.")
class RejectProposalPayload:
    """The result of `rejectProposal`."""

    proposal: Proposal | None = result("The rejected proposal.")
    errors: list[UserError] = errors()
