"""What only a real LangGraph Server can show."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from support.adapters import GIVEN, Stage, perform, request
from support.agents import on_langgraph_dev
from support.executions import Engine

from graphql_api.runtimes.langgraph.adapter import LangGraphRuntime
from graphql_api.runtimes.protocol import Frame, RunRequest, RuntimeFailure, ThreadRef

pytestmark = pytest.mark.anyio


class Cut(LangGraphRuntime):
    """The adapter of a real server, whose first stream is cut after some frames."""

    def __init__(self, runtime: LangGraphRuntime, *, frames: int) -> None:
        self._client = runtime._client
        self._assistant, self._as_lines = runtime._assistant, runtime._as_lines
        self._left: int | None = frames

    async def events(self, request: RunRequest, thread: ThreadRef) -> AsyncIterator[Frame]:
        async for frame in super().events(request, thread):
            if self._left == 0:
                self._left = None
                raise RuntimeFailure("It was cut.", is_retryable=True)
            self._left = None if self._left is None else self._left - 1
            yield frame


@pytest.fixture
async def dev(langgraph_dev_url: str, anyio_backend: str) -> AsyncIterator[Stage]:
    """Give the adapter of a real server."""
    async with on_langgraph_dev(langgraph_dev_url) as stage:
        yield stage


class TestARealServer:
    async def test_agents_of_a_subgraph_have_their_names(self, dev: Stage) -> None:
        run = await perform(dev.runtime, request("[task]"))
        assert {payload["agent"] for payload in run.payloads("ToolCallStarted")} == {None, "general-purpose"}
        assert run.files == {**GIVEN, "THE_SPEC/research.md": "# Research\n"}
        assert run.payloads("RuntimeEventReceived") == []

    async def test_a_question_ends_the_run_with_the_question(self, dev: Stage) -> None:
        run = await perform(dev.runtime, request("[approve]"))
        (question,) = run.payloads("RuntimeEventReceived")
        assert question["event_type"] == "interrupt"
        assert str(run.end.error).startswith("The agent waits for a decision about deploy, which can't be given here")
        assert not run.end.is_retryable
        assert (await dev.runtime.snapshot(run.thread)).error == run.end.error

    async def test_a_run_is_read_while_it_goes_on_as_often_as_one_likes(self, dev: Stage) -> None:
        asked = request()
        thread = await dev.runtime.start(asked)
        part: list[Frame] = []
        events = dev.runtime.events(asked, thread)
        async with aclosing(events):  # type: ignore[type-var]  # it is a generator
            async for frame in events:
                part.append(frame)
                if len(part) == 10:
                    break
        one, other = await asyncio.gather(perform(dev.runtime, asked, thread), perform(dev.runtime, asked, thread))
        assert one.frames == other.frames
        assert one.frames[:10] == part

    async def test_an_unknown_assistant_is_a_refusal_that_says_so(self, langgraph_dev_url: str) -> None:
        async with on_langgraph_dev(langgraph_dev_url, assistant="nobody") as stage:
            with pytest.raises(RuntimeFailure, match="Invalid assistant: 'nobody'") as caught:
                await stage.runtime.start(request())
        assert not caught.value.is_retryable

    async def test_a_run_goes_through_the_log_to_its_end(self, dev: Stage, engine: Engine) -> None:
        execution_id = await engine.order(GIVEN)
        await engine.ingest(dev.runtime).run(await engine.claimed())
        assert engine.listener.outcomes[execution_id].failure is None
        assert (await engine.files(execution_id))["definition.json"] == '{"name": "workflow", "nodes": []}\n'
        row = await engine.row(execution_id)
        assert row.thread_id == str(execution_id)

    async def test_nothing_is_told_twice_or_lost_when_the_stream_is_cut(self, dev: Stage, engine: Engine) -> None:
        assert isinstance(dev.runtime, LangGraphRuntime)
        whole, broken = await engine.order(GIVEN), await engine.order(GIVEN)
        await engine.ingest(dev.runtime).run(await engine.claimed())
        await engine.ingest(Cut(dev.runtime, frames=40)).run(await engine.claimed())
        told = [event.type for event in await engine.events(broken)]
        assert "RuntimeLinkChanged" in told
        assert [type_ for type_ in told if type_ != "RuntimeLinkChanged"] == [
            event.type for event in await engine.events(whole)
        ]
        assert (await engine.row(broken)).frames_ingested == (await engine.row(whole)).frames_ingested
