"""How far the ingest of one execution is, and what the next frames mean from there."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from graphql_api.events.records import NewEvent, NewLiveEvent
from graphql_api.kit.files import FileEntry
from graphql_api.runtimes import snapshots
from graphql_api.runtimes.protocol import (
    FilesSnapshot,
    Frame,
    MessageDelta,
    Normalized,
    Normalizer,
    RunEnded,
    TokensUsed,
)
from graphql_api.runtimes.snapshots import FilesRead
from graphql_api.runtimes.storable import storable, storable_text

MAX_TOKENS = 2**31 - 1
"""Of one model call; what a runtime says beyond is not believed."""

TOLD_ONCE = {
    "AgentMessageCompleted": "message_id",
    "ToolCallStarted": "tool_call_id",
    "ToolCallFinished": "tool_call_id",
    "UsageReported": "message_id",
}
"""Field that names what an event tells, by the type of the event."""

_log = structlog.get_logger()


@dataclass
class Progress:
    """What is known of one execution while it is ingested.

    Attributes:
        position: Sequence of the newest stored event.
        files: The files as they are stored.
        reported: Paths of refused files that the log tells of.
        skip: Frames whose meaning is stored already.
        frames: Frames seen, with those that a stream without replay does not send again.
        offsets: Characters that each message has so far.
        unsaved: Contents of files that changed in the batch at hand, by digest.
        told: Messages, tool calls, results and costs that are stored, which are told once.
        plan: Items of the plan that is stored.
        has_files: Whether the runtime gave files.
    """

    position: int
    files: dict[str, FileEntry]
    reported: set[str]
    skip: int
    frames: int
    offsets: dict[str, int] = field(default_factory=dict)
    unsaved: dict[str, str] = field(default_factory=dict)
    told: set[tuple[str, str]] = field(default_factory=set)
    plan: list[Any] = field(default_factory=list)
    has_files: bool = False

    @property
    def ingested(self) -> int:
        """Frames whose meaning is stored: those before a replay count while it is at its beginning."""
        return max(self.frames, self.skip)

    @property
    def is_new(self) -> bool:
        """Whether the newest frame was never seen before."""
        return self.frames > self.skip

    def rewind(self) -> None:
        """Take it that the runtime sends everything again."""
        self.skip, self.frames = self.ingested, 0
        self.offsets.clear()

    def normalize(self, normalizer: Normalizer, batch: Sequence[Frame]) -> list[Normalized]:
        """Turn frames into what is new of them; the stored ones bring the normalizer and the offsets up to date.

        Nothing follows the run's end, which is never skipped: the worker before may have died when it had stored it.
        """
        fresh: list[Normalized] = []
        for frame in batch:
            self.frames += 1
            for item in _meaning(normalizer, frame):
                if isinstance(item, RunEnded):
                    return [*fresh, item]
                if self._is_repeated(item):
                    continue
                if self.frames > self.skip:
                    fresh.append(item)
                elif isinstance(item, MessageDelta):
                    self.delta(item)
        return fresh

    def event(self, item: NewEvent | MessageDelta | TokensUsed) -> NewEvent | NewLiveEvent:
        """Make the event of something normalized."""
        if isinstance(item, MessageDelta):
            return self.delta(item)
        if isinstance(item, TokensUsed):
            total = item.input_tokens + item.output_tokens
            usage = {"input_tokens": item.input_tokens, "output_tokens": item.output_tokens, "total_tokens": total}
            payload = {"model": item.model, "usage": usage, "message_id": item.message_id}
            return NewEvent("UsageReported", storable(payload))
        # Whether the log is closed is the listener's to say.
        return NewEvent(item.type, storable(dict(item.payload)))

    def delta(self, item: MessageDelta) -> NewLiveEvent:
        """Make the event of a piece of a message, with its offset."""
        offset = self.offsets.get(item.message_id, 0)
        self.offsets[item.message_id] = offset + len(item.text)
        payload = {
            "message_id": storable_text(item.message_id),
            "agent": None if item.agent is None else storable_text(item.agent),
            "offset": offset,
            "text": storable_text(item.text),
        }
        return NewLiveEvent("AgentMessageDelta", payload)

    def _is_repeated(self, item: Normalized) -> bool:
        """Tell whether something is stored already that is told once, and remember it."""
        if isinstance(item, FilesSnapshot):
            self.has_files = self.has_files or bool(item.files)
            return False
        if isinstance(item, MessageDelta):
            return ("AgentMessageCompleted", storable_text(item.message_id)) in self.told
        if isinstance(item, NewEvent) and item.type == "PlanUpdated":
            before, self.plan = self.plan, storable(item.payload["items"])
            return self.plan == before
        identity = _identity(item)
        if identity is None or identity in self.told:
            return identity is not None
        self.told.add(identity)
        return False

    def refusals(self, read: FilesRead) -> list[NewEvent]:
        """Tell of each refused file once, and of a limited number."""
        room = snapshots.MAX_REFUSALS - len(self.reported)
        fresh = [path for path in read.refusals if path not in self.reported][:room]
        self.reported.update(fresh)
        return [snapshots.refusal(path, read.refusals[path]) for path in fresh]


def _meaning(normalizer: Normalizer, frame: Frame) -> list[Normalized]:
    try:
        return [_believable(item) for item in normalizer.normalize(frame)]
    except Exception:  # noqa: BLE001 - a frame that nobody foresaw must not cost the run
        _log.exception("frame_not_understood", kind=frame.kind)
        return [NewEvent("RuntimeEventReceived", {"event_type": frame.kind, "data": frame.content})]


def _identity(item: Normalized) -> tuple[str, str] | None:
    """Give what names something that is told once."""
    if isinstance(item, TokensUsed):
        return None if item.message_id is None else ("UsageReported", storable_text(item.message_id))
    if isinstance(item, NewEvent) and item.type in TOLD_ONCE:
        return item.type, storable_text(str(item.payload[TOLD_ONCE[item.type]]))
    return None


def _believable(item: Normalized) -> Normalized:
    if not isinstance(item, TokensUsed):
        return item
    return replace(item, input_tokens=_tokens(item.input_tokens), output_tokens=_tokens(item.output_tokens))


def _tokens(count: int) -> int:
    return min(max(count, 0), MAX_TOKENS)
