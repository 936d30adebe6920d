"""A runtime that does what a script says, faults and all."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from graphql_api.events.records import NewEvent
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
    Snapshot,
    ThreadRef,
    ThreadStatus,
    TokensUsed,
)


@dataclass
class Break:
    """The stream breaks here as often as it says, and goes on when it is read once more.

    Attributes:
        error: What is raised; None when the stream just closes.
        times: How often.
    """

    error: Exception | None = None
    times: int = 1


@dataclass
class Answers:
    """What a call raises, one after the other; then it succeeds. An event among them is waited for first."""

    faults: list[Exception | asyncio.Event] = field(default_factory=list)

    async def give(self) -> None:
        """Answer one call."""
        while self.faults:
            fault = self.faults.pop(0)
            if isinstance(fault, Exception):
                raise fault
            await fault.wait()


Step = Frame | asyncio.Event | Break


class ScriptedRuntime:
    """Plays a script for every thread; an event in it is waited for.

    Args:
        script: Frames and faults.
        resume: With `REPLAY` each reader gets all frames, with `NONE` those that nobody has got.
    """

    name = "scripted"

    def __init__(self, *script: Step, resume: Resume = Resume.REPLAY) -> None:
        self.capabilities = Capabilities(
            tokens=True,
            tools=True,
            files_in_stream=True,
            files_in_state=False,
            resume=resume,
            cancel=True,
            interrupts=False,
        )
        self.script = script
        self.starting, self.cancelling, self.forgetting = Answers(), Answers(), Answers()
        self.started: list[UUID] = []
        self.cancelled: list[str] = []
        self.forgotten: list[str] = []
        self.states: list[Snapshot | Exception] = [Snapshot(ThreadStatus.UNKNOWN)]
        self.asked = 0
        self.missed = 0
        self.sent = 0
        self.open_streams = 0
        self._given: Counter[str] = Counter()

    async def health(self) -> Health:
        """Be well."""
        return Health(is_healthy=True)

    async def start(self, request: RunRequest) -> ThreadRef:
        """Name the thread after the execution, as often as it is started."""
        self.started.append(request.execution_id)
        await self.starting.give()
        return ThreadRef(f"thread-{request.execution_id}", {"region": "north"})

    async def events(self, request: RunRequest, thread: ThreadRef) -> AsyncIterator[Frame]:
        """Play the script."""
        replays = self.capabilities.resume is Resume.REPLAY
        self.open_streams += 1
        try:
            for index, step in enumerate(self.script):
                if isinstance(step, asyncio.Event):
                    await step.wait()
                elif isinstance(step, Break):
                    if step.times > 0:
                        step.times -= 1
                        if step.error is not None:
                            raise step.error
                        return
                elif replays or index >= self._given[thread.thread_id]:
                    self._given[thread.thread_id] = index + 1
                    self.sent += 1
                    yield step
        finally:
            self.open_streams -= 1

    def normalizer(self, request: RunRequest) -> Normalizer:
        """Make a normalizer of the frames below."""
        return ScriptedNormalizer(self)

    async def snapshot(self, thread: ThreadRef) -> Snapshot:
        """Give one state after the other, the last one for ever."""
        self.asked += 1
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if isinstance(state, Exception):
            raise state
        return state

    async def cancel(self, thread: ThreadRef) -> bool:
        """Note that it was asked."""
        self.cancelled.append(thread.thread_id)
        await self.cancelling.give()
        return True

    async def forget(self, thread: ThreadRef) -> bool:
        """Note that it was asked."""
        self.forgotten.append(thread.thread_id)
        await self.forgetting.give()
        return True

    async def close(self) -> None:
        """Have nothing to close."""


class ScriptedNormalizer:
    """Reads the frames that are made below; it breaks at one that has the wrong shape.

    Args:
        runtime: Whose frames they are.
    """

    def __init__(self, runtime: ScriptedRuntime) -> None:
        self._runtime = runtime

    def normalize(self, frame: Frame) -> Iterable[Normalized]:
        """Give what a frame means."""
        match frame.kind:
            case "said":
                yield NewEvent("ProposalProgressed", {"message": frame.content})
            case "delta":
                yield MessageDelta(*frame.content)
            case "message":
                yield NewEvent("AgentMessageCompleted", frame.content)
            case "plan":
                yield NewEvent("PlanUpdated", frame.content)
            case "files":
                yield FilesSnapshot(frame.content)
            case "used":
                yield TokensUsed(*frame.content)
            case "end":
                yield RunEnded(**frame.content)
            case "final":
                yield NewEvent("ProposalProgressed", {"message": "final"}, is_terminal=True)
            case _:
                yield NewEvent("RuntimeEventReceived", {"event_type": frame.kind, "data": frame.content})

    def missed(self) -> None:
        """Note that it was told; each frame stands for itself."""
        self._runtime.missed += 1


def said(message: object) -> Frame:
    """Make a frame that becomes one stored event."""
    return Frame("said", message)


def delta(text: str, message_id: str = "m1") -> Frame:
    """Make a piece of a message."""
    return Frame("delta", [message_id, "author", text])


def files(**contents: Any) -> Frame:  # noqa: ANN401 - also what no file may be
    """Make a snapshot of Markdown files, whose names come without their ending."""
    return Frame("files", {f"{name}.md": content for name, content in contents.items()})


def snapshot(contents: dict[str, Any]) -> Frame:
    """Make a snapshot of files."""
    return Frame("files", contents)


def used(read: int, written: int, model: str | None = "model", message_id: str | None = None) -> Frame:
    """Make a report of tokens."""
    return Frame("used", [model, read, written, message_id])


def end(error: str | None = None, summary: str | None = None, *, has_files: bool = True) -> Frame:
    """Make the end of a run."""
    return Frame("end", {"error": error, "summary": summary, "has_files": has_files})


def message(text: str, message_id: str = "m1") -> Frame:
    """Make a whole message."""
    return Frame("message", {"message_id": message_id, "agent": None, "role": "ASSISTANT", "text": text})


def plan(*items: str) -> Frame:
    """Make a plan of things that are to be done."""
    return Frame("plan", {"items": [{"content": item, "status": "PENDING"} for item in items]})


def garbage() -> Frame:
    """Make a frame at which its normalizer breaks."""
    return Frame("delta", 5)
