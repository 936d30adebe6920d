"""GraphQL types of what happens while a proposal is worked on.

A new one is a class here, and a normalizer that gives it: its name and fields are what the log stores.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Any
from uuid import UUID

import strawberry
from strawberry.scalars import JSON

from graphql_api.authoring import models
from graphql_api.authoring.types import proposals
from graphql_api.authoring.types.files import FileChange, SpecificationFile, listed
from graphql_api.authoring.types.lazy import LazyProposal
from graphql_api.authoring.types.loading import loaded
from graphql_api.authoring.types.proposal_facts import ProposalFailure, TokenUsage
from graphql_api.events.cursors import encode_cursor
from graphql_api.events.records import LiveEvent, StoredEvent
from graphql_api.events.types import Event
from graphql_api.identity import models as identity
from graphql_api.identity.types import User
from graphql_api.kit.errors import ErrorCode
from graphql_api.kit.files import FileEntry
from graphql_api.kit.types import EventCursor


@strawberry.enum(description="How far an item of a plan is.")
class PlanItemStatus(Enum):
    """How far an item of a plan is."""

    PENDING = strawberry.enum_value("PENDING", description="It is to be done.")
    IN_PROGRESS = strawberry.enum_value("IN_PROGRESS", description="It is being done.")
    COMPLETED = strawberry.enum_value("COMPLETED", description="It is done.")


@strawberry.enum(description="Who speaks in a message.")
class MessageRole(Enum):
    """Who speaks in a message."""

    ASSISTANT = strawberry.enum_value("ASSISTANT", description="The agent.")
    SYSTEM = strawberry.enum_value("SYSTEM", description="Whoever instructs the agent.")
    TOOL = strawberry.enum_value("TOOL", description="A tool that the agent called.")
    USER = strawberry.enum_value("USER", description="The person who asked.")


@strawberry.enum(description="How a tool call ended.")
class ToolCallStatus(Enum):
    """How a tool call ended."""

    SUCCEEDED = strawberry.enum_value("SUCCEEDED", description="It gave a result.")
    FAILED = strawberry.enum_value("FAILED", description="It gave an error.")


# To call an enumeration takes ten times as long as to look its member up.
_ROLES = {role.value: role for role in MessageRole}
_TOOL_CALL_STATUSES = {status.value: status for status in ToolCallStatus}


@strawberry.enum(description="What became of the link to the runtime.")
class RuntimeLinkState(Enum):
    """What became of the link to the runtime."""

    LOST = strawberry.enum_value("LOST", description="It broke; the work goes on.")
    RECONNECTED = strawberry.enum_value("RECONNECTED", description="It is there again.")
    RECOVERED_FROM_STATE = strawberry.enum_value(
        "RECOVERED_FROM_STATE", description="It stayed away; the result was read from the runtime's state."
    )


@strawberry.type(description="A step that an agent plans.")
class PlanItem:
    """A step that an agent plans."""

    content: str = strawberry.field(description="What is to be done.")
    status: PlanItemStatus = strawberry.field(description="How far it is.")


@strawberry.interface(
    description="One thing that happened while a proposal was worked on. `sequence` is 1, 2, 3 … without a hole; the "
    "last one is terminal."
)
class ProposalEvent(Event):
    """One thing that happened while a proposal was worked on."""

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
        """Give the type's own fields from what the log stored."""
        return payload


@strawberry.type(description="It was stored, and waits for a worker.")
class ProposalQueued(ProposalEvent):
    """It was stored."""


@strawberry.type(description="The runtime accepted it.")
class ProposalStarted(ProposalEvent):
    """The runtime accepted it."""

    thread_id: str = strawberry.field(description="The runtime's thread.")
    runtime: str = strawberry.field(description="Name of the runtime.")


@strawberry.type(description="The runtime tells how far it is.")
class ProposalProgressed(ProposalEvent):
    """The runtime tells how far it is."""

    message: str = strawberry.field(description="What it says.")


