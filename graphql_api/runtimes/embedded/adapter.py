"""The embedded runtime: a rule-based author in this process, without a key, a network or a language model.

Everything that it sends follows from the request alone, so another process that starts the same request sends the
same frames again, in the same order.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from graphql_api.events.records import NewEvent
from graphql_api.runtimes.embedded.frames import Script
from graphql_api.runtimes.protocol import (
    Capabilities,
    FilesSnapshot,
    Frame,
    Health,
    MessageDelta,
    Normalized,
    Normalizer,
    Resume,
    RunEnded,
    RunRequest,
    RuntimeFailure,
    Snapshot,
    ThreadRef,
    ThreadStatus,
    TokensUsed,
)

CANCELLED = "The run was cancelled."

_SLOWER = 30
_SLOW_PACE_SECONDS = 0.1
_KEPT_THREADS = 256
_PLAN_STATUS = {"pending": "PENDING", "in_progress": "IN_PROGRESS", "completed": "COMPLETED"}
_TOOL_STATUS = {"success": "SUCCEEDED", "error": "FAILED"}


@dataclass(slots=True)
class _Run:
    """What this process knows of a thread: as much as its furthest reader has read."""

    files: Mapping[str, str]
    frames_read: int = 0
    status: ThreadStatus = ThreadStatus.RUNNING
    result: str | None = None
    error: str | None = None
    is_cancelled: bool = False

    def remember(self, number: int, frame: Frame) -> None:
        """Take in a frame, unless another reader was here before."""
        if number <= self.frames_read:
            return
        self.frames_read = number
        if frame.kind == "files":
            self.files = frame.content["files"]
        elif frame.kind == "message":
            self.result = frame.content["text"]
        elif frame.kind == "end":
            self.error = frame.content["error"]
            self.status = ThreadStatus.COMPLETED if self.error is None else ThreadStatus.FAILED


class EmbeddedRuntime:
    """Runs the rule-based author; a run goes as far as somebody reads its events.

    Args:
        pace_seconds: Seconds between two frames, 0 or more. The frames that `[slow]` adds come 30 times slower, at
            most ten a second; with 0 they come without delay too.
    """

    name = "embedded-rules"
    capabilities = Capabilities(
        tokens=True,
        tools=True,
        files_in_stream=True,
        files_in_state=True,
        resume=Resume.REPLAY,
        cancel=True,
        interrupts=False,
    )

    def __init__(self, pace_seconds: float = 0.005) -> None:
        self._pace = pace_seconds
        self._slow_pace = max(_SLOW_PACE_SECONDS, _SLOWER * pace_seconds) if pace_seconds > 0 else 0.0
        self._runs: dict[str, _Run] = {}

    async def health(self) -> Health:
        """Say that work is taken: nothing outside this process can be missing."""
        return Health(is_healthy=True)

    async def start(self, request: RunRequest) -> ThreadRef:
        """Name the thread of an execution; starting it twice is starting it once."""
        thread = ThreadRef(f"embedded-{request.execution_id}")
        self._run(request, thread)
        return thread

    async def events(self, request: RunRequest, thread: ThreadRef) -> AsyncIterator[Frame]:
        """Give all frames of a thread, from the first.

        Raises:
            RuntimeFailure: When the thread was cancelled in this process, also while it is read.
        """
        run = self._run(request, thread)
        # A large draft takes a while to read, and others share this event loop.
        script = await asyncio.to_thread(Script, request, thread.thread_id)
        for number, (frame, is_slow) in enumerate(script.frames(), 1):
            await asyncio.sleep(self._slow_pace if is_slow else self._pace)
            if run.is_cancelled:
                raise RuntimeFailure(CANCELLED, is_retryable=False)
            run.remember(number, frame)
            yield frame

    def normalizer(self, request: RunRequest) -> Normalizer:  # noqa: ARG002  the protocol's; frames stand for themselves
        """Make the normalizer of one thread."""
        return EmbeddedNormalizer()

    async def snapshot(self, thread: ThreadRef) -> Snapshot:
        """Tell how far a thread was read; unknown when this process never ran it."""
        run = self._runs.get(thread.thread_id)
        if run is None:
            return Snapshot(ThreadStatus.UNKNOWN)
        return Snapshot(run.status, run.files, run.result, run.error)

    async def cancel(self, thread: ThreadRef) -> bool:
        """Stop a thread: whoever reads it gets a `RuntimeFailure`. False when this process never ran it."""
        run = self._runs.get(thread.thread_id)
        if run is None:
            return False
        if run.status is ThreadStatus.RUNNING:
            run.is_cancelled = True
            run.status, run.error = ThreadStatus.FAILED, CANCELLED
        return True

    async def forget(self, thread: ThreadRef) -> bool:
        """Drop what this process knows of a thread; False when there is nothing."""
        return self._runs.pop(thread.thread_id, None) is not None

    async def close(self) -> None:
        """Drop what this process knows of all threads."""
        self._runs.clear()

    def _run(self, request: RunRequest, thread: ThreadRef) -> _Run:
        run = self._runs.setdefault(thread.thread_id, _Run(request.files))
        ended = [key for key, other in self._runs.items() if other.status is not ThreadStatus.RUNNING]
        for key in ended[: max(0, len(ended) - _KEPT_THREADS)]:
            del self._runs[key]
        return run


class EmbeddedNormalizer:
    """Turns the frames of the embedded runtime into events; each frame stands for itself."""

    def normalize(self, frame: Frame) -> Iterable[Normalized]:
        """Give what a frame means; one that can't be read becomes a `RuntimeEventReceived`."""
        read = _READERS.get(frame.kind)
        if read is not None:
            try:
                return [*read(frame.content)]
            except (AttributeError, KeyError, TypeError, ValueError):
                # It has the name of a frame that is known and not its shape, so it is as good as unknown.
                pass
        return [NewEvent("RuntimeEventReceived", {"event_type": frame.kind, "data": frame.content})]

    def missed(self) -> None:
        """Do nothing: each frame stands for itself."""


