"""GraphQL types of what happens to a workflow."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import strawberry

from graphql_api.authoring.loaders import Loaders
from graphql_api.authoring.types import drafts, proposals, versions, workflows
from graphql_api.authoring.types.audit import user_or_none
from graphql_api.authoring.types.enums import AccessRole, ProposalStatus
from graphql_api.authoring.types.files import FileChange
from graphql_api.authoring.types.info import Info
from graphql_api.authoring.types.lazy import LazyDraft, LazyProposal, LazyVersion, LazyWorkflow
from graphql_api.authoring.types.membership import WorkflowLock
from graphql_api.events.cursors import encode_cursor
from graphql_api.events.records import LiveEvent, StoredEvent
from graphql_api.events.types import Event
from graphql_api.identity.types import User
from graphql_api.kit.ids import to_global_id
from graphql_api.kit.types import EventCursor


@strawberry.interface(
    description="One thing that happened to a workflow, its draft, versions, decisions, lock or members."
)
class WorkflowEvent(Event):
    """One thing that happened to a workflow."""

    workflow_id: strawberry.Private[UUID]
    actor_id: strawberry.Private[UUID | None]

    @strawberry.field(description="The workflow as it is now.")
    async def workflow(self, info: Info) -> LazyWorkflow:
        """Show the workflow."""
        return await workflows.Workflow.get(info, self.workflow_id)

    @strawberry.field(description="Who did it; null for the system itself.")
    async def actor(self, info: Info) -> User | None:
        """Show who did it."""
        return await user_or_none(info, self.actor_id)

    @classmethod
    def read(cls, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """Give the type's own fields from what the log stored."""
        return payload


@strawberry.type(description="It was made.")
class WorkflowCreated(WorkflowEvent):
    """It was made."""


@strawberry.type(description="Its name or description changed, or it was archived, restored or deleted.")
class WorkflowUpdated(WorkflowEvent):
    """It changed."""


