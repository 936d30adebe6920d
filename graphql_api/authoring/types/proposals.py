"""GraphQL type of proposals."""

import asyncio
from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

import strawberry

from graphql_api.authoring import models
from graphql_api.authoring.loaders import Loaders
from graphql_api.authoring.previews import Preview
from graphql_api.authoring.types import drafts, workflows
from graphql_api.authoring.types.arguments import AfterEvent, First
from graphql_api.authoring.types.enums import AccessRole, ProposalStatus
from graphql_api.authoring.types.event_pages import (
    ProposalEventConnection,
    checked_position,
    head_cursor,
    proposal_event_page,
)
from graphql_api.authoring.types.files import FileChange, SpecificationFile, listed
from graphql_api.authoring.types.info import Info
from graphql_api.authoring.types.lazy import LazyDraft, LazyProposal, LazyWorkflow
from graphql_api.authoring.types.loading import loaded
from graphql_api.authoring.types.merges import MergePreview
from graphql_api.authoring.types.proposal_facts import ProposalDecision, ProposalFailure, TokenUsage
from graphql_api.identity import models as identity
from graphql_api.identity.types import User
from graphql_api.kit.showing import show, shows_row
from graphql_api.kit.types import EventCursor, Node
from graphql_api.runtimes.models import Execution


@shows_row(
    failure=lambda proposal: _failure(proposal.row),
    decision=lambda proposal: _decision(proposal.row),
    event_head=lambda proposal: head_cursor(proposal.row),
)
@strawberry.type(
    description="What an agent was asked for, what it made, and what people decided. One proposal is one execution: "
    "one thread, one log, exactly one terminal event."
)
class Proposal(Node):
    """What an agent was asked for."""

    status: ProposalStatus = strawberry.field(description="How far it is.")
    prompt: str = strawberry.field(description="What the agent was asked for.")
    context_file_path: str | None = strawberry.field(description="The file that the person had open.")
    context_selection: str | None = strawberry.field(description="The text that they had selected in it.")
    base_revision: int = strawberry.field(
        description="The draft revision that the agent started from: the base of the merge."
    )
    impact_analysis: str | None = strawberry.field(
        description="What the agent says of its own work, in Markdown; null until it is done."
    )
    failure: ProposalFailure | None = strawberry.field(description="Why it failed; null unless it did.")
    decision: ProposalDecision | None = strawberry.field(description="Null until somebody or something decided.")
    created_at: datetime = strawberry.field(description="When it was asked for.")
    started_at: datetime | None = strawberry.field(description="When the runtime accepted it.")
    completed_at: datetime | None = strawberry.field(description="When the work ended, however it ended.")
    event_head: EventCursor | None = strawberry.field(
        description="The newest event's position: subscribe from here to miss nothing after this read."
    )
    row: strawberry.Private[models.Proposal]

    @classmethod
    def of(cls, row: models.Proposal) -> Self:
        """Show a proposal."""
        return show(cls, row)

    @classmethod
    async def load(cls, info: Info, id_: UUID) -> Self | None:
        """Read a proposal; None when it is not there or not the caller's to see."""
        row = await info.context.loader(Loaders).proposal.load(id_)
        if row is None or await info.context.loader(Loaders).workflow.load(row.workflow_id) is None:
            return None
        return cls.of(row)

    @classmethod
    async def after(cls, info: Info, row: models.Proposal) -> Self:
        """Show a proposal that the caller has just changed, as it is now."""
        return cls.of(await info.context.loader(Loaders).proposal.load(row.id) or row)

    @strawberry.field(description="The workflow that it is for.")
    @loaded(lambda loaders: loaders.workflow, by=lambda part: part.row.workflow_id)
    def workflow(self, found: tuple[models.Workflow, AccessRole] | None) -> LazyWorkflow:
        """Show the workflow."""
        return workflows.Workflow.found(found)

    @strawberry.field(description="The draft that it is for, open or closed.")
    @loaded(lambda loaders: loaders.draft, by=lambda proposal: proposal.row.draft_id)
    def draft(self, found: models.Draft | None) -> LazyDraft | None:
        """Show the draft."""
        return None if found is None else drafts.Draft.of(found)

    @strawberry.field(description="The runtime's thread; null while PENDING.")
    @loaded(lambda loaders: loaders.execution, by=lambda proposal: proposal.row.id)
    def thread_id(self, found: Execution | None) -> str | None:
        """Show the thread."""
        return None if found is None else found.thread_id

    @strawberry.field(description="The files as the agent left them, those that it did not touch among them.")
    async def generated_files(
        self,
        info: Info,
        at: Annotated[
            EventCursor | None,
            strawberry.argument(
                description="Cursor of an event of this proposal: the files as they were right after it."
            ),
        ] = None,
    ) -> list[SpecificationFile]:
        """List the files."""
        loaders = info.context.loader(Loaders)
        if at is None:
            files = await loaders.files_now.load(self.row.id)
        else:
            files = await loaders.files_then.load((self.row.id, await checked_position(info, self.row.id, at)))
        return listed(files.values(), None)

    @strawberry.field(description="What the agent changed, against the base.")
    async def changes(self, info: Info) -> list[FileChange]:
        """List the changes."""
        loaders = info.context.loader(Loaders)
        before, after = await asyncio.gather(
            loaders.files_then.load((self.row.id, 0)), loaders.files_now.load(self.row.id)
        )
        return [FileChange.of(change) for change in await loaders.compare(before, after)]

    @strawberry.field(description="What approving now would do to the draft; null unless it waits for a decision.")
    @loaded(lambda loaders: loaders.preview, by=lambda proposal: proposal.row.id)
    def merge_preview(self, found: Preview | None) -> MergePreview | None:
        """Show the merge."""
        return None if found is None else MergePreview.of(found)

    @strawberry.field(description="What language models were given and gave so far.")
    @loaded(lambda loaders: loaders.execution, by=lambda proposal: proposal.row.id)
    def usage(self, found: Execution | None) -> TokenUsage:
        """Show the usage."""
        return TokenUsage.of(found.input_tokens, found.output_tokens) if found else TokenUsage.of(0, 0)

    @strawberry.field(description="The proposal that this one tries again.")
    async def retry_of(self, info: Info) -> LazyProposal | None:
        """Show the earlier proposal."""
        return None if self.row.retry_of_id is None else await Proposal.load(info, self.row.retry_of_id)

    @strawberry.field(description="What happened while it was worked on, oldest first.")
    async def events(self, info: Info, first: First = None, after: AfterEvent = None) -> ProposalEventConnection:
        """List the events."""
        return await proposal_event_page(info, self.row.id, first, after)

    @strawberry.field(description="Who asked for it.")
    @loaded(lambda loaders: loaders.user, by=lambda proposal: proposal.row.created_by_id)
    def created_by(self, found: identity.User) -> User:
        """Show who asked for it."""
        return User.of(found)


def _failure(row: models.Proposal) -> ProposalFailure | None:
    if row.failure_code is None:
        return None
    return ProposalFailure(
        code=row.failure_code, message=row.failure_message or "", retryable=bool(row.failure_is_retryable)
    )


def _decision(row: models.Proposal) -> ProposalDecision | None:
    if row.decided_at is None:
        return None
    return ProposalDecision(
        at=row.decided_at,
        comment=row.decision_comment,
        draft_revision=row.decision_draft_revision,
        applied_paths=row.applied_paths,
        by_id=row.decided_by_id,
    )