@strawberry.type(description="The agent made or changed its plan.")
class PlanUpdated(ProposalEvent):
    """The agent made or changed its plan."""

    items: list[PlanItem] = strawberry.field(description="The whole plan, in order.")

    @classmethod
    def read(cls, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """Read the items."""
        return {
            "items": [
                PlanItem(content=item["content"], status=PlanItemStatus(item["status"])) for item in payload["items"]
            ]
        }


@strawberry.type(
    description="A piece of a message while it is written. Live only: a replay has the `AgentMessageCompleted` instead."
    " Its `cursor` and `sequence` are those of the stored event before it."
)
class AgentMessageDelta(ProposalEvent):
    """A piece of a message while it is written."""

    message_id: strawberry.ID = strawberry.field(description="The message, unique within the proposal.")
    agent: str | None = strawberry.field(description="Which agent speaks; null when there is but one.")
    offset: int = strawberry.field(description="Characters (Unicode code points) of this message before `text`.")
    text: str = strawberry.field(description="The piece.")


@strawberry.type(description="A whole message.")
class AgentMessageCompleted(ProposalEvent):
    """A whole message."""

    message_id: strawberry.ID = strawberry.field(description="The message, unique within the proposal.")
    agent: str | None = strawberry.field(description="Which agent speaks; null when there is but one.")
    role: MessageRole = strawberry.field(description="Who speaks.")
    text: str = strawberry.field(description="The whole text.")

    @classmethod
    def read(cls, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """Read the role."""
        return {**payload, "role": _ROLES[payload["role"]]}


@strawberry.type(description="The agent calls a tool.")
class ToolCallStarted(ProposalEvent):
    """The agent calls a tool."""

    tool_call_id: strawberry.ID = strawberry.field(description="The call, unique within the proposal.")
    agent: str | None = strawberry.field(description="Which agent calls; null when there is but one.")
    name: str = strawberry.field(description="The tool.")
    arguments: JSON | None = strawberry.field(description="What it is given; null when that is not known.")


@strawberry.type(description="A tool call ended.")
class ToolCallFinished(ProposalEvent):
    """A tool call ended."""

    tool_call_id: strawberry.ID = strawberry.field(description="The call, as in its `ToolCallStarted`.")
    agent: str | None = strawberry.field(description="Which agent called; null when there is but one.")
    name: str = strawberry.field(description="The tool.")
    status: ToolCallStatus = strawberry.field(description="How it ended.")
    output: str | None = strawberry.field(description="What it gave.")

    @classmethod
    def read(cls, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """Read the status."""
        return {**payload, "status": _TOOL_CALL_STATUSES[payload["status"]]}


@strawberry.type(description="The agent added, changed or deleted files.")
class FilesChanged(ProposalEvent):
    """The agent changed files."""

    changes: list[FileChange] = strawberry.field(description="Against the files right before this event.")

    @classmethod
    def read(cls, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """Read the changes."""
        return {"changes": [FileChange.from_payload(change) for change in payload["changes"]]}


@strawberry.type(description="A language model was used.")
class UsageReported(ProposalEvent):
    """A language model was used."""

    model: str | None = strawberry.field(description="Which one, where the runtime tells.")
    usage: TokenUsage = strawberry.field(description="What this call cost; `Proposal.usage` has the sum.")

    @classmethod
    def read(cls, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """Read the usage."""
        usage = payload["usage"]
        return {"model": payload["model"], "usage": TokenUsage.of(usage["input_tokens"], usage["output_tokens"])}


@strawberry.type(description="The link to the runtime broke or came back.")
class RuntimeLinkChanged(ProposalEvent):
    """The link to the runtime changed."""

    state: RuntimeLinkState = strawberry.field(description="What became of it.")
    may_have_missed_events: bool = strawberry.field(
        description="True when the runtime could not replay what was missed."
    )

    @classmethod
    def read(cls, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """Read the state."""
        return {**payload, "state": RuntimeLinkState(payload["state"])}


@strawberry.type(description="Whatever the runtime sent that has no type of its own yet: nothing is dropped.")
class RuntimeEventReceived(ProposalEvent):
    """Whatever the runtime sent."""

    event_type: str = strawberry.field(description="The runtime's own name for it.")
    data: JSON = strawberry.field(description="What it carried.")


@strawberry.type(description="The agent is done. Terminal.")
class ProposalCompleted(ProposalEvent):
    """The agent is done."""

    @strawberry.field(description="The files as the agent left them.")
    @loaded(lambda loaders: loaders.files_then, by=lambda event: (event.proposal_id, event.sequence))
    def generated_files(self, found: dict[str, FileEntry]) -> list[SpecificationFile]:
        """List the files."""
        return listed(found.values(), None)


@strawberry.type(description="The runtime failed. Terminal.")
class ProposalFailed(ProposalEvent):
    """The runtime failed."""

    failure: ProposalFailure = strawberry.field(description="Why.")

    @classmethod
    def read(cls, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """Read the failure."""
        failure = payload["failure"]
        return {
            "failure": ProposalFailure(
                code=ErrorCode(failure["code"]), message=failure["message"], retryable=failure["retryable"]
            )
        }


@strawberry.type(description="Somebody stopped the work, by cancelling or rejecting the proposal. Terminal.")
class ProposalCancelled(ProposalEvent):
    """Somebody stopped the work."""

    reason: str | None = strawberry.field(description="What they said about it.")
    by_id: strawberry.Private[UUID | None]

    @strawberry.field(description="Who stopped it; null for the system itself.")
    @loaded(lambda loaders: loaders.user, by=lambda event: event.by_id)
    def by(self, found: identity.User) -> User | None:
        """Show who stopped it."""
        return User.of(found)

    @classmethod
    def read(cls, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """Read who stopped it."""
        return {"reason": payload["reason"], "by_id": UUID(payload["by_id"]) if payload["by_id"] else None}


PROPOSAL_EVENTS: dict[str, type[ProposalEvent]] = {
    type_.__name__: type_
    for type_ in (
        ProposalQueued,
        ProposalStarted,
        ProposalProgressed,
        PlanUpdated,
        AgentMessageDelta,
        AgentMessageCompleted,
        ToolCallStarted,
        ToolCallFinished,
        FilesChanged,
        UsageReported,
        RuntimeLinkChanged,
        RuntimeEventReceived,
        ProposalCompleted,
        ProposalFailed,
        ProposalCancelled,
    )
}
"""The types by the name that the log stores."""


def proposal_event(event: StoredEvent | LiveEvent) -> ProposalEvent:
    """Show an event of a proposal's log; all who are handed the same event are shown the same object."""
    return event.view(_proposal_event)


def _proposal_event(event: StoredEvent | LiveEvent) -> ProposalEvent:
    type_ = PROPOSAL_EVENTS[event.type]
    return type_(
        cursor=EventCursor(encode_cursor(event.subject, event.sequence)),
        sequence=event.sequence,
        occurred_at=event.occurred_at,
        proposal_id=event.subject,
        **type_.read(event.payload),
    )