@strawberry.type(description="Its lock was taken, renewed, given back or broken.")
class WorkflowLockChanged(WorkflowEvent):
    """Its lock changed."""

    lock: WorkflowLock | None = strawberry.field(description="The lock after the change; null when it is free.")

    @classmethod
    def read(cls, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """Read the lock."""
        lock = payload["lock"]
        if lock is None:
            return {"lock": None}
        return {
            "lock": WorkflowLock(
                holder_id=UUID(lock["holder_id"]),
                acquired_at=datetime.fromisoformat(lock["acquired_at"]),
                expires_at=datetime.fromisoformat(lock["expires_at"]),
            )
        }


@strawberry.type(description="Somebody was given access, another role, or lost access.")
class WorkflowMembersChanged(WorkflowEvent):
    """Its members changed."""

    role: AccessRole | None = strawberry.field(description="Their role now; null when access was taken away.")
    member_id: strawberry.Private[UUID]

    @strawberry.field(description="Whose access changed.")
    async def member(self, info: Info) -> User:
        """Show whose access changed."""
        return User.of(await info.context.loader(Loaders).user.load(self.member_id))

    @classmethod
    def read(cls, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """Read the member."""
        role = payload["role"]
        return {"member_id": UUID(payload["member_id"]), "role": AccessRole(role) if role else None}


@strawberry.type(description="A draft was opened or changed.")
class DraftChanged(WorkflowEvent):
    """A draft changed."""

    revision: int = strawberry.field(description="The revision that the change made.")
    changes: list[FileChange] = strawberry.field(description="What it changed.")
    draft_id: strawberry.Private[UUID]

    @strawberry.field(description="The draft as it is now.")
    async def draft(self, info: Info) -> LazyDraft | None:
        """Show the draft."""
        row = await info.context.loader(Loaders).draft.load(self.draft_id)
        return None if row is None else drafts.Draft.of(row)

    @classmethod
    def read(cls, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """Read the changes."""
        return {
            "draft_id": UUID(payload["draft_id"]),
            "revision": payload["revision"],
            "changes": [FileChange.from_payload(change) for change in payload["changes"]],
        }


@strawberry.type(description="A draft was discarded.")
class DraftDiscarded(WorkflowEvent):
    """A draft was discarded."""

    draft_id: strawberry.ID = strawberry.field(description="Global id of the draft.")

    @classmethod
    def read(cls, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """Read the draft's id."""
        return {"draft_id": strawberry.ID(to_global_id("Draft", UUID(payload["draft_id"])))}


@strawberry.type(description="A proposal was made, or moved on.")
class ProposalStatusChanged(WorkflowEvent):
    """A proposal moved on."""

    from_: ProposalStatus | None = strawberry.field(
        name="from", description="The status that it had; null when it was made."
    )
    to: ProposalStatus = strawberry.field(description="The status that it has since.")
    proposal_id: strawberry.Private[UUID]

    @strawberry.field(description="The proposal as it is now.")
    async def proposal(self, info: Info) -> LazyProposal:
        """Show the proposal."""
        row = await info.context.loader(Loaders).proposal.load(self.proposal_id)
        if row is None:
            raise LookupError(self.proposal_id)
        return proposals.Proposal.of(row)

    @classmethod
    def read(cls, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """Read the statuses."""
        before = payload["before"]
        return {
            "proposal_id": UUID(payload["proposal_id"]),
            "from_": ProposalStatus(before) if before else None,
            "to": ProposalStatus(payload["after"]),
        }


async def _version(info: Info, key: UUID) -> LazyVersion:
    row = await info.context.loader(Loaders).version.load(key)
    if row is None:
        raise LookupError(key)
    return versions.Version.of(row)


def _with_version(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**payload, "version_id": UUID(payload["version_id"])}


@strawberry.type(description="A draft became a version.")
class VersionPublished(WorkflowEvent):
    """A draft became a version."""

    version_id: strawberry.Private[UUID]

    @strawberry.field(description="The new version.")
    async def version(self, info: Info) -> LazyVersion:
        """Show the version."""
        return await _version(info, self.version_id)

    @classmethod
    def read(cls, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """Read the version's key."""
        return _with_version(payload)


@strawberry.type(description="The production pointer moved.")
class VersionDeployed(WorkflowEvent):
    """The production pointer moved."""

    version_id: strawberry.Private[UUID]
    previous_number: strawberry.Private[int | None]

    @strawberry.field(description="The version that is deployed since.")
    async def version(self, info: Info) -> LazyVersion:
        """Show the version."""
        return await _version(info, self.version_id)

    @strawberry.field(description="The version that was deployed before; null for the first deployment.")
    async def previous(self, info: Info) -> LazyVersion | None:
        """Show the version before."""
        if self.previous_number is None:
            return None
        key = (self.workflow_id, self.previous_number)
        row = await info.context.loader(Loaders).numbered_version.load(key)
        return None if row is None else versions.Version.of(row)

    @classmethod
    def read(cls, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """Read the version's key."""
        return _with_version(payload)


@strawberry.type(description="A version is not to be used any more.")
class VersionDeprecated(WorkflowEvent):
    """A version was deprecated."""

    version_id: strawberry.Private[UUID]

    @strawberry.field(description="The version.")
    async def version(self, info: Info) -> LazyVersion:
        """Show the version."""
        return await _version(info, self.version_id)

    @classmethod
    def read(cls, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """Read the version's key."""
        return _with_version(payload)


WORKFLOW_EVENTS: dict[str, type[WorkflowEvent]] = {
    type_.__name__: type_
    for type_ in (
        WorkflowCreated,
        WorkflowUpdated,
        WorkflowLockChanged,
        WorkflowMembersChanged,
        DraftChanged,
        DraftDiscarded,
        ProposalStatusChanged,
        VersionPublished,
        VersionDeployed,
        VersionDeprecated,
    )
}
"""The types by the name that the log stores."""


def workflow_event(event: StoredEvent | LiveEvent) -> WorkflowEvent:
    """Show an event of a workflow's log; all who are handed the same event are shown the same object."""
    return event.view(_workflow_event)


def _workflow_event(event: StoredEvent | LiveEvent) -> WorkflowEvent:
    type_ = WORKFLOW_EVENTS[event.type]
    payload = dict(event.payload)
    actor = payload.pop("actor_id")
    return type_(
        cursor=EventCursor(encode_cursor(event.subject, event.sequence)),
        sequence=event.sequence,
        occurred_at=event.occurred_at,
        workflow_id=event.subject,
        actor_id=UUID(actor) if actor else None,
        **type_.read(payload),
    )
