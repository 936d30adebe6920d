"""The embedded runtime with a language model: a deepagents graph in this process, when `AGENT_MODEL` names a model.

What it needs comes with the extra `agents`, and is imported when the first run starts. A graph lives as long as
somebody reads it: whoever takes a run over begins it again, from the draft's files.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import structlog

from graphql_api.runtimes.embedded.adapter import CANCELLED
from graphql_api.runtimes.normalizing.graphs import GraphNormalizer
from graphql_api.runtimes.normalizing.inputs import graph_input
from graphql_api.runtimes.protocol import (
    Capabilities,
    FilesSnapshot,
    Frame,
    Health,
    Normalizer,
    Resume,
    RunEnded,
    RunRequest,
    RuntimeFailure,
    Snapshot,
    ThreadRef,
    ThreadStatus,
)

BEGINS = "The agent begins."
BEGINS_AGAIN = "The agent begins again: the process that it ran in is gone."

_GRAPH = "graphql_api.runtimes.embedded.deep_agent"
_PACKAGES = {"openai": "langchain_openai", "anthropic": "langchain_anthropic", "ollama": "langchain_ollama"}
_KEPT_THREADS = 256
_log = structlog.get_logger()


class ExtraMissing(ValueError):
    """What a language model needs is not installed; the message says how to install it."""


@dataclass(slots=True)
class _Run:
    """What this process knows of a run."""

    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    status: ThreadStatus = ThreadStatus.RUNNING
    files: dict[str, Any] = field(default_factory=dict)
    result: str | None = None
    error: str | None = None


class AgentsRuntime:
    """Runs a deepagents graph in this process.

    Args:
        model: A chat model, or `provider:name` for LangChain's `init_chat_model`, such as `openai:gpt-4.1-mini`.

    Raises:
        ExtraMissing: When packages are missing that it needs.
    """

    name = "embedded-agents"
    capabilities = Capabilities(
        tokens=True,
        tools=True,
        files_in_stream=True,
        files_in_state=True,
        resume=Resume.NONE,
        cancel=True,
        interrupts=False,
    )

    def __init__(self, model: Any) -> None:  # noqa: ANN401 - a chat model of a package that may be missing
        provider = model.partition(":")[0] if isinstance(model, str) else ""
        needed = ("deepagents", "langchain", *filter(None, [_PACKAGES.get(provider)]))
        if any(find_spec(package) is None for package in needed):
            raise ExtraMissing(
                "the extra `agents` is not installed: run `uv sync --extra agents` in a checkout, "
                "or `pip install 'ide-orchestrator[agents]'`"
            )
        self._model = model
        self._runs: dict[str, _Run] = {}
        self._graph: Any = None
        self._making = asyncio.Lock()

    async def health(self) -> Health:
        """Say that work is taken; whether the model answers is seen when it is asked."""
        return Health(is_healthy=True)

    async def start(self, request: RunRequest) -> ThreadRef:
        """Name the thread of an execution; the graph starts when it is read.

        Raises:
            RuntimeFailure: When the model can't be used, such as for want of a key.
        """
        await self._made()
        thread = ThreadRef(f"agents-{request.execution_id}")
        self._run(thread)
        return thread

    async def events(self, request: RunRequest, thread: ThreadRef) -> AsyncIterator[Frame]:
        """Run the graph, and give what it streams; how it ended is the last frame.

        Raises:
            RuntimeFailure: When the run was cancelled in this process, also while it is read.
        """
        graph, run = await self._made(), self._run(thread)
        yield Frame("custom", BEGINS_AGAIN if request.is_repeated else BEGINS)
        normalizer = self.normalizer(request)
        run.files = dict(request.files)
        async with aclosing(_until(run.cancelled, graph.frames(graph_input(request)))) as frames:
            async for frame in frames:
                for item in normalizer.normalize(frame):
                    _remember(run, item)
                yield frame

    def normalizer(self, request: RunRequest) -> Normalizer:
        """Make the normalizer of one thread."""
        return GraphNormalizer(request)

    async def snapshot(self, thread: ThreadRef) -> Snapshot:
        """Tell how far a thread was read; unknown when this process never ran it."""
        run = self._runs.get(thread.thread_id)
        if run is None:
            return Snapshot(ThreadStatus.UNKNOWN)
        return Snapshot(run.status, dict(run.files), run.result, run.error)

    async def cancel(self, thread: ThreadRef) -> bool:
        """Stop a thread: whoever reads it gets a `RuntimeFailure`. False when this process does not run it."""
        run = self._runs.get(thread.thread_id)
        if run is None:
            return False
        if run.status is ThreadStatus.RUNNING:
            run.cancelled.set()
            run.status, run.error = ThreadStatus.FAILED, CANCELLED
        return True

    async def forget(self, thread: ThreadRef) -> bool:
        """Drop what this process knows of a thread; False when there is nothing."""
        return self._runs.pop(thread.thread_id, None) is not None

    async def close(self) -> None:
        """Drop what this process knows of all threads."""
        self._runs.clear()

    async def _made(self) -> Any:  # noqa: ANN401 - of a module that is imported late
        """Make the graph, once: its imports take seconds, and others share this event loop."""
        async with self._making:
            if self._graph is None:
                try:
                    module = await asyncio.to_thread(import_module, _GRAPH)
                    self._graph = await asyncio.to_thread(module.DeepAgent, self._model)
                except Exception as error:
                    _log.exception("agent_model_unusable")
                    message = "The language model of AGENT_MODEL can't be used: see the worker's log."
                    raise RuntimeFailure(message, is_retryable=False) from error
            return self._graph

    def _run(self, thread: ThreadRef) -> _Run:
        run = self._runs.setdefault(thread.thread_id, _Run())
        ended = [key for key, other in self._runs.items() if other.status is not ThreadStatus.RUNNING]
        for key in ended[: max(0, len(ended) - _KEPT_THREADS)]:
            del self._runs[key]
        return run


async def _until(cancelled: asyncio.Event, frames: AsyncGenerator[Frame]) -> AsyncGenerator[Frame]:
    """Give frames until a run is cancelled, also while the next one is waited for."""
    stop = asyncio.create_task(cancelled.wait())
    following: asyncio.Task[Frame] | None = None
    try:
        while True:
            following = asyncio.create_task(anext(frames))
            await asyncio.wait({stop, following}, return_when=asyncio.FIRST_COMPLETED)
            if stop.done():
                raise RuntimeFailure(CANCELLED, is_retryable=False)
            try:
                frame = following.result()
            except StopAsyncIteration:
                return
            yield frame
    finally:
        stop.cancel()
        if following is not None:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
        await frames.aclose()


def _remember(run: _Run, item: object) -> None:
    """Keep what a snapshot tells."""
    if isinstance(item, FilesSnapshot):
        texts = {path: text for path, text in item.files.items() if isinstance(text, str)}
        kept = {path: text for path, text in run.files.items() if path not in item.files} if item.is_partial else {}
        run.files = kept | texts
    elif isinstance(item, RunEnded):
        run.result, run.error = item.summary, item.error
        run.status = ThreadStatus.COMPLETED if item.error is None else ThreadStatus.FAILED
