"""Batched reads for one request. Loaders remember nothing, so that a subscription never shows an old state."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from functools import cache, partial
from operator import attrgetter
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Integer, Select, Uuid, func
from sqlalchemy.dialects.postgresql import distinct_on
from sqlmodel import SQLModel
from strawberry.dataloader import DataLoader

from graphql_api.authoring import access, approval, filesets, listing
from graphql_api.authoring.listing import WorkflowList
from graphql_api.authoring.models import (
    AccessRole,
    AuditEntry,
    Draft,
    DraftFile,
    Proposal,
    Version,
    VersionFile,
    Workflow,
    WorkflowMember,
)
from graphql_api.authoring.previews import Preview
from graphql_api.context import Context
from graphql_api.events.log import HEADS
from graphql_api.events.records import StoredEvent
from graphql_api.identity import models as identity
from graphql_api.identity import users
from graphql_api.kit import contents
from graphql_api.kit.columns import among, columns_of, listed, select_rows
from graphql_api.kit.errors import DomainError
from graphql_api.kit.files import FileChange, FileEntry, changed_digests, changes_between
from graphql_api.kit.loading import RowLoader
from graphql_api.kit.pagination import Page
from graphql_api.kit.statements import Rows
from graphql_api.runtimes import snapshots
from graphql_api.runtimes.models import Execution

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
FileEntries = dict[str, FileEntry]

_member, _user = columns_of(WorkflowMember), columns_of(identity.User)
_draft, _version = columns_of(Draft), columns_of(Version)
_draft_file, _version_file = columns_of(DraftFile), columns_of(VersionFile)

_MEMBERS = select_rows(*_member).where(among(_member.workflow_id))
_OWNERS = (
    select_rows(_member.workflow_id, *users.SHOWN)
    .ext(distinct_on(_member.workflow_id))
    .where(among(_member.workflow_id), _member.role == AccessRole.OWNER, _user.id == _member.user_id)
    .order_by(_member.workflow_id, _member.since, _member.user_id)
)
_OPEN_DRAFTS = select_rows(*_draft).where(among(_draft.workflow_id), _draft.closed_at.is_(None))
_LATEST_VERSIONS = (
    select_rows(*_version)
    .ext(distinct_on(_version.workflow_id))
    .where(among(_version.workflow_id))
    .order_by(_version.workflow_id, _version.number.desc())
)
_numbered = listed("numbered", workflow=Uuid, number=Integer).c
_NUMBERED_VERSIONS = select_rows(*_version).where(
    _version.workflow_id == _numbered.workflow, _version.number == _numbered.number
)
_PROPOSALS = listing.PROPOSALS.where(among(columns_of(Proposal).id))
_DRAFT_FILE_COUNTS = (
    select_rows(_draft_file.draft_id, func.count())
    .where(among(_draft_file.draft_id), _draft_file.to_revision.is_(None))
    .group_by(_draft_file.draft_id)
)
_VERSION_FILE_COUNTS = (
    select_rows(_version_file.version_id, func.count())
    .where(among(_version_file.version_id))
    .group_by(_version_file.version_id)
)


class Loaders:
    """What resolvers read: each kind at once for all that ask at once, and all kinds in one statement.

    Args:
        context: The request.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        rows, caller = partial(RowLoader, context.reader), lambda: {"user_id": context.actor.user_id}
        is_admin = context.signed_in is not None and context.signed_in.is_admin
        self.event_head: DataLoader[UUID, int | None] = rows(HEADS, dict)
        self.user: DataLoader[UUID, identity.User] = rows(users.USERS, _by("id"))
        self.content: DataLoader[str, str] = rows(contents.TEXTS, dict)
        self.workflow: DataLoader[UUID, tuple[Workflow, AccessRole] | None] = rows(
            access.seen(is_admin=is_admin),
            lambda rows: {row.id: (row, row.viewer_role) for row in rows},
            caller,
        )
        self.owner: DataLoader[UUID, identity.User] = rows(_OWNERS, _by("workflow_id"))
        self.members: DataLoader[UUID, list[WorkflowMember]] = rows(_MEMBERS, _members)
        self.draft: DataLoader[UUID, Draft | None] = rows(_of(Draft), _by("id"))
        self.open_draft: DataLoader[UUID, Draft | None] = rows(_OPEN_DRAFTS, _by("workflow_id"))
        self.draft_files: DataLoader[UUID, FileEntries] = self._loader(filesets.of_drafts)
        self.draft_file_count: DataLoader[UUID, int | None] = rows(_DRAFT_FILE_COUNTS, dict)
        self.version: DataLoader[UUID, Version | None] = rows(_of(Version), _by("id"))
        self.numbered_version: DataLoader[tuple[UUID, int], Version | None] = self._loader(_numbered_versions)
        self.latest_version: DataLoader[UUID, Version | None] = rows(_LATEST_VERSIONS, _by("workflow_id"))
        self.version_files: DataLoader[UUID, FileEntries] = self._loader(filesets.of_versions)
        self.version_file_count: DataLoader[UUID, int | None] = rows(_VERSION_FILE_COUNTS, dict)
        self.proposal: DataLoader[UUID, Proposal | None] = rows(_PROPOSALS, _by("id"))
        self.execution: DataLoader[UUID, Execution | None] = rows(_of(Execution), _by("id"))
        self.files_now: DataLoader[UUID, FileEntries] = self._loader(snapshots.files_now)
        self.files_then: DataLoader[tuple[UUID, int], FileEntries] = self._loader(snapshots.files_then)
        self.preview: DataLoader[UUID, Preview | None] = self._loader(approval.previews)
        self.audit_entry: DataLoader[UUID, AuditEntry | None] = rows(_of(AuditEntry), _by("id"))
        self.seen_user: DataLoader[UUID, identity.User | None] = rows(
            access.seen_users(is_admin=is_admin), _by("id"), caller
        )
        self.page: DataLoader[tuple[UUID, WorkflowList], Page[Any]] = DataLoader(self._pages, cache=False)
        self.first_events: DataLoader[tuple[UUID, int], list[StoredEvent]] = DataLoader(self._first_events, cache=False)

    async def compare(self, before: Mapping[str, FileEntry], after: Mapping[str, FileEntry]) -> list[FileChange]:
        """List what differs between two sets of files."""
        digests = sorted(changed_digests(before, after))
        return changes_between(before, after, dict(zip(digests, await self.content.load_many(digests), strict=True)))

    def _loader(self, read: Callable[[Rows, list[Key]], Awaitable[Mapping[Key, Value]]]) -> DataLoader[Key, Any]:
        async def load(keys: list[Key]) -> Sequence[Value | None]:
            found = await read(self._context.reader, list(dict.fromkeys(keys)))
            return [found.get(key) for key in keys]

        return DataLoader(load, cache=False)

    async def _pages(self, keys: list[tuple[UUID, WorkflowList]]) -> Sequence[Page[Any] | DomainError]:
        """Read pages of each list that is asked for, whatever the number of workflows."""
        lists: dict[WorkflowList, dict[UUID, None]] = {}
        for id_, wanted in keys:
            lists.setdefault(wanted, {})[id_] = None
        found = await asyncio.gather(*(self._pages_of(wanted, list(ids)) for wanted, ids in lists.items()))
        pages = dict(zip(lists, found, strict=True))
        return [pages[wanted][id_] for id_, wanted in keys]

    async def _pages_of(self, wanted: WorkflowList, workflow_ids: list[UUID]) -> Mapping[UUID, Page[Any] | DomainError]:
        try:
            return await listing.of_workflows(self._context, wanted, workflow_ids)
        except DomainError as error:
            return dict.fromkeys(workflow_ids, error)

    async def _first_events(self, keys: list[tuple[UUID, int]]) -> Sequence[list[StoredEvent]]:
        subjects: dict[int, set[UUID]] = {}
        for id_, limit in keys:
            subjects.setdefault(limit, set()).add(id_)
        read, reader = self._context.log.read_starts, self._context.reader
        found = await asyncio.gather(*(read(ids, limit=limit, reader=reader) for limit, ids in subjects.items()))
        pages = dict(zip(subjects, found, strict=True))
        return [pages[limit][id_] for id_, limit in keys]


@cache
def _of(model: type[SQLModel]) -> Select[Any]:
    """Select the rows of a table by their keys."""
    columns = columns_of(model)
    return select_rows(*columns).where(among(columns.id))


def _by(attribute: str) -> Callable[[Sequence[Any]], dict[Any, Any]]:
    """Give each row under one of its attributes."""
    key = attrgetter(attribute)
    return lambda rows: {key(row): row for row in rows}


def _members(rows: Sequence[Any]) -> dict[UUID, list[Any]]:
    members: defaultdict[UUID, list[Any]] = defaultdict(list)
    for row in sorted(rows, key=attrgetter("since", "user_id")):
        members[row.workflow_id].append(row)
    return members


async def _numbered_versions(reader: Rows, keys: list[tuple[UUID, int]]) -> dict[tuple[UUID, int], Version]:
    workflows, numbers = [each for each, _ in keys], [number for _, number in keys]
    versions = await reader.rows(_NUMBERED_VERSIONS, workflow=workflows, number=numbers)
    return {(version.workflow_id, version.number): version for version in versions}