def _progress(content: Any) -> Iterator[Normalized]:  # noqa: ANN401  frames carry any JSON value
    yield NewEvent("ProposalProgressed", {"message": content["message"]})


def _plan(content: Any) -> Iterator[Normalized]:  # noqa: ANN401  frames carry any JSON value
    items = [{"content": todo["content"], "status": _PLAN_STATUS[todo["status"]]} for todo in content["todos"]]
    yield NewEvent("PlanUpdated", {"items": items})


def _message_delta(content: Any) -> Iterator[Normalized]:  # noqa: ANN401  frames carry any JSON value
    yield MessageDelta(content["id"], content["agent"], content["text"])


def _message(content: Any) -> Iterator[Normalized]:  # noqa: ANN401  frames carry any JSON value
    payload = {"message_id": content["id"], "agent": content["agent"], "role": "ASSISTANT", "text": content["text"]}
    yield NewEvent("AgentMessageCompleted", payload)


def _tool_start(content: Any) -> Iterator[Normalized]:  # noqa: ANN401  frames carry any JSON value
    yield NewEvent("ToolCallStarted", {**_call(content), "arguments": content["args"]})


def _tool_end(content: Any) -> Iterator[Normalized]:  # noqa: ANN401  frames carry any JSON value
    status = _TOOL_STATUS[content["status"]]
    yield NewEvent("ToolCallFinished", {**_call(content), "status": status, "output": content["output"]})


def _call(content: Any) -> dict[str, Any]:  # noqa: ANN401  frames carry any JSON value
    return {"tool_call_id": content["id"], "agent": content["agent"], "name": content["name"]}


def _files(content: Any) -> Iterator[Normalized]:  # noqa: ANN401  frames carry any JSON value
    yield FilesSnapshot(dict(content["files"]))


def _usage(content: Any) -> Iterator[Normalized]:  # noqa: ANN401  frames carry any JSON value
    yield TokensUsed(content["model"], int(content["input_tokens"]), int(content["output_tokens"]))


def _end(content: Any) -> Iterator[Normalized]:  # noqa: ANN401  frames carry any JSON value
    yield RunEnded(error=content["error"], summary=content["summary"])


_READERS: Mapping[str, Callable[[Any], Iterator[Normalized]]] = {
    "progress": _progress,
    "plan": _plan,
    "message_delta": _message_delta,
    "message": _message,
    "tool_start": _tool_start,
    "tool_end": _tool_end,
    "files": _files,
    "usage": _usage,
    "end": _end,
}
