"""Lists that grow, in pages."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import ARRAY, Select, Text, any_, bindparam, or_, type_coerce

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
from graphql_api.events.log import event_head
from graphql_api.identity.actor import Actor
from graphql_api.kit.columns import columns_of, select_rows
from graphql_api.kit.pagination import (
    Keys,
    Page,
    PageRequest,
    Query,
    SortKey,
    SortValue,
    count_by,
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
_VERSIONS, _ENTRIES = select_rows(*_version), select_rows(*_entry)
PROPOSALS = select_rows(*_proposal, event_head(_proposal.id))
"""All of them, each with its `event_head`."""

_WORKFLOW_COLUMNS: dict[WorkflowOrderField, tuple[Any, str, Callable[[str], SortValue]]] = {
    WorkflowOrderField.NAME: (_workflow.name, "name", str),
    WorkflowOrderField.CREATED_AT: (_workflow.created_at, "created_at", datetime.fromisoformat),
    WorkflowOrderField.UPDATED_AT: (_workflow.updated_at, "updated_at", datetime.fromisoformat),
}
_ORDERS: dict[tuple[WorkflowOrderField, bool], Keys] = {
    (order, is_descending): (
        SortKey(*column, is_descending=is_descending),
        SortKey(_workflow.id, "id", UUID, is_descending=is_descending),
    )
    for order, column in _WORKFLOW_COLUMNS.items()
    for is_descending in (True, False)
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
) -> Page[Any]:
    """List the workflows that the caller may see, each with their role in it as `viewer_role`.

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
    wanted = checked_text(search or "", path=["filter", "search"], maximum=MAX_SEARCH_LENGTH)
    values: dict[str, object] = {"user_id": context.actor.user_id}
    if wanted:
        values["pattern"] = f"%{_escaped(wanted)}%"
    if is_archived is not None:
        values["is_archived"] = is_archived
    if role is not None:
        values["role"] = role
    query = Query(_workflows(frozenset(values), is_admin=context.actor.is_admin), values)
    return await read_page(context.reader, query, _ORDERS[order, is_descending], page)


@cache
def _workflows(given: frozenset[str], *, is_admin: bool) -> Select[Any]:
    """Select the workflows that somebody may see and to which all applies that is given."""
    query = access.with_role(is_admin=is_admin)
    if "pattern" in given:
        pattern = bindparam("pattern", type_=Text)
        query = query.where(or_(_workflow.name.ilike(pattern), _workflow.description.ilike(pattern)))
    if "is_archived" in given:
        query = query.where(_workflow.is_archived == bindparam("is_archived"))
    if "role" in given:
        is_own = (_member.user_id == bindparam("user_id"), _member.role == bindparam("role", type_=_member.role.type))
        query = query.where(_workflow.id.in_(select_rows(_member.workflow_id).where(*is_own)))
    return query


@dataclass(frozen=True, slots=True)
class Versions:
    """Some of a workflow's versions, newest first."""

    page: PageRequest
    keys: ClassVar[Keys] = (SortKey(_version.number, "number", int, is_descending=True),)

    def query(self, _actor: Actor) -> Query:
        """Select all of them."""
        return Query(_VERSIONS)


@dataclass(frozen=True, slots=True)
class AuditEntries:
    """Some of a workflow's audit entries, newest first."""

    page: PageRequest
    keys: ClassVar[Keys] = (
        SortKey(_entry.at, "at", datetime.fromisoformat, is_descending=True),
        SortKey(_entry.id, "id", UUID, is_descending=True),
    )

    def query(self, _actor: Actor) -> Query:
        """Select all of them."""
        return Query(_ENTRIES)


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
    keys: ClassVar[Keys] = (
        SortKey(_proposal.created_at, "created_at", datetime.fromisoformat, is_descending=True),
        SortKey(_proposal.id, "id", UUID, is_descending=True),
    )

    def query(self, actor: Actor, *, seen_by_admin: bool | None = None) -> Query:
        """Select all that are wanted.

        Args:
            actor: Who wants them.
            seen_by_admin: Only those of workflows that the actor may see, who is an administrator or is not; those of
                all workflows when None.
        """
        values: dict[str, object] = {"user_id": actor.user_id}
        if self.statuses is not None:
            values["statuses"] = [status.value for status in self.statuses]
        return Query(_proposals(frozenset(values), self.is_own, seen_by_admin), values)


@cache
def _proposals(given: frozenset[str], is_own: bool | None, seen_by_admin: bool | None) -> Select[Any]:  # noqa: FBT001 - see Proposals
    query = PROPOSALS
    if "statuses" in given:
        query = query.where(type_coerce(_proposal.status, Text) == any_(bindparam("statuses", type_=ARRAY(Text))))
    if is_own is not None:
        mine = _proposal.created_by_id == bindparam("user_id")
        query = query.where(mine if is_own else ~mine)
    if seen_by_admin is not None:
        seen = access.with_role(is_admin=seen_by_admin).with_only_columns(_workflow.id)
        query = query.where(_proposal.workflow_id.in_(seen))
    return query


WorkflowList = Versions | AuditEntries | Proposals
"""A list that each workflow has."""


async def of_workflows(context: Context, wanted: WorkflowList, workflow_ids: Sequence[UUID]) -> dict[UUID, Page[Any]]:
    """Read the same page of a list of several workflows, which the caller has been found to see."""
    query = wanted.query(context.actor)
    parent = query.select.selected_columns.workflow_id
    lock, counts = asyncio.Lock(), dict[UUID, int]()

    async def count(workflow_id: UUID) -> int:
        """Count for all of them as soon as one is asked for."""
        async with lock:
            if not counts:
                found = await count_by(context.reader, query, parent, workflow_ids)
                counts.update({**dict.fromkeys(workflow_ids, 0), **found})
        return counts[workflow_id]

    return await read_pages(context.reader, query, parent, workflow_ids, wanted.keys, wanted.page, count)


async def seen_proposals(context: Context, wanted: Proposals) -> Page[Proposal]:
    """Read a page of the proposals of all workflows that the caller may see."""
    query = wanted.query(context.actor, seen_by_admin=context.actor.is_admin)
    return await read_page(context.reader, query, wanted.keys, wanted.page)


def _escaped(text: str) -> str:
    """Take the meaning from the characters that stand for others in LIKE."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
