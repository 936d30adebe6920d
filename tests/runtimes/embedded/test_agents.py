import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from importlib import import_module
from importlib.machinery import ModuleSpec

import pytest
from support.adapters import GIVEN, PROMPT, perform, request
from support.agents import need_agents
from support.executions import Engine
from support.server import quick_settings

from graphql_api.app import make_runtime
from graphql_api.events.records import NewEvent
from graphql_api.runtimes.embedded import agents
from graphql_api.runtimes.embedded.adapter import CANCELLED
from graphql_api.runtimes.embedded.agents import BEGINS_AGAIN, AgentsRuntime, ExtraMissing
from graphql_api.runtimes.protocol import RuntimeFailure, ThreadRef, ThreadStatus
from graphql_api.settings import SettingsError

pytestmark = pytest.mark.anyio

LATE = """
import sys
from graphql_api.app import make_runtime
from graphql_api.settings import Settings
make_runtime(Settings(agent_model="ollama:any", runtime_url="embedded:"))
print(sorted(name for name in sys.modules if name.split(".")[0] in {"deepagents", "langchain", "langgraph"}))
"""


@pytest.fixture
async def runtime(anyio_backend: str) -> AsyncIterator[AgentsRuntime]:
    """Give the runtime on a language model that is scripted."""
    need_agents()
    made = AgentsRuntime(import_module("support.scripted_model").ScriptedModel())
    yield made
    await made.close()


class TestTheExtra:
    async def test_without_it_a_model_is_refused_with_the_way_to_install_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(agents, "find_spec", lambda _name: None)
        with pytest.raises(
            SettingsError, match=r"^AGENT_MODEL: the extra `agents` is not installed: run `uv sync --ext"
        ):
            make_runtime(quick_settings(agent_model="openai:gpt-4.1-mini"))

    @pytest.mark.parametrize(
        ("model", "package"),
        [
            ("openai:gpt", "langchain_openai"),
            ("anthropic:claude", "langchain_anthropic"),
            ("ollama:llama", "langchain_ollama"),
            ("mistralai:large", "langchain"),
        ],
    )
    async def test_the_package_of_the_provider_is_needed_too(
        self, monkeypatch: pytest.MonkeyPatch, model: str, package: str
    ) -> None:
        monkeypatch.setattr(agents, "find_spec", lambda name: None if name == package else ModuleSpec(name, None))
        with pytest.raises(ExtraMissing):
            AgentsRuntime(model)

    async def test_it_is_imported_when_it_is_used(self) -> None:
        need_agents()
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", LATE, stdout=asyncio.subprocess.PIPE)
        output, _ = await process.communicate()
        assert (process.returncode, output) == (0, b"[]\n")

    async def test_a_model_that_can_not_be_used_is_a_refusal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        need_agents()
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        runtime = AgentsRuntime("openai:gpt-4.1-mini")
        with pytest.raises(RuntimeFailure, match="language model of AGENT_MODEL can't be used") as caught:
            await runtime.start(request())
        assert not caught.value.is_retryable

    async def test_a_named_model_is_made(self) -> None:
        need_agents()
        runtime = AgentsRuntime("ollama:any")
        assert (await runtime.start(asked := request())).thread_id == f"agents-{asked.execution_id}"


