"""Pages of recorded events."""

from collections.abc import Sequence
from uuid import UUID

import strawberry

from graphql_api.authoring import models
from graphql_api.authoring.loaders import Loaders
from graphql_api.authoring.types import proposal_events, workflow_events
from graphql_api.authoring.types.info import Info
from graphql_api.authoring.types.lazy import LazyProposalEvent, LazyWorkflowEvent
from graphql_api.events.cursors import decode_cursor, encode_cursor
from graphql_api.events.records import StoredEvent
from graphql_api.kit.errors import CursorInvalid
from graphql_api.kit.pagination import PageRequest
from graphql_api.kit.types import EventCursor, PageInfo, page_info

_CURSOR = "Position of the event."
_EDGES = "The events with their positions, oldest first."
_NODES = "The events alone, oldest first."
_PAGE = "Where the page lies in the log."


@strawberry.type(description="One recorded event of a proposal, with its position.")
class ProposalEventEdge:
    """One recorded event of a proposal."""

    cursor: EventCursor = strawberry.field(description=_CURSOR)
    node: LazyProposalEvent = strawberry.field(description="The event.")


@strawberry.type(description="A page of a proposal's log.")
class ProposalEventConnection:
    """A page of a proposal's log."""

    edges: list[ProposalEventEdge] = strawberry.field(description=_EDGES)
    nodes: list[LazyProposalEvent] = strawberry.field(description=_NODES)
    page_info: PageInfo = strawberry.field(description=_PAGE)


@strawberry.type(description="One recorded event of a workflow, with its position.")
class WorkflowEventEdge:
    """One recorded event of a workflow."""

    cursor: EventCursor = strawberry.field(description=_CURSOR)
    node: LazyWorkflowEvent = strawberry.field(description="The event.")


@strawberry.type(description="A page of a workflow's log.")
class WorkflowEventConnection:
    """A page of a workflow's log."""

    edges: list[WorkflowEventEdge] = strawberry.field(description=_EDGES)
    nodes: list[LazyWorkflowEvent] = strawberry.field(description=_NODES)
    page_info: PageInfo = strawberry.field(description=_PAGE)


async def proposal_event_page(
    info: Info, subject: UUID, first: int | None, after: EventCursor | None
) -> ProposalEventConnection:
    """Read a page of a proposal's log."""
    stored, page = await _read(info, subject, first, after)
    nodes = [proposal_events.proposal_event(event) for event in stored]
    edges = [ProposalEventEdge(cursor=node.cursor, node=node) for node in nodes]
    return ProposalEventConnection(edges=edges, nodes=nodes, page_info=page)


async def workflow_event_page(
    info: Info, subject: UUID, first: int | None, after: EventCursor | None
) -> WorkflowEventConnection:
    """Read a page of a workflow's log."""
    stored, page = await _read(info, subject, first, after)
    nodes = [workflow_events.workflow_event(event) for event in stored]
    edges = [WorkflowEventEdge(cursor=node.cursor, node=node) for node in nodes]
    return WorkflowEventConnection(edges=edges, nodes=nodes, page_info=page)


def head_cursor(row: models.Workflow | models.Proposal) -> EventCursor | None:
    """Show how far the log of a row was when it was read; None where the row was read to be changed, without that."""
    head: int | None = getattr(row, "event_head", None)
    return EventCursor(encode_cursor(row.id, head)) if head else None


async def checked_position(info: Info, subject: UUID, cursor: EventCursor | None) -> int:
    """Read the position that a cursor of this log names; 0, the beginning, for None.

    Raises:
        CursorInvalid: When it is none, one of another log, or one of the future.
    """
    position = decode_cursor(cursor, subject)
    if position and position > (await info.context.loader(Loaders).event_head.load(subject) or 0):
        raise CursorInvalid("This cursor is of the future: the log is not that far.")
    return position


async def _read(
    info: Info, subject: UUID, first: int | None, after: EventCursor | None
) -> tuple[Sequence[StoredEvent], PageInfo]:
    size = PageRequest(first=first).size()
    position = await checked_position(info, subject, after)
    if position:
        context = info.context
        found: Sequence[StoredEvent] = await context.log.read(
            subject, after=position, limit=size + 1, reader=context.reader
        )
    else:
        found = await info.context.loader(Loaders).first_events.load((subject, size + 1))
    stored = found[:size]
    cursors = [encode_cursor(subject, event.sequence) for event in stored]
    return stored, page_info(cursors, has_next=len(found) > size, has_previous=position > 0)
