"""How far the ingest of one execution is, and what the next frames mean from there."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import structlog

from graphql_api.events.records import NewEvent, NewLiveEvent
from graphql_api.kit.files import FileEntry
from graphql_api.runtimes import snapshots
from graphql_api.runtimes.protocol import Frame, MessageDelta, Normalized, Normalizer, RunEnded, TokensUsed
from graphql_api.runtimes.snapshots import FilesRead
from graphql_api.runtimes.storable import storable

MAX_TOKENS = 2**31 - 1
"""Of one model call; what a runtime says beyond is not believed."""

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
    """

    position: int
    files: dict[str, FileEntry]
    reported: set[str]
    skip: int
    frames: int
    offsets: dict[str, int] = field(default_factory=dict)
    unsaved: dict[str, str] = field(default_factory=dict)

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
            return NewEvent("UsageReported", storable({"model": item.model, "usage": usage}))
        # Whether the log is closed is the listener's to say.
        return NewEvent(item.type, storable(dict(item.payload)))

    def delta(self, item: MessageDelta) -> NewLiveEvent:
        """Make the event of a piece of a message, with its offset."""
        offset = self.offsets.get(item.message_id, 0)
        self.offsets[item.message_id] = offset + len(item.text)
        payload = {"message_id": item.message_id, "agent": item.agent, "offset": offset, "text": item.text}
        return NewLiveEvent("AgentMessageDelta", storable(payload))

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


def _believable(item: Normalized) -> Normalized:
    if not isinstance(item, TokensUsed):
        return item
    return replace(item, input_tokens=_tokens(item.input_tokens), output_tokens=_tokens(item.output_tokens))


def _tokens(count: int) -> int:
    return min(max(count, 0), MAX_TOKENS)
