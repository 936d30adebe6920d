"""Batched reads for one request. Loaders remember nothing, so that a subscription never shows an old state."""

from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy.dialects.postgresql import distinct_on
from sqlmodel import col, func, select
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
from graphql_api.events.records import StoredEvent
from graphql_api.identity import models as identity
from graphql_api.identity import users
from graphql_api.kit import contents
from graphql_api.kit.database import Session
from graphql_api.kit.errors import DomainError
from graphql_api.kit.files import FileChange, FileEntry, changed_digests, changes_between
from graphql_api.kit.pagination import Page
from graphql_api.runtimes import snapshots
from graphql_api.runtimes.models import Execution

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
FileEntries = dict[str, FileEntry]


class Loaders:
    """What resolvers read, each kind in one statement for all that ask at once.

    Args:
        context: The request.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self.event_head: DataLoader[UUID, int] = DataLoader(self._event_heads, cache=False)
        self.user: DataLoader[UUID, identity.User] = self._loader(users.by_ids)
        self.content: DataLoader[str, str] = self._loader(contents.load)
        self.workflow: DataLoader[UUID, tuple[Workflow, AccessRole] | None] = self._loader(self._workflows)
        self.members: DataLoader[UUID, list[WorkflowMember]] = self._loader(_members)
        self.draft: DataLoader[UUID, Draft | None] = self._loader(_by_id(Draft))
        self.open_draft: DataLoader[UUID, Draft | None] = self._loader(_open_drafts)
        self.draft_files: DataLoader[UUID, FileEntries] = self._loader(filesets.of_drafts)
        self.draft_file_count: DataLoader[UUID, int | None] = self._loader(_draft_file_counts)
        self.version: DataLoader[UUID, Version | None] = self._loader(_by_id(Version))
        self.numbered_version: DataLoader[tuple[UUID, int], Version | None] = self._loader(_numbered_versions)
        self.latest_version: DataLoader[UUID, Version | None] = self._loader(_latest_versions)
        self.version_files: DataLoader[UUID, FileEntries] = self._loader(filesets.of_versions)
        self.version_file_count: DataLoader[UUID, int | None] = self._loader(_version_file_counts)
        self.proposal: DataLoader[UUID, Proposal | None] = self._loader(_by_id(Proposal))
        self.execution: DataLoader[UUID, Execution | None] = self._loader(_by_id(Execution))
        self.execution_files: DataLoader[tuple[UUID, int | None], dict[str, FileEntry]] = self._loader(
            snapshots.files_of
        )
        self.preview: DataLoader[UUID, Preview | None] = self._loader(approval.previews)
        self.audit_entry: DataLoader[UUID, AuditEntry | None] = self._loader(_by_id(AuditEntry))
        self.seen_user: DataLoader[UUID, identity.User | None] = self._loader(self._seen_users)
        self.page: DataLoader[tuple[UUID, WorkflowList], Page[Any]] = DataLoader(self._pages, cache=False)
        self.first_events: DataLoader[tuple[UUID, int], list[StoredEvent]] = DataLoader(self._first_events, cache=False)

    async def compare(self, before: Mapping[str, FileEntry], after: Mapping[str, FileEntry]) -> list[FileChange]:
        """List what differs between two sets of files."""
        digests = sorted(changed_digests(before, after))
        return changes_between(before, after, dict(zip(digests, await self.content.load_many(digests), strict=True)))

    def _loader(self, read: Callable[[Session, list[Key]], Awaitable[Mapping[Key, Value]]]) -> DataLoader[Key, Any]:
        async def load(keys: list[Key]) -> Sequence[Value | None]:
            async with self._context.database.reading() as session:
                found = await read(session, list(dict.fromkeys(keys)))
            return [found.get(key) for key in keys]

        return DataLoader(load, cache=False)

    async def _event_heads(self, subjects: list[UUID]) -> Sequence[int]:
        heads = await self._context.log.heads(subjects)
        return [heads.get(subject, 0) for subject in subjects]

    async def _workflows(self, session: Session, ids: list[UUID]) -> dict[UUID, tuple[Workflow, AccessRole]]:
        """Read workflows with the caller's role in each; what they may not see is not there."""
        roles = await access.roles_of(session, self._context.actor, ids)
        rows = await session.exec(select(Workflow).where(col(Workflow.id).in_(roles)))
        return {row.id: (row, roles[row.id]) for row in rows}

    async def _seen_users(self, session: Session, ids: list[UUID]) -> dict[UUID, identity.User]:
        """Read users whom the caller shares a workflow with, and the caller."""
        return await users.by_ids(session, await access.seen_users(session, self._context.actor, ids))

    async def _pages(self, keys: list[tuple[UUID, WorkflowList]]) -> Sequence[Page[Any] | DomainError]:
        """Read pages: one statement for each list that is asked for, whatever the number of workflows."""
        pages: dict[tuple[UUID, WorkflowList], Page[Any] | DomainError] = {}
        for wanted in dict.fromkeys(wanted for _, wanted in keys):
            ids = list(dict.fromkeys(id_ for id_, each in keys if each == wanted))
            try:
                found = await listing.of_workflows(self._context, wanted, ids)
            except DomainError as error:
                pages.update({(id_, wanted): error for id_ in ids})
            else:
                pages.update({(id_, wanted): page for id_, page in found.items()})
        return [pages[key] for key in keys]

    async def _first_events(self, keys: list[tuple[UUID, int]]) -> Sequence[list[StoredEvent]]:
        limits = {limit for _, limit in keys}
        pages = {
            limit: await self._context.log.read_starts({id_ for id_, each in keys if each == limit}, limit=limit)
            for limit in limits
        }
        return [pages[limit][id_] for id_, limit in keys]


