"""Discarding: a draft is thrown away, and what waited on it is closed."""

from uuid import UUID

from graphql_api.authoring import access, drafts, journal, proposals
from graphql_api.authoring.journal import Entry
from graphql_api.authoring.models import AccessRole, DraftStatus, Workflow
from graphql_api.context import Context
from graphql_api.kit.conflicts import tried_again
from graphql_api.kit.errors import NotFound


@tried_again
async def discard(context: Context, *, workflow_id: UUID | None) -> tuple[Workflow, UUID]:
    """Throw the open draft away; proposals that wait on it are superseded, and stay readable.

    Raises:
        NotFound, Forbidden, Locked, Invalid: See `access.hold`; it takes an editor, and an open draft.
    """
    async with context.database.transaction() as session:
        workflow = await access.hold_to_change(session, context.actor, workflow_id, AccessRole.EDITOR)
        draft = await drafts.opened(session, workflow.id)
        if draft is None:
            raise NotFound("This workflow has no open draft.", path=["input", "workflowId"])
        await drafts.close(session, draft, DraftStatus.ABANDONED)
        await proposals.supersede_waiting(session, context, workflow, draft)
        await journal.tell(
            session,
            context.log,
            workflow,
            "DraftDiscarded",
            by=context.actor.user_id,
            entry=Entry(context, "draft.discard", ("Draft", draft.id)),
            draft_id=str(draft.id),
        )
    return workflow, draft.id