class TestARun:
    async def test_it_works_on_the_files_of_the_draft(self, runtime: AgentsRuntime) -> None:
        run = await perform(runtime, request())
        assert run.end.error is None
        assert run.end.summary == "Done: the draft is as you asked. "
        assert run.files == {
            **GIVEN,
            "THE_CAST/Reviewer.md": "# Reviewer\n\nChecks every answer.\n",
            "THE_SPEC/plan.md": "# Plan\n",
            "definition.json": '{"name": "workflow", "nodes": []}\n',
        }

    async def test_another_agent_that_it_asks_has_its_name(self, runtime: AgentsRuntime) -> None:
        run = await perform(runtime, request("[task]"))
        assert {payload["agent"] for payload in run.payloads("ToolCallStarted")} == {None, "general-purpose"}
        assert run.files["THE_SPEC/research.md"] == "# Research\n"

    async def test_what_breaks_it_is_told_without_what_may_be_secret(self, runtime: AgentsRuntime) -> None:
        run = await perform(runtime, request("[fail]"))
        assert run.end.error == "The agent failed with RuntimeError: see the worker's log."

    async def test_a_run_without_end_is_stopped(self, runtime: AgentsRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
        module = import_module("graphql_api.runtimes.embedded.deep_agent")
        monkeypatch.setattr(module, "MAX_STEPS", 3)
        run = await perform(runtime, request())
        assert run.end.error == "The agent was stopped after 3 steps."

    async def test_whoever_takes_over_says_that_it_begins_again(self, runtime: AgentsRuntime) -> None:
        run = await perform(runtime, replace(request(), is_repeated=True))
        assert run.payloads("ProposalProgressed")[0] == {"message": BEGINS_AGAIN}
        assert run.end.error is None

    async def test_it_goes_through_the_log_to_its_end(self, runtime: AgentsRuntime, engine: Engine) -> None:
        execution_id = await engine.order(GIVEN, prompt=PROMPT)
        claim = await engine.claimed()
        await engine.ingest(runtime).run(claim)
        assert engine.listener.outcomes[execution_id].failure is None
        files = await engine.files(execution_id)
        assert files["definition.json"] == '{"name": "workflow", "nodes": []}\n'
        assert files["THE_CAST/Old.md"] == GIVEN["THE_CAST/Old.md"]


class TestCancel:
    async def test_it_ends_a_call_of_the_model_that_lasts(self, runtime: AgentsRuntime) -> None:
        asked = request("[slow]")
        thread = await runtime.start(asked)
        events = runtime.events(asked, thread)
        async with aclosing(events):  # type: ignore[type-var]  # it is a generator

            async def read() -> None:
                async for frame in events:
                    if frame.kind == "updates" and "tools" in frame.content:
                        reading.set()

            reading = asyncio.Event()
            task = asyncio.create_task(read())
            await reading.wait()
            assert await runtime.cancel(thread)
            with pytest.raises(RuntimeFailure, match=CANCELLED) as caught:
                await task
        assert not caught.value.is_retryable
        assert (await runtime.snapshot(thread)).error == CANCELLED

    async def test_what_is_over_stays_as_it_was(self, runtime: AgentsRuntime) -> None:
        run = await perform(runtime, request())
        assert await runtime.cancel(run.thread)
        assert (await runtime.snapshot(run.thread)).status is ThreadStatus.COMPLETED

    async def test_what_this_process_never_ran_can_not_be_stopped(self, runtime: AgentsRuntime) -> None:
        assert not await runtime.cancel(ThreadRef("nobody"))


class TestMemory:
    async def test_only_the_last_runs_are_known(self, runtime: AgentsRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(agents, "_KEPT_THREADS", 1)
        runs = [await perform(runtime, request("[fail]")) for _ in range(3)]
        await runtime.start(request())
        statuses = [(await runtime.snapshot(run.thread)).status for run in runs]
        assert statuses == [ThreadStatus.UNKNOWN, ThreadStatus.UNKNOWN, ThreadStatus.FAILED]


class TestFrames:
    async def test_what_graphs_stream_becomes_json(self) -> None:
        need_agents()
        plain = import_module("graphql_api.runtimes.embedded.deep_agent")._plain
        types = import_module("langgraph.types")
        messages = import_module("langchain_core.messages")
        assert plain({1: (types.Overwrite([1]), {2}, None, b"x")}) == {"1": [{"value": [1]}, [2], None, "b'x'"]}
        assert plain(types.Interrupt("Shall I?", id="1")) == {"id": "1", "value": "Shall I?"}
        assert plain(messages.HumanMessage("Hi", id="1"))["type"] == "human"

    async def test_all_that_is_told_has_a_type(self, runtime: AgentsRuntime) -> None:
        run = await perform(runtime, request("[task]"))
        received = [item for item in run.items if isinstance(item, NewEvent) and item.type == "RuntimeEventReceived"]
        assert received == []
