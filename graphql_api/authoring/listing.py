"""Lists that grow, in pages."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from functools import partial
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import Select, or_

from graphql_api.authoring import access
from graphql_api.authoring.models import (
    AccessRole,
    AuditEntry,
    Proposal,
    ProposalStatus,
    Version,
    Workflow,
    WorkflowMember,
)
from graphql_api.context import Context
from graphql_api.identity.actor import Actor
from graphql_api.kit.columns import columns_of, select_rows
from graphql_api.kit.pagination import (
    Page,
    PageRequest,
    SortKey,
    SortValue,
    count_by,
    count_rows,
    read_page,
    read_pages,
)
from graphql_api.kit.texts import checked_text

MAX_SEARCH_LENGTH = 1000
"""Characters of what is searched for."""


class WorkflowOrderField(Enum):
    """What workflows can be ordered by."""

    NAME = "NAME"
    CREATED_AT = "CREATED_AT"
    UPDATED_AT = "UPDATED_AT"


_workflow, _member = columns_of(Workflow), columns_of(WorkflowMember)
_version, _entry, _proposal = columns_of(Version), columns_of(AuditEntry), columns_of(Proposal)

_WORKFLOW_COLUMNS: dict[WorkflowOrderField, tuple[Any, str, Callable[[str], SortValue]]] = {
    WorkflowOrderField.NAME: (_workflow.name, "name", str),
    WorkflowOrderField.CREATED_AT: (_workflow.created_at, "created_at", datetime.fromisoformat),
    WorkflowOrderField.UPDATED_AT: (_workflow.updated_at, "updated_at", datetime.fromisoformat),
}


async def workflows(
    context: Context,
    page: PageRequest,
    *,
    search: str | None,
    is_archived: bool | None,
    role: AccessRole | None,
    order: WorkflowOrderField,
    is_descending: bool,
) -> Page[tuple[Workflow, AccessRole]]:
    """List the workflows that the caller may see, each with their role in it.

    Args:
        context: Who asks.
        page: Which part.
        search: Text that the name or description contains, in any case.
        is_archived: Only archived ones, or only others; both when None.
        role: Only those in which the caller is a member with this role.
        order: What they are ordered by.
        is_descending: Whether the greatest come first.

    Raises:
        Invalid: When the text to search for has characters that nothing can have, or is too long.
    """
    query = access.with_role(context.actor)
    wanted = checked_text(search or "", path=["filter", "search"], maximum=MAX_SEARCH_LENGTH)
    if wanted:
        pattern = f"%{_escaped(wanted)}%"
        query = query.where(or_(_workflow.name.ilike(pattern), _workflow.description.ilike(pattern)))
    if is_archived is not None:
        query = query.where(_workflow.is_archived == is_archived)
    if role is not None:
        own = select_rows(_member.workflow_id).where(_member.user_id == context.actor.user_id, _member.role == role)
        query = query.where(_workflow.id.in_(own))
    column, attribute, parse = _WORKFLOW_COLUMNS[order]
    keys = [
        SortKey(column, attribute, parse, is_descending=is_descending),
        SortKey(_workflow.id, "id", UUID, is_descending=is_descending),
    ]
    found = await _page(context, query, keys, page)
    return replace(found, rows=[(row, row.viewer_role) for row in found.rows])


@dataclass(frozen=True, slots=True)
class Versions:
    """Some of a workflow's versions, newest first."""

    page: PageRequest
    keys: ClassVar[Sequence[SortKey]] = (SortKey(_version.number, "number", int, is_descending=True),)

    def query(self, _actor: Actor) -> Select[Any]:
        """Select all of them."""
        return select_rows(*_version)


@dataclass(frozen=True, slots=True)
class AuditEntries:
    """Some of a workflow's audit entries, newest first."""

    page: PageRequest
    keys: ClassVar[Sequence[SortKey]] = (
        SortKey(_entry.at, "at", datetime.fromisoformat, is_descending=True),
        SortKey(_entry.id, "id", UUID, is_descending=True),
    )

    def query(self, _actor: Actor) -> Select[Any]:
        """Select all of them."""
        return select_rows(*_entry)


@dataclass(frozen=True, slots=True)
class Proposals:
    """Some proposals, newest first.

    Attributes:
        statuses: Only those with one of these.
        is_own: Only the caller's own, or only other people's.
    """

    page: PageRequest
    statuses: tuple[ProposalStatus, ...] | None = None
    is_own: bool | None = None
    keys: ClassVar[Sequence[SortKey]] = (
        SortKey(_proposal.created_at, "created_at", datetime.fromisoformat, is_descending=True),
        SortKey(_proposal.id, "id", UUID, is_descending=True),
    )

    def query(self, actor: Actor) -> Select[Any]:
        """Select all that are wanted."""
        query = select_rows(*_proposal)
        if self.statuses is not None:
            query = query.where(_proposal.status.in_(self.statuses))
        if self.is_own is not None:
            mine = _proposal.created_by_id == actor.user_id
            query = query.where(mine if self.is_own else ~mine)
        return query


WorkflowList = Versions | AuditEntries | Proposals
"""A list that each workflow has."""


async def of_workflows(context: Context, wanted: WorkflowList, workflow_ids: Sequence[UUID]) -> dict[UUID, Page[Any]]:
    """Read the same page of a list of several workflows, which the caller has been found to see."""
    query = wanted.query(context.actor)
    parent = query.selected_columns.workflow_id
    lock, counts = asyncio.Lock(), dict[UUID, int]()

    async def count(workflow_id: UUID) -> int:
        """Count for all of them as soon as one is asked for."""
        async with lock:
            if not counts:
                counts.update(dict.fromkeys(workflow_ids, 0))
                counts.update(await count_by(context.database.rows, query, parent, workflow_ids))
        return counts[workflow_id]

    return await read_pages(context.database.rows, query, parent, workflow_ids, wanted.keys, wanted.page, count)


async def seen_proposals(context: Context, wanted: Proposals) -> Page[Proposal]:
    """Read a page of the proposals of all workflows that the caller may see."""
    seen = access.with_role(context.actor).with_only_columns(_workflow.id)
    query = wanted.query(context.actor).where(_proposal.workflow_id.in_(seen))
    return await _page(context, query, wanted.keys, wanted.page)


async def _page(context: Context, query: Select[Any], keys: Sequence[SortKey], page: PageRequest) -> Page[Any]:
    read = context.database.rows
    return await read_page(read, query, keys, page, partial(count_rows, read, query))


def _escaped(text: str) -> str:
    """Take the meaning from the characters that stand for others in LIKE."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
