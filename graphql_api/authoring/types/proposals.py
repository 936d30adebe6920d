"""GraphQL type of proposals."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

import strawberry

from graphql_api.authoring import models
from graphql_api.authoring.loaders import Loaders
from graphql_api.authoring.types import drafts, workflows
from graphql_api.authoring.types.arguments import AfterEvent, First
from graphql_api.authoring.types.enums import ProposalStatus
from graphql_api.authoring.types.event_pages import (
    ProposalEventConnection,
    checked_position,
    proposal_event_page,
)
from graphql_api.authoring.types.files import FileChange, SpecificationFile, listed
from graphql_api.authoring.types.info import Info
from graphql_api.authoring.types.lazy import LazyDraft, LazyProposal, LazyWorkflow
from graphql_api.authoring.types.merges import MergePreview
from graphql_api.authoring.types.proposal_facts import ProposalDecision, ProposalFailure, TokenUsage
from graphql_api.events.cursors import encode_cursor
from graphql_api.identity.types import User
from graphql_api.kit.ids import to_global_id
from graphql_api.kit.types import EventCursor, Node


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
    row: strawberry.Private[models.Proposal]

    @classmethod
    def of(cls, row: models.Proposal) -> Self:
        """Show a proposal."""
        failure = decision = None
        if row.failure_code is not None:
            failure = ProposalFailure(
                code=row.failure_code, message=row.failure_message or "", retryable=bool(row.failure_is_retryable)
            )
        if row.decided_at is not None:
            decision = ProposalDecision(
                at=row.decided_at,
                comment=row.decision_comment,
                draft_revision=row.decision_draft_revision,
                applied_paths=row.applied_paths,
                by_id=row.decided_by_id,
            )
        return cls(
            id=strawberry.ID(to_global_id("Proposal", row.id)),
            status=row.status,
            prompt=row.prompt,
            context_file_path=row.context_file_path,
            context_selection=row.context_selection,
            base_revision=row.base_revision,
            impact_analysis=row.impact_analysis,
            failure=failure,
            decision=decision,
            created_at=row.created_at,
            started_at=row.started_at,
            completed_at=row.completed_at,
            row=row,
        )

    @classmethod
    async def load(cls, info: Info, id_: UUID) -> Self | None:
        """Read a proposal; None when it is not there or not the caller's to see."""
        row = await info.context.loader(Loaders).proposal.load(id_)
        if row is None or await info.context.loader(Loaders).workflow.load(row.workflow_id) is None:
            return None
        return cls.of(row)

    @strawberry.field(description="The workflow that it is for.")
    async def workflow(self, info: Info) -> LazyWorkflow:
        """Show the workflow."""
        return await workflows.Workflow.get(info, self.row.workflow_id)

    @strawberry.field(description="The draft that it is for, open or closed.")
    async def draft(self, info: Info) -> LazyDraft | None:
        """Show the draft."""
        row = await info.context.loader(Loaders).draft.load(self.row.draft_id)
        return None if row is None else drafts.Draft.of(row)

    @strawberry.field(description="The runtime's thread; null while PENDING.")
    async def thread_id(self, info: Info) -> str | None:
        """Show the thread."""
        execution = await info.context.loader(Loaders).execution.load(self.row.id)
        return None if execution is None else execution.thread_id

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
        sequence = None if at is None else await checked_position(info, self.row.id, at)
        files = await info.context.loader(Loaders).execution_files.load((self.row.id, sequence))
        return listed(files.values(), None)

    @strawberry.field(description="What the agent changed, against the base.")
    async def changes(self, info: Info) -> list[FileChange]:
        """List the changes."""
        loaders = info.context.loader(Loaders)
        before, after = await loaders.execution_files.load_many([(self.row.id, 0), (self.row.id, None)])
        return [FileChange.of(change) for change in await loaders.compare(before, after)]

    @strawberry.field(description="What approving now would do to the draft; null unless it waits for a decision.")
    async def merge_preview(self, info: Info) -> MergePreview | None:
        """Show the merge."""
        preview = await info.context.loader(Loaders).preview.load(self.row.id)
        return None if preview is None else MergePreview.of(preview)

    @strawberry.field(description="What language models were given and gave so far.")
    async def usage(self, info: Info) -> TokenUsage:
        """Show the usage."""
        execution = await info.context.loader(Loaders).execution.load(self.row.id)
        return TokenUsage.of(execution.input_tokens, execution.output_tokens) if execution else TokenUsage.of(0, 0)

    @strawberry.field(description="The proposal that this one tries again.")
    async def retry_of(self, info: Info) -> LazyProposal | None:
        """Show the earlier proposal."""
        return None if self.row.retry_of_id is None else await Proposal.load(info, self.row.retry_of_id)

    @strawberry.field(description="What happened while it was worked on, oldest first.")
    async def events(self, info: Info, first: First = None, after: AfterEvent = None) -> ProposalEventConnection:
        """List the events."""
        return await proposal_event_page(info, self.row.id, first, after)

    @strawberry.field(description="The newest event's position: subscribe from here to miss nothing after this read.")
    async def event_head(self, info: Info) -> EventCursor | None:
        """Show how far the log is."""
        sequence = await info.context.loader(Loaders).event_head.load(self.row.id)
        return EventCursor(encode_cursor(self.row.id, sequence)) if sequence else None

    @strawberry.field(description="Who asked for it.")
    async def created_by(self, info: Info) -> User:
        """Show who asked for it."""
        return User.of(await info.context.loader(Loaders).user.load(self.row.created_by_id))
