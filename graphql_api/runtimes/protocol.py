"""How any agent runtime is spoken to, and what a normalizer makes of its frames.

A new runtime is one adapter with one normalizer, and one line in app.py.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol
from uuid import UUID

from graphql_api.events.records import NewEvent


class Resume(Enum):
    """What a runtime can do for a reader that lost its stream."""

    NONE = "NONE"
    """Nothing: what was missed is gone from the stream."""
    REPLAY = "REPLAY"
    """Send all frames of the thread again, from the first."""
    CURSOR = "CURSOR"
    """Go on after a position."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a runtime offers."""

    tokens: bool
    tools: bool
    files_in_stream: bool
    files_in_state: bool
    resume: Resume
    cancel: bool
    interrupts: bool


@dataclass(frozen=True, slots=True)
class Health:
    """Whether a runtime takes work now.

    Attributes:
        is_healthy: Whether it says so.
        detail: Why not, without secrets.
        is_slow: Whether it could be reached and did not answer in time, as one that works may.
    """

    is_healthy: bool
    detail: str | None = None
    is_slow: bool = False


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What an agent is asked to do.

    Attributes:
        execution_id: Ours; starting it twice is starting it once.
        prompt: What the person asked for.
        context_file_path: The file that they had open.
        context_selection: The text that they had selected in it.
        files: Content by path: the draft that the agent starts from.
        is_repeated: Whether it may have been started before, by somebody who did not live to tell.
    """

    execution_id: UUID
    prompt: str
    context_file_path: str | None
    context_selection: str | None
    files: Mapping[str, str]
    is_repeated: bool = False


@dataclass(frozen=True, slots=True)
class ThreadRef:
    """A runtime's conversation.

    Attributes:
        thread_id: The runtime's name for it.
        handle: Whatever else the adapter needs to find it again, JSON values only.
    """

    thread_id: str
    handle: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Frame:
    """One message of a runtime, as it came.

    Attributes:
        kind: The runtime's own name for it, such as `on_state_update`.
        content: What it carries: JSON values.
    """

    kind: str
    content: Any


class ThreadStatus(Enum):
    """What a runtime says of a thread when it is asked."""

    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole state of a thread.

    Attributes:
        status: How far it is.
        files: Content by path, or None when the runtime keeps no files.
        result: What the agent said last.
        error: Why it failed.
    """

    status: ThreadStatus
    files: Mapping[str, str] | None = None
    result: str | None = None
    error: str | None = None


class RuntimeFailure(Exception):
    """A runtime could not be reached, or refused.

    Args:
        message: For people, without secrets.
        is_retryable: Whether the same call may succeed later.
    """

    def __init__(self, message: str, *, is_retryable: bool) -> None:
        super().__init__(message)
        self.message = message
        self.is_retryable = is_retryable


@dataclass(frozen=True, slots=True)
class MessageDelta:
    """A piece of a message while it is written; the ingest loop adds the offset."""

    message_id: str
    agent: str | None
    text: str


@dataclass(frozen=True, slots=True)
class FilesSnapshot:
    """Files of the thread as the agent has them now.

    Attributes:
        files: Content by path; None for one that the agent deleted. What is neither is refused.
        is_partial: Whether files that are not named stand as they were; otherwise they are gone.
    """

    files: Mapping[str, Any]
    is_partial: bool = False


@dataclass(frozen=True, slots=True)
class TokensUsed:
    """Tokens that one model call cost; they count once for each message that is named."""

    model: str | None
    input_tokens: int
    output_tokens: int
    message_id: str | None = None


@dataclass(frozen=True, slots=True)
class RunEnded:
    """The runtime says that the run is over.

    Attributes:
        error: Why it failed; None when it succeeded.
        summary: What the agent says of its own work, for reviewers.
        is_retryable: Whether asking again may succeed.
        has_files: Whether the runtime gave the files that the run is about. A success without any is only one when
            the runtime's state has them, or some came before.
    """

    error: str | None = None
    summary: str | None = None
    is_retryable: bool = True
    has_files: bool = True


Normalized = NewEvent | MessageDelta | FilesSnapshot | TokensUsed | RunEnded


class Normalizer(Protocol):
    """Turns the frames of one thread into our events, in order; it may remember what came before."""

    def normalize(self, frame: Frame) -> Iterable[Normalized]:
        """Give what a frame means: nothing, one thing or several.

        A frame of an unknown kind becomes a `RuntimeEventReceived`, never an error and never nothing.
        """
        ...

    def missed(self) -> None:
        """Take it that frames may be missing from here. It is not called where the runtime can replay."""
        ...


class AgentRuntime(Protocol):
    """One service that runs agents."""

    name: str
    capabilities: Capabilities

    async def health(self) -> Health:
        """Ask whether the runtime takes work."""
        ...

    async def start(self, request: RunRequest) -> ThreadRef:
        """Start a run, or find the one that was started for this execution.

        Raises:
            RuntimeFailure: When the runtime refuses or can't be reached.
        """
        ...

    def events(self, request: RunRequest, thread: ThreadRef) -> AsyncIterator[Frame]:
        """Give the frames of a thread: from its first where the runtime can replay, else from now on.

        Raises:
            RuntimeFailure: When the stream is lost before the run's end.
        """
        ...

    def normalizer(self, request: RunRequest) -> Normalizer:
        """Make the normalizer of one thread."""
        ...

    async def snapshot(self, thread: ThreadRef) -> Snapshot:
        """Ask for the state of a thread."""
        ...

    async def cancel(self, thread: ThreadRef) -> bool:
        """Ask the runtime to stop; False when it can't."""
        ...

    async def forget(self, thread: ThreadRef) -> bool:
        """Ask the runtime to drop what it keeps of the thread; False when it can't."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