def _by_id(model: Any) -> Callable[[Session, list[UUID]], Awaitable[dict[UUID, Any]]]:  # noqa: ANN401 - any table with a key
    async def read(session: Session, ids: list[UUID]) -> dict[UUID, Any]:
        rows = await session.exec(select(model).where(model.id.in_(ids)))
        return {row.id: row for row in rows}

    return read


async def _members(session: Session, workflow_ids: list[UUID]) -> dict[UUID, list[WorkflowMember]]:
    query = (
        select(WorkflowMember)
        .where(col(WorkflowMember.workflow_id).in_(workflow_ids))
        .order_by(col(WorkflowMember.since), col(WorkflowMember.user_id))
    )
    members: dict[UUID, list[WorkflowMember]] = {id_: [] for id_ in workflow_ids}
    for member in await session.exec(query):
        members[member.workflow_id].append(member)
    return members


async def _open_drafts(session: Session, workflow_ids: list[UUID]) -> dict[UUID, Draft]:
    query = select(Draft).where(col(Draft.workflow_id).in_(workflow_ids), col(Draft.closed_at).is_(None))
    return {draft.workflow_id: draft for draft in await session.exec(query)}


async def _numbered_versions(session: Session, keys: list[tuple[UUID, int]]) -> dict[tuple[UUID, int], Version]:
    query = select(Version).where(
        col(Version.workflow_id).in_({workflow_id for workflow_id, _ in keys}),
        col(Version.number).in_({number for _, number in keys}),
    )
    return {(version.workflow_id, version.number): version for version in await session.exec(query)}


async def _latest_versions(session: Session, workflow_ids: list[UUID]) -> dict[UUID, Version]:
    query = (
        select(Version)
        .ext(distinct_on(col(Version.workflow_id)))
        .where(col(Version.workflow_id).in_(workflow_ids))
        .order_by(col(Version.workflow_id), col(Version.number).desc())
    )
    return {version.workflow_id: version for version in await session.exec(query)}


async def _draft_file_counts(session: Session, draft_ids: list[UUID]) -> dict[UUID, int]:
    query = (
        select(DraftFile.draft_id, func.count())
        .where(col(DraftFile.draft_id).in_(draft_ids), col(DraftFile.to_revision).is_(None))
        .group_by(col(DraftFile.draft_id))
    )
    return dict((await session.exec(query)).all())


async def _version_file_counts(session: Session, version_ids: list[UUID]) -> dict[UUID, int]:
    query = (
        select(VersionFile.version_id, func.count())
        .where(col(VersionFile.version_id).in_(version_ids))
        .group_by(col(VersionFile.version_id))
    )
    return dict((await session.exec(query)).all())
