"""Subscriptions of the product: an access check, then the log is followed."""

from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

import strawberry

from graphql_api.authoring.deltas import with_deltas
from graphql_api.authoring.loaders import Loaders
from graphql_api.authoring.types.enums import DeltaMode
from graphql_api.authoring.types.info import Info
from graphql_api.authoring.types.proposal_events import ProposalEvent, proposal_event
from graphql_api.authoring.types.workflow_events import WorkflowEvent, workflow_event
from graphql_api.events.cursors import decode_cursor
from graphql_api.events.records import LiveEvent, StoredEvent
from graphql_api.events.watches import Claim
from graphql_api.kit.batches import Batched
from graphql_api.kit.errors import NotFound
from graphql_api.kit.ids import key_of
from graphql_api.kit.types import EventCursor
from graphql_api.runtimes import executions

After = Annotated[
    EventCursor | None,
    strawberry.argument(description="Cursor of the last event that you have; from the beginning when null."),
]


@strawberry.type
class AuthoringSubscriptions:
    """Subscriptions of the product."""

    @strawberry.subscription(
        description="First what was recorded after `after`, then live, in order, without a hole or a repeat; completes "
        "after the terminal event. Whether anybody watched while the agent worked makes no difference. Errors: "
        "`NOT_FOUND`, `CURSOR_INVALID`, `UNAUTHENTICATED`, `FORBIDDEN`."
    )
    async def proposal_events(
        self,
        info: Info,
        proposal_id: Annotated[strawberry.ID, strawberry.argument(description="Which proposal.")],
        after: After = None,
        deltas: Annotated[
            DeltaMode, strawberry.argument(description="Which pieces of messages come while they are written.")
        ] = DeltaMode.COALESCED,
    ) -> AsyncIterator[ProposalEvent]:
        """Follow a proposal."""
        subject, workflow_id = await _seen_proposal(info, proposal_id)
        await executions.link_trace(info.context.database, subject)
        position = await _position(info, subject, after)
        return _while_allowed(info, workflow_id, subject, position, deltas).mapped(proposal_event)

    @strawberry.subscription(
        description="What happens to a workflow: first what was recorded after `after`, then live, in order, without a "
        "hole or a repeat. It does not complete by itself. Errors: `NOT_FOUND`, `CURSOR_INVALID`, `UNAUTHENTICATED`, "
        "`FORBIDDEN`."
    )
    async def workflow_events(
        self,
        info: Info,
        workflow_id: Annotated[strawberry.ID, strawberry.argument(description="Which workflow.")],
        after: After = None,
    ) -> AsyncIterator[WorkflowEvent]:
        """Follow a workflow."""
        subject = key_of(workflow_id, "Workflow")
        if subject is None or await info.context.loader(Loaders).workflow.load(subject) is None:
            info.context.actor  # noqa: B018 - refuses anonymous callers first
            raise NotFound("There is no such workflow.", path=["workflowId"])
        position = await _position(info, subject, after)
        return _while_allowed(info, subject, subject, position, DeltaMode.ALL).mapped(workflow_event)


async def _seen_proposal(info: Info, proposal_id: str) -> tuple[UUID, UUID]:
    """Read the keys of a proposal that the caller may see, and of its workflow."""
    info.context.actor  # noqa: B018 - refuses anonymous callers first
    key = key_of(proposal_id, "Proposal")
    loaders = info.context.loader(Loaders)
    row = await loaders.proposal.load(key) if key else None
    if row is None or await loaders.workflow.load(row.workflow_id) is None:
        raise NotFound("There is no such proposal.", path=["proposalId"])
    return row.id, row.workflow_id


async def _position(info: Info, subject: UUID, after: str | None) -> int:
    position = decode_cursor(after, subject)
    await info.context.log.check_position(subject, position)
    return position


def _while_allowed(
    info: Info, workflow_id: UUID, subject: UUID, position: int, deltas: DeltaMode
) -> Batched[StoredEvent | LiveEvent]:
    """Follow a log until the caller loses access to the workflow.

    The stream raises `Unauthenticated` once the token of the connection has expired, or the account is closed, and
    `Forbidden` when the caller may not see the workflow any more.
    """
    context = info.context
    watch = context.engines.watches.watching(Claim(context.actor, workflow_id), context.expires_at)
    return with_deltas(context.log.follow(subject, after=position, watch=watch), deltas)
