"""The adapters of all runtimes, on servers that stand in for the real ones, and what a run through one gives."""

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from graphql_api.app import RUNTIMES, make_runtime
from graphql_api.events.records import NewEvent
from graphql_api.runtimes.embedded.frames import FAILURE
from graphql_api.runtimes.fakes.recordings import Protocol
from graphql_api.runtimes.fakes.server import FakeRuntime
from graphql_api.runtimes.protocol import (
    AgentRuntime,
    FilesSnapshot,
    Frame,
    MessageDelta,
    Normalized,
    RunEnded,
    RunRequest,
    ThreadRef,
)
from support.server import quick_settings

PROMPT = "Add a reviewer agent that checks every answer for tone"
GIVEN = {"THE_SPEC/notes.md": "# Notes\n\nMind the tone.\n", "THE_CAST/Old.md": "# Old\n\nWrites.\n"}


@dataclass(frozen=True, slots=True)
class Adapter:
    """One adapter, and how its runtime is had in a test.

    Attributes:
        name: As `RUNTIME_URL` begins.
        protocol: Of the fake that stands in for its server; None when there is no server.
        endless: Makes a prompt's run last for longer than any test.
        failure: What a run says that was asked to fail.
    """

    name: str
    protocol: Protocol | None
    endless: str
    failure: str = FAILURE

    @asynccontextmanager
    async def runtime(self, **options: Any) -> AsyncIterator["Stage"]:  # noqa: ANN401 - FakeRuntime's
        """Give the adapter, connected to a server of its own; one without takes no options."""
        if self.protocol is None:
            settings = quick_settings(embedded_runtime_pace_ms=0.01)
            yield Stage(self, make_runtime(settings), None)
            return
        fake = FakeRuntime(self.protocol, **{"speed": 0, **options})
        async with fake.serving() as url:
            runtime = make_runtime(quick_settings(runtime_url=url))
            yield Stage(self, runtime, fake)
            await runtime.close()

    @asynccontextmanager
    async def unreachable(self) -> AsyncIterator[AgentRuntime]:
        """Give the adapter of a server that is gone."""
        async with FakeRuntime(Protocol(self.name)).serving() as url:
            runtime = make_runtime(quick_settings(runtime_url=url))
        yield runtime
        await runtime.close()


@dataclass(frozen=True, slots=True)
class Stage:
    """An adapter at work."""

    adapter: Adapter
    runtime: AgentRuntime
    fake: FakeRuntime | None


ALL = (
    Adapter("embedded", None, "[slow]"),
    Adapter("deepagents", Protocol.DEEPAGENTS, "[fault:never-ends]"),
    Adapter("langgraph", Protocol.LANGGRAPH, "[fault:never-ends]"),
)
ADAPTERS = tuple(adapter for adapter in ALL if adapter.name in RUNTIMES)
REMOTE = tuple(adapter for adapter in ADAPTERS if adapter.protocol is not None)


@dataclass
class Run:
    """What came of a run that was read to its end.

    Attributes:
        frames: As the adapter gave them.
        items: What they mean.
        files: Content by path, with those that the agent began with.
    """

    thread: ThreadRef
    files: dict[str, Any]
    frames: list[Frame] = field(default_factory=list)
    items: list[Normalized] = field(default_factory=list)

    @property
    def end(self) -> RunEnded:
        """The end, which is last."""
        assert isinstance(self.items[-1], RunEnded)
        return self.items[-1]

    @property
    def deltas(self) -> dict[str, str]:
        """What was streamed of each message."""
        texts: dict[str, str] = {}
        for item in self.items:
            if isinstance(item, MessageDelta):
                texts[item.message_id] = texts.get(item.message_id, "") + item.text
        return texts

    def payloads(self, event_type: str) -> list[Mapping[str, Any]]:
        """Give what the events of a type carry."""
        return [item.payload for item in self.items if isinstance(item, NewEvent) and item.type == event_type]


def request(prompt: str = PROMPT, files: Mapping[str, str] | None = None) -> RunRequest:
    """Make a request of an execution of its own."""
    return RunRequest(uuid4(), prompt, None, None, GIVEN if files is None else files)


async def perform(
    runtime: AgentRuntime, asked: RunRequest, thread: ThreadRef | None = None, *, is_cancelled: bool = False
) -> Run:
    """Start a run, unless it was started, and read it to its end; cancel it at its first frame if that is wanted."""
    run = Run(thread or await runtime.start(asked), dict(asked.files))
    normalizer = runtime.normalizer(asked)
    events = runtime.events(asked, run.thread)
    async with aclosing(events):  # type: ignore[type-var]  # those of our adapters are generators
        async for frame in events:
            if is_cancelled and not run.frames:
                await runtime.cancel(run.thread)
            run.frames.append(frame)
            for item in normalizer.normalize(frame):
                run.items.append(item)
                if isinstance(item, FilesSnapshot):
                    _apply(run.files, item)
                if isinstance(item, RunEnded):
                    return run
    return run


def _apply(files: dict[str, Any], snapshot: FilesSnapshot) -> None:
    if not snapshot.is_partial:
        files.clear()
    for path, content in snapshot.files.items():
        if content is None:
            files.pop(path, None)
        else:
            files[path] = content
