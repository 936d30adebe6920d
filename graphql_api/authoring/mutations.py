"""Mutations of the product: each calls its use case and wraps the result."""

import strawberry

from graphql_api.authoring import approval, discarding, drafts, proposals, versions, workflows
from graphql_api.authoring.refusals import ErrorsAsRecord
from graphql_api.authoring.types import inputs, payloads
from graphql_api.authoring.types.drafts import Draft
from graphql_api.authoring.types.info import Info
from graphql_api.authoring.types.proposals import Proposal
from graphql_api.authoring.types.versions import Version
from graphql_api.authoring.types.workflows import Workflow
from graphql_api.kit.ids import key_of, to_global_id


@strawberry.type
class AuthoringMutations:
    """Mutations of the product."""

    @strawberry.mutation(
        extensions=[ErrorsAsRecord(payloads.CreateWorkflowPayload)],
        description="Make a workflow that belongs to you: empty, from files, from a template, or from both. "
        "Errors: `ValidationError`, `NotFoundError` (template), `IdempotencyMismatchError`.",
    )
    async def create_workflow(
        self,
        info: Info,
        input: inputs.CreateWorkflowInput,  # noqa: A002 - the argument's GraphQL name
    ) -> payloads.CreateWorkflowPayload:
        """Make a workflow that belongs to you."""
        workflow = await workflows.create(
            info.context,
            name=input.name,
            description=input.description,
            template_slug=input.template_slug,
            customization=input.customization,
            files=[file.to_file() for file in input.files or ()],
            idempotency_key=input.idempotency_key,
        )
        return payloads.CreateWorkflowPayload(workflow=await Workflow.after(info, workflow))

    @strawberry.mutation(
        extensions=[ErrorsAsRecord(payloads.UpdateWorkflowPayload)],
        description="Rename, describe, archive or restore a workflow. It takes an editor, archiving an owner. "
        "Errors: `NotFoundError`, `ForbiddenError`, `ValidationError`, `LockedError`.",
    )
    async def update_workflow(
        self,
        info: Info,
        input: inputs.UpdateWorkflowInput,  # noqa: A002 - the argument's GraphQL name
    ) -> payloads.UpdateWorkflowPayload:
        """Rename, describe, archive or restore a workflow."""
        is_described = input.description is not strawberry.UNSET
        workflow = await workflows.change(
            info.context,
            workflow_id=key_of(input.workflow_id, "Workflow"),
            name=input.name,
            description=input.description if is_described else None,
            clears_description=is_described and input.description is None,
            is_archived=input.is_archived,
        )
        return payloads.UpdateWorkflowPayload(workflow=await Workflow.after(info, workflow))

    @strawberry.mutation(
        extensions=[ErrorsAsRecord(payloads.DeleteWorkflowPayload)],
        description="Take a workflow out of everybody's sight. It takes an owner. Errors: `NotFoundError`, "
        "`ForbiddenError`, `LockedError`.",
    )
    async def delete_workflow(
        self,
        info: Info,
        input: inputs.DeleteWorkflowInput,  # noqa: A002 - the argument's GraphQL name
    ) -> payloads.DeleteWorkflowPayload:
        """Take a workflow out of everybody's sight."""
        deleted = await workflows.delete(info.context, workflow_id=key_of(input.workflow_id, "Workflow"))
        return payloads.DeleteWorkflowPayload(deleted_workflow_id=strawberry.ID(to_global_id("Workflow", deleted)))

    @strawberry.mutation(
        extensions=[ErrorsAsRecord(payloads.SetWorkflowMemberPayload)],
        description="Give somebody a role in a workflow, or take their access away. It takes an owner; anybody "
        "may leave, but for the last owner. Errors: `NotFoundError`, `ForbiddenError`, "
        "`ValidationError`, `LockedError`.",
    )
    async def set_workflow_member(
        self,
        info: Info,
        input: inputs.SetWorkflowMemberInput,  # noqa: A002 - the argument's GraphQL name
    ) -> payloads.SetWorkflowMemberPayload:
        """Give somebody a role in a workflow, or take their access away."""
        workflow = await workflows.set_member(
            info.context,
            workflow_id=key_of(input.workflow_id, "Workflow"),
            email=input.email,
            role=input.role,
        )
        return payloads.SetWorkflowMemberPayload(workflow=await Workflow.after(info, workflow))

    @strawberry.mutation(
        extensions=[ErrorsAsRecord(payloads.LockWorkflowPayload)],
        description="Take the lock of a workflow, or renew your own: nobody else can change it until the lock "
        "expires. It takes an editor. Errors: `NotFoundError`, `ForbiddenError`, `ValidationError`, "
        "`LockedError`.",
    )
    async def lock_workflow(
        self,
        info: Info,
        input: inputs.LockWorkflowInput,  # noqa: A002 - the argument's GraphQL name
    ) -> payloads.LockWorkflowPayload:
        """Take the lock of a workflow, or renew your own."""
        workflow = await workflows.lock(
            info.context,
            workflow_id=key_of(input.workflow_id, "Workflow"),
            seconds=workflows.DEFAULT_LOCK_SECONDS if input.ttl is None else input.ttl,
        )
        return payloads.LockWorkflowPayload(workflow=await Workflow.after(info, workflow))

    @strawberry.mutation(
        extensions=[ErrorsAsRecord(payloads.UnlockWorkflowPayload)],
        description="Give your lock back, or as an owner break somebody else's. A free workflow stays free. "
        "Errors: `NotFoundError`, `ForbiddenError`, `LockedError`.",
    )
    async def unlock_workflow(
        self,
        info: Info,
        input: inputs.UnlockWorkflowInput,  # noqa: A002 - the argument's GraphQL name
    ) -> payloads.UnlockWorkflowPayload:
        """Give your lock back, or as an owner break somebody else's."""
        workflow = await workflows.unlock(
            info.context, workflow_id=key_of(input.workflow_id, "Workflow"), force=bool(input.force)
        )
        return payloads.UnlockWorkflowPayload(workflow=await Workflow.after(info, workflow))

    @strawberry.mutation(
        extensions=[ErrorsAsRecord(payloads.EditDraftPayload)],
        description="Write, delete and rename files of the draft, in one revision; opens a draft from the "
        "latest version when there is none. It takes an editor. Errors: `NotFoundError`, "
        "`ForbiddenError`, `ValidationError`, `LockedError`, `StaleRevisionError`, "
        "`IdempotencyMismatchError`.",
    )
    async def edit_draft(
        self,
        info: Info,
        input: inputs.EditDraftInput,  # noqa: A002 - the argument's GraphQL name
    ) -> payloads.EditDraftPayload:
        """Write, delete and rename files of the draft, in one revision."""
        draft = await drafts.edit(
            info.context,
            workflow_id=key_of(input.workflow_id, "Workflow"),
            expected_revision=input.expected_revision,
            edit=input.to_edit(),
            status=input.status,
            idempotency_key=input.idempotency_key,
        )
        return payloads.EditDraftPayload(draft=Draft.of(draft))

    @strawberry.mutation(
        extensions=[ErrorsAsRecord(payloads.DiscardDraftPayload)],
        description="Throw the open draft away; proposals that wait on it become SUPERSEDED. It takes an editor. "
        "Errors: `NotFoundError`, `ForbiddenError`, `ValidationError`, `LockedError`.",
    )
    async def discard_draft(
        self,
        info: Info,
        input: inputs.DiscardDraftInput,  # noqa: A002 - the argument's GraphQL name
    ) -> payloads.DiscardDraftPayload:
        """Throw the open draft away."""
        workflow, draft_id = await discarding.discard(info.context, workflow_id=key_of(input.workflow_id, "Workflow"))
        return payloads.DiscardDraftPayload(
            workflow=await Workflow.after(info, workflow),
            discarded_draft_id=strawberry.ID(to_global_id("Draft", draft_id)),
        )

    @strawberry.mutation(
        extensions=[ErrorsAsRecord(payloads.PublishDraftPayload)],
        description="Make the open draft the next version, and close it; proposals that wait on it become "
        "SUPERSEDED. It takes an editor. Errors: `NotFoundError`, `ForbiddenError`, "
        "`ValidationError`, `LockedError`, `StaleRevisionError`, `DefinitionInvalidError`, "
        "`IdempotencyMismatchError`.",
    )
    async def publish_draft(
        self,
        info: Info,
        input: inputs.PublishDraftInput,  # noqa: A002 - the argument's GraphQL name
    ) -> payloads.PublishDraftPayload:
        """Make the open draft the next version, and close it."""
        version = await versions.publish(
            info.context,
            workflow_id=key_of(input.workflow_id, "Workflow"),
            expected_revision=input.expected_revision,
            notes=input.notes,
            idempotency_key=input.idempotency_key,
        )
        return payloads.PublishDraftPayload(version=Version.of(version))

    @strawberry.mutation(
        extensions=[ErrorsAsRecord(payloads.DeployVersionPayload)],
        description="Move the production pointer to a version, forwards or back. It takes an owner. Errors: "
        "`NotFoundError`, `ForbiddenError`, `ValidationError`, `LockedError`, "
        "`InvalidTransitionError`.",
    )
    async def deploy_version(
        self,
        info: Info,
        input: inputs.DeployVersionInput,  # noqa: A002 - the argument's GraphQL name
    ) -> payloads.DeployVersionPayload:
        """Move the production pointer to a version, forwards or back."""
        workflow, version = await versions.deploy(
            info.context, workflow_id=key_of(input.workflow_id, "Workflow"), number=input.number
        )
        return payloads.DeployVersionPayload(workflow=await Workflow.after(info, workflow), version=Version.of(version))

    @strawberry.mutation(
        extensions=[ErrorsAsRecord(payloads.DeprecateVersionPayload)],
        description="Mark a version as not to be used any more; the deployed one can't be. It takes an owner. "
        "Errors: `NotFoundError`, `ForbiddenError`, `ValidationError`, `LockedError`, "
        "`InvalidTransitionError`.",
    )
    async def deprecate_version(
        self,
        info: Info,
        input: inputs.DeprecateVersionInput,  # noqa: A002 - the argument's GraphQL name
    ) -> payloads.DeprecateVersionPayload:
        """Mark a version as not to be used any more."""
        version = await versions.deprecate(
            info.context, workflow_id=key_of(input.workflow_id, "Workflow"), number=input.number
        )
        return payloads.DeprecateVersionPayload(version=Version.of(version))

    @strawberry.mutation(
        extensions=[ErrorsAsRecord(payloads.RefineWorkflowPayload)],
        description="Ask an agent to change the draft. Stores the order and returns at once: the work goes on "
        "whether or not anybody watches. It takes an editor. Errors: `NotFoundError`, "
        "`ForbiddenError`, `ValidationError`, `LockedError`, `QuotaExceededError`, "
        "`RuntimeUnavailableError`, `IdempotencyMismatchError`.",
    )
    async def refine_workflow(
        self,
        info: Info,
        input: inputs.RefineWorkflowInput,  # noqa: A002 - the argument's GraphQL name
    ) -> payloads.RefineWorkflowPayload:
        """Ask an agent to change the draft."""
        proposal = await proposals.refine(
            info.context,
            workflow_id=key_of(input.workflow_id, "Workflow"),
            prompt=input.prompt,
            context_file_path=input.context_file_path,
            context_selection=input.context_selection,
            idempotency_key=input.idempotency_key,
        )
        return payloads.RefineWorkflowPayload(proposal=await Proposal.after(info, proposal))

    @strawberry.mutation(
        extensions=[ErrorsAsRecord(payloads.CancelProposalPayload)],
        description="Stop a proposal that is PENDING or PROCESSING, upstream too where the runtime can. It "
        "takes an editor. Errors: `NotFoundError`, `ForbiddenError`, `ValidationError`, "
        "`LockedError`, `InvalidTransitionError`.",
    )
    async def cancel_proposal(
        self,
        info: Info,
        input: inputs.CancelProposalInput,  # noqa: A002 - the argument's GraphQL name
    ) -> payloads.CancelProposalPayload:
        """Stop a proposal that is PENDING or PROCESSING, upstream too where the runtime can."""
        proposal = await proposals.cancel(
            info.context, proposal_id=key_of(input.proposal_id, "Proposal"), reason=input.reason
        )
        return payloads.CancelProposalPayload(proposal=await Proposal.after(info, proposal))

    @strawberry.mutation(
        extensions=[ErrorsAsRecord(payloads.RetryProposalPayload)],
        description="Ask again what an ended proposal asked, of the draft as it is now. It takes an editor. "
        "Errors: `NotFoundError`, `ForbiddenError`, `ValidationError`, `LockedError`, "
        "`InvalidTransitionError`, `QuotaExceededError`, `RuntimeUnavailableError`.",
    )
    async def retry_proposal(
        self,
        info: Info,
        input: inputs.RetryProposalInput,  # noqa: A002 - the argument's GraphQL name
    ) -> payloads.RetryProposalPayload:
        """Ask again what an ended proposal asked, of the draft as it is now."""
        proposal = await proposals.retry(
            info.context, proposal_id=key_of(input.proposal_id, "Proposal"), prompt=input.prompt
        )
        return payloads.RetryProposalPayload(proposal=await Proposal.after(info, proposal))

    @strawberry.mutation(
        extensions=[ErrorsAsRecord(payloads.ApproveProposalPayload)],
        description="Merge a COMPLETED proposal into its draft: the base revision, the draft now and the "
        "proposal, three ways. It takes an editor. Errors: `NotFoundError`, `ForbiddenError`, "
        "`ValidationError`, `LockedError`, `InvalidTransitionError`, `StaleRevisionError`, "
        "`MergeConflictError`, `IdempotencyMismatchError`.",
    )
    async def approve_proposal(
        self,
        info: Info,
        input: inputs.ApproveProposalInput,  # noqa: A002 - the argument's GraphQL name
    ) -> payloads.ApproveProposalPayload:
        """Merge a COMPLETED proposal into its draft."""
        proposal, draft = await approval.approve(
            info.context,
            proposal_id=key_of(input.proposal_id, "Proposal"),
            expected_digest=input.expected_merge_digest,
            paths=input.paths,
            resolutions=[resolution.to_resolution() for resolution in input.resolutions or ()],
            comment=input.comment,
            idempotency_key=input.idempotency_key,
        )
        return payloads.ApproveProposalPayload(proposal=await Proposal.after(info, proposal), draft=Draft.of(draft))

    @strawberry.mutation(
        extensions=[ErrorsAsRecord(payloads.RejectProposalPayload)],
        description="Decide against a proposal; one that is being worked on is stopped. It takes an editor. "
        "Errors: `NotFoundError`, `ForbiddenError`, `ValidationError`, `LockedError`, "
        "`InvalidTransitionError`.",
    )
    async def reject_proposal(
        self,
        info: Info,
        input: inputs.RejectProposalInput,  # noqa: A002 - the argument's GraphQL name
    ) -> payloads.RejectProposalPayload:
        """Decide against a proposal."""
        proposal = await proposals.reject(
            info.context, proposal_id=key_of(input.proposal_id, "Proposal"), comment=input.comment
        )
        return payloads.RejectProposalPayload(proposal=await Proposal.after(info, proposal))
