"""Subscriptions of the product: an access check, then the log is followed."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, TypeVar
from uuid import UUID

import strawberry
import structlog
from sqlalchemy.exc import SQLAlchemyError

from graphql_api.authoring.deltas import with_deltas
from graphql_api.authoring.loaders import Loaders
from graphql_api.authoring.types.enums import DeltaMode
from graphql_api.authoring.types.info import Info
from graphql_api.authoring.types.proposal_events import ProposalEvent, proposal_event
from graphql_api.authoring.types.workflow_events import WorkflowEvent, workflow_event
from graphql_api.events.cursors import decode_cursor
from graphql_api.identity.sessions import check_enabled
from graphql_api.kit.columns import now
from graphql_api.kit.errors import DomainError, Forbidden, NotFound, Unauthenticated
from graphql_api.kit.ids import key_of
from graphql_api.kit.types import EventCursor

Item = TypeVar("Item")

After = Annotated[
    EventCursor | None,
    strawberry.argument(description="Cursor of the last event that you have; from the beginning when null."),
]

_log = structlog.get_logger()


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
    ) -> AsyncGenerator[ProposalEvent]:
        """Follow a proposal."""
        subject, workflow_id = await _seen_proposal(info, proposal_id)
        position = await _position(info, subject, after)
        events = with_deltas(info.context.log.follow(subject, after=position), deltas)
        async with aclosing(_while_allowed(info, workflow_id, events)) as allowed:
            async for event in allowed:
                yield proposal_event(event)

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
    ) -> AsyncGenerator[WorkflowEvent]:
        """Follow a workflow."""
        subject = key_of(workflow_id, "Workflow")
        if subject is None or await info.context.loader(Loaders).workflow.load(subject) is None:
            info.context.actor  # noqa: B018 - refuses anonymous callers first
            raise NotFound("There is no such workflow.", path=["workflowId"])
        position = await _position(info, subject, after)
        events = info.context.log.follow(subject, after=position)
        async with aclosing(_while_allowed(info, subject, events)) as allowed:
            async for event in allowed:
                yield workflow_event(event)


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


async def _while_allowed(info: Info, workflow_id: UUID, events: AsyncGenerator[Item]) -> AsyncGenerator[Item]:
    """Pass events on until the caller loses access.

    Raises:
        Unauthenticated: Once the token of the connection has expired.
        Forbidden: When the caller may not see the workflow any more.
    """
    async with aclosing(events):
        ending = asyncio.create_task(_end_of_access(info, workflow_id))
        following = asyncio.ensure_future(anext(events))
        try:
            while True:
                await asyncio.wait({ending, following}, return_when=asyncio.FIRST_COMPLETED)
                if ending.done():
                    raise ending.result()
                try:
                    event = following.result()
                except StopAsyncIteration:
                    return
                yield event
                following = asyncio.ensure_future(anext(events))
        finally:
            ending.cancel()
            following.cancel()
            await asyncio.gather(ending, following, return_exceptions=True)


async def _end_of_access(info: Info, workflow_id: UUID) -> DomainError:
    """Wait until the caller may not follow any more, and tell why."""
    context = info.context
    while True:
        wait = context.engines.limits.unchecked_access
        if context.expires_at is not None:
            wait = min(wait, context.expires_at - now())
        await asyncio.sleep(max(0.0, wait.total_seconds()))
        try:
            await check_enabled(context.database, context.actor)
            if await context.loader(Loaders).workflow.load(workflow_id) is None:
                return Forbidden("You may not see this workflow any more.", subject_id=workflow_id)
        except Unauthenticated as error:
            return error
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            _log.warning("access_unchecked", error=type(error).__name__)
