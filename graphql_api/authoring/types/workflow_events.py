"""GraphQL types of what happens to a workflow."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import strawberry

from graphql_api.authoring import models
from graphql_api.authoring.types import drafts, proposals, versions, workflows
from graphql_api.authoring.types.enums import AccessRole, ProposalStatus
from graphql_api.authoring.types.files import FileChange
from graphql_api.authoring.types.lazy import LazyDraft, LazyProposal, LazyVersion, LazyWorkflow
from graphql_api.authoring.types.loading import loaded
from graphql_api.authoring.types.membership import WorkflowLock
from graphql_api.events.cursors import encode_cursor
from graphql_api.events.records import LiveEvent, StoredEvent
from graphql_api.events.types import Event
from graphql_api.identity import models as identity
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
    @loaded(lambda loaders: loaders.workflow, by=lambda event: event.workflow_id)
    def workflow(self, found: tuple[models.Workflow, AccessRole] | None) -> LazyWorkflow:
        """Show the workflow."""
        return workflows.Workflow.found(found)

    @strawberry.field(description="Who did it; null for the system itself.")
    @loaded(lambda loaders: loaders.user, by=lambda event: event.actor_id)
    def actor(self, found: identity.User) -> User | None:
        """Show who did it."""
        return User.of(found)

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
    @loaded(lambda loaders: loaders.user, by=lambda event: event.member_id)
    def member(self, found: identity.User) -> User:
        """Show whose access changed."""
        return User.of(found)

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
    @loaded(lambda loaders: loaders.draft, by=lambda event: event.draft_id)
    def draft(self, found: models.Draft | None) -> LazyDraft | None:
        """Show the draft."""
        return None if found is None else drafts.Draft.of(found)

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
    @loaded(lambda loaders: loaders.proposal, by=lambda event: event.proposal_id)
    def proposal(self, found: models.Proposal | None) -> LazyProposal:
        """Show the proposal."""
        if found is None:
            raise LookupError(self.proposal_id)
        return proposals.Proposal.of(found)

    @classmethod
    def read(cls, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """Read the statuses."""
        before = payload["before"]
        return {
            "proposal_id": UUID(payload["proposal_id"]),
            "from_": ProposalStatus(before) if before else None,
            "to": ProposalStatus(payload["after"]),
        }


def _version(key: UUID, found: models.Version | None) -> LazyVersion:
    if found is None:
        raise LookupError(key)
    return versions.Version.of(found)


def _with_version(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**payload, "version_id": UUID(payload["version_id"])}


@strawberry.type(description="A draft became a version.")
class VersionPublished(WorkflowEvent):
    """A draft became a version."""

    version_id: strawberry.Private[UUID]

    @strawberry.field(description="The new version.")
    @loaded(lambda loaders: loaders.version, by=lambda event: event.version_id)
    def version(self, found: models.Version | None) -> LazyVersion:
        """Show the version."""
        return _version(self.version_id, found)

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
    @loaded(lambda loaders: loaders.version, by=lambda event: event.version_id)
    def version(self, found: models.Version | None) -> LazyVersion:
        """Show the version."""
        return _version(self.version_id, found)

    @strawberry.field(description="The version that was deployed before; null for the first deployment.")
    @loaded(lambda loaders: loaders.numbered_version, by=lambda event: event.previous_key)
    def previous(self, found: models.Version | None) -> LazyVersion | None:
        """Show the version before."""
        return None if found is None else versions.Version.of(found)

    @property
    def previous_key(self) -> tuple[UUID, int] | None:
        """What finds the version before."""
        return None if self.previous_number is None else (self.workflow_id, self.previous_number)

    @classmethod
    def read(cls, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """Read the version's key."""
        return _with_version(payload)


@strawberry.type(description="A version is not to be used any more.")
class VersionDeprecated(WorkflowEvent):
    """A version was deprecated."""

    version_id: strawberry.Private[UUID]

    @strawberry.field(description="The version.")
    @loaded(lambda loaders: loaders.version, by=lambda event: event.version_id)
    def version(self, found: models.Version | None) -> LazyVersion:
        """Show the version."""
        return _version(self.version_id, found)

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
