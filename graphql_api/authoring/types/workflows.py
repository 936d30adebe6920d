"""GraphQL types of workflows, their members and locks."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

import strawberry

from graphql_api.authoring import listing, models
from graphql_api.authoring.loaders import Loaders
from graphql_api.authoring.types import drafts, proposals, versions
from graphql_api.authoring.types.arguments import After, AfterEvent, Before, First, Last
from graphql_api.authoring.types.audit import AuditEntry
from graphql_api.authoring.types.enums import AccessRole
from graphql_api.authoring.types.event_pages import WorkflowEventConnection, head_cursor, workflow_event_page
from graphql_api.authoring.types.info import Info
from graphql_api.authoring.types.inputs import ProposalFilter
from graphql_api.authoring.types.lazy import LazyDraft, LazyProposal, LazyVersion
from graphql_api.authoring.types.loading import loaded
from graphql_api.authoring.types.membership import WorkflowLock, WorkflowMember
from graphql_api.identity import models as identity
from graphql_api.identity.types import User
from graphql_api.kit.columns import now
from graphql_api.kit.errors import NotFound
from graphql_api.kit.pagination import PageRequest
from graphql_api.kit.showing import show, shows_row
from graphql_api.kit.types import Connection, EventCursor, Node, connection_of


@shows_row(
    viewer_role=None,
    lock=lambda workflow: _lock(workflow.row),
    event_head=lambda workflow: head_cursor(workflow.row),
)
@strawberry.type(description="A team's agent workflow: its specification files, versions and proposals.")
class Workflow(Node):
    """A team's agent workflow."""

    name: str = strawberry.field(description="1 to 200 characters on one line.")
    description: str | None = strawberry.field(description="What it is for, at most 10000 characters.")
    is_archived: bool = strawberry.field(description="Whether it is put away: it can be read, but not changed.")
    viewer_role: AccessRole = strawberry.field(
        description="The role of the signed-in user; decides what they may do here."
    )
    lock: WorkflowLock | None = strawberry.field(description="Held by whoever edits now; null when free.")
    created_at: datetime = strawberry.field(description="When it was made.")
    updated_at: datetime = strawberry.field(description="When anything about it changed last.")
    event_head: EventCursor | None = strawberry.field(
        description="The newest event's position: subscribe from here to miss nothing after this read."
    )
    row: strawberry.Private[models.Workflow]

    @classmethod
    def of(cls, row: models.Workflow, role: AccessRole) -> Self:
        """Show a workflow to somebody with a role in it."""
        return show(cls, row, viewer_role=role)

    @property
    def production_key(self) -> tuple[UUID, int] | None:
        """What finds the version that is deployed."""
        number = self.row.production_version_number
        return None if number is None else (self.row.id, number)

    @classmethod
    async def load(cls, info: Info, id_: UUID) -> Self | None:
        """Read a workflow; None when it is not there or not the caller's to see."""
        found = await info.context.loader(Loaders).workflow.load(id_)
        return None if found is None else cls.of(*found)

    @classmethod
    async def get(cls, info: Info, id_: UUID) -> Self:
        """Read a workflow that the caller has just been found to see.

        Raises:
            NotFound: When their access ended in between.
        """
        return cls.found(await info.context.loader(Loaders).workflow.load(id_))

    @classmethod
    def found(cls, found: tuple[models.Workflow, AccessRole] | None) -> Self:
        """Show a workflow that the caller has just been found to see.

        Raises:
            NotFound: When their access ended in between.
        """
        if found is None:
            raise NotFound("There is no such workflow any more.")
        return cls.of(*found)

    @classmethod
    async def after(cls, info: Info, row: models.Workflow) -> Self:
        """Show a workflow that the caller has just changed; once more, as to a viewer, when their access has ended."""
        return await cls.load(info, row.id) or cls.of(row, models.AccessRole.VIEWER)

    @strawberry.field(description="Who has owned it longest.")
    @loaded(lambda loaders: loaders.owner, by=lambda workflow: workflow.row.id)
    def owner(self, found: identity.User) -> User:
        """Show the longest-standing owner."""
        return User.of(found)

    @strawberry.field(description="Everybody with access, in the order in which they got it.")
    @loaded(lambda loaders: loaders.members, by=lambda workflow: workflow.row.id)
    def members(self, found: list[models.WorkflowMember]) -> list[WorkflowMember]:
        """List the members."""
        return [WorkflowMember(user_id=member.user_id, role=member.role, since=member.since) for member in found]

    @strawberry.field(description="The one open draft, if any.")
    @loaded(lambda loaders: loaders.open_draft, by=lambda workflow: workflow.row.id)
    def draft(self, found: models.Draft | None) -> LazyDraft | None:
        """Show the open draft."""
        return None if found is None else drafts.Draft.of(found)

    @strawberry.field(description="All versions, newest first.")
    async def versions(
        self, info: Info, first: First = None, after: After = None, last: Last = None, before: Before = None
    ) -> Connection[LazyVersion]:
        """List the versions."""
        wanted = listing.Versions(PageRequest(first, after, last, before))
        page = await info.context.loader(Loaders).page.load((self.row.id, wanted))
        return connection_of(page, versions.Version.of)

    @strawberry.field(description="One version by its number; null when there is none.")
    async def version(
        self, info: Info, number: Annotated[int, strawberry.argument(description="1, 2, 3 …")]
    ) -> LazyVersion | None:
        """Show one version."""
        row = await info.context.loader(Loaders).numbered_version.load((self.row.id, number))
        return None if row is None else versions.Version.of(row)

    @strawberry.field(description="The newest version; null before the first is published.")
    @loaded(lambda loaders: loaders.latest_version, by=lambda workflow: workflow.row.id)
    def latest_version(self, found: models.Version | None) -> LazyVersion | None:
        """Show the newest version."""
        return None if found is None else versions.Version.of(found)

    @strawberry.field(description="The version that is deployed; null before the first is.")
    @loaded(lambda loaders: loaders.numbered_version, by=lambda workflow: workflow.production_key)
    def production_version(self, found: models.Version | None) -> LazyVersion | None:
        """Show the deployed version."""
        return None if found is None else versions.Version.of(found)

    @strawberry.field(description="What agents were asked for here, newest first.")
    async def proposals(
        self,
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        filter: Annotated[ProposalFilter | None, strawberry.argument(description="Only some.")] = None,  # noqa: A002 - the argument's GraphQL name
    ) -> Connection[LazyProposal]:
        """List the proposals."""
        wanted = (filter or ProposalFilter()).to_list(PageRequest(first, after, last, before))
        page = await info.context.loader(Loaders).page.load((self.row.id, wanted))
        return connection_of(page, proposals.Proposal.of)

    @strawberry.field(description="What happened here, oldest first.")
    async def events(self, info: Info, first: First = None, after: AfterEvent = None) -> WorkflowEventConnection:
        """List the events."""
        return await workflow_event_page(info, self.row.id, first, after)

    @strawberry.field(description="Who changed what here, newest first.")
    async def audit_log(self, info: Info, first: First = None, after: After = None) -> Connection[AuditEntry]:
        """List the audit entries."""
        page = await info.context.loader(Loaders).page.load(
            (self.row.id, listing.AuditEntries(PageRequest(first, after)))
        )
        return connection_of(page, AuditEntry.of)


def _lock(row: models.Workflow) -> WorkflowLock | None:
    if row.lock_holder_id and row.lock_acquired_at and row.lock_expires_at and row.lock_expires_at > now():
        return WorkflowLock(
            holder_id=row.lock_holder_id, acquired_at=row.lock_acquired_at, expires_at=row.lock_expires_at
        )
    return None
