"""Lists that grow, in pages."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from enum import Enum
from typing import Any
from uuid import UUID

from sqlalchemy import Select, or_
from sqlmodel import col, select

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
from graphql_api.kit.pagination import Page, PageRequest, SortKey, SortValue, count_rows, read_page
from graphql_api.kit.texts import checked_text

MAX_SEARCH_LENGTH = 1000
"""Characters of what is searched for."""


class WorkflowOrderField(Enum):
    """What workflows can be ordered by."""

    NAME = "NAME"
    CREATED_AT = "CREATED_AT"
    UPDATED_AT = "UPDATED_AT"


_WORKFLOW_COLUMNS: dict[WorkflowOrderField, tuple[Any, str, Callable[[str], SortValue]]] = {
    WorkflowOrderField.NAME: (Workflow.name, "name", str),
    WorkflowOrderField.CREATED_AT: (Workflow.created_at, "created_at", datetime.fromisoformat),
    WorkflowOrderField.UPDATED_AT: (Workflow.updated_at, "updated_at", datetime.fromisoformat),
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
    query = access.visible(context.actor)
    wanted = checked_text(search or "", path=["filter", "search"], maximum=MAX_SEARCH_LENGTH)
    if wanted:
        pattern = f"%{_escaped(wanted)}%"
        query = query.where(or_(col(Workflow.name).ilike(pattern), col(Workflow.description).ilike(pattern)))
    if is_archived is not None:
        query = query.where(col(Workflow.is_archived) == is_archived)
    if role is not None:
        own = select(WorkflowMember.workflow_id).where(
            WorkflowMember.user_id == context.actor.user_id, col(WorkflowMember.role) == role
        )
        query = query.where(col(Workflow.id).in_(own))
    column, attribute, parse = _WORKFLOW_COLUMNS[order]
    keys = [
        SortKey(column, attribute, parse, is_descending=is_descending),
        SortKey(Workflow.id, "id", UUID, is_descending=is_descending),
    ]
    found = await _page(context, query, keys, page)
    async with context.database.transaction() as session:
        roles = await access.roles_of(session, context.actor, [row.id for row in found.rows])
    return replace(found, rows=[(row, roles.get(row.id, AccessRole.VIEWER)) for row in found.rows])


async def proposals(
    context: Context,
    page: PageRequest,
    *,
    workflow_id: UUID | None,
    statuses: Sequence[ProposalStatus] | None,
    is_own: bool | None,
) -> Page[Proposal]:
    """List proposals, newest first: of one workflow that the caller may see, or of all of them.

    Args:
        context: Who asks.
        page: Which part.
        workflow_id: Only of this workflow, which the caller has been found to see.
        statuses: Only those with one of these.
        is_own: Only the caller's own, or only other people's.
    """
    query = select(Proposal)
    if workflow_id is not None:
        query = query.where(Proposal.workflow_id == workflow_id)
    else:
        seen = access.visible(context.actor).with_only_columns(col(Workflow.id))
        query = query.where(col(Proposal.workflow_id).in_(seen))
    if statuses is not None:
        query = query.where(col(Proposal.status).in_(statuses))
    if is_own is not None:
        mine = col(Proposal.created_by_id) == context.actor.user_id
        query = query.where(mine if is_own else ~mine)
    keys = [
        SortKey(Proposal.created_at, "created_at", datetime.fromisoformat, is_descending=True),
        SortKey(Proposal.id, "id", UUID, is_descending=True),
    ]
    return await _page(context, query, keys, page)


async def versions(context: Context, page: PageRequest, workflow_id: UUID) -> Page[Version]:
    """List the versions of a workflow that the caller has been found to see, newest first."""
    query = select(Version).where(Version.workflow_id == workflow_id)
    return await _page(context, query, [SortKey(Version.number, "number", int, is_descending=True)], page)


async def audit_entries(context: Context, page: PageRequest, workflow_id: UUID) -> Page[AuditEntry]:
    """List the audit entries of a workflow that the caller has been found to see, newest first."""
    query = select(AuditEntry).where(AuditEntry.workflow_id == workflow_id)
    keys = [
        SortKey(AuditEntry.at, "at", datetime.fromisoformat, is_descending=True),
        SortKey(AuditEntry.id, "id", UUID, is_descending=True),
    ]
    return await _page(context, query, keys, page)


async def _page(context: Context, query: Select[Any], keys: Sequence[SortKey], page: PageRequest) -> Page[Any]:
    async def count() -> int:
        async with context.database.transaction() as session:
            return await count_rows(session, query)

    async with context.database.transaction() as session:
        return await read_page(session, query, keys, page, count)


def _escaped(text: str) -> str:
    """Take the meaning from the characters that stand for others in LIKE."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
