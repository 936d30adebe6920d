import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from support.processes import free_port
from support.server import serving

from graphql_api.app import make_runtime
from graphql_api.runtimes.addresses import parse_runtime_url
from graphql_api.runtimes.fakes.faults import FAILURE, Fault
from graphql_api.runtimes.fakes.recordings import Protocol
from graphql_api.runtimes.fakes.server import FakeRuntime
from graphql_api.runtimes.langgraph.adapter import LangGraphRuntime
from graphql_api.runtimes.normalizing.graphs import RUN
from graphql_api.runtimes.protocol import AgentRuntime, Frame, RunRequest, RuntimeFailure, ThreadRef, ThreadStatus
from graphql_api.settings import Settings

pytestmark = pytest.mark.anyio

PROMPT = "Add a reviewer agent that checks every answer for tone"
KEY = "a key that nobody may see"
FILES = {"THE_SPEC/plan.md": "# Plan\n"}


def asked(prompt: str = PROMPT, execution_id: UUID | None = None) -> RunRequest:
    return RunRequest(execution_id or uuid4(), prompt, None, None, FILES)


@asynccontextmanager
async def runtime_at(url: str, token: str | None = None) -> AsyncIterator[LangGraphRuntime]:
    runtime = LangGraphRuntime(parse_runtime_url(url, token=token))
    try:
        yield runtime
    finally:
        await runtime.close()


@asynccontextmanager
async def fake(*faults: Fault) -> AsyncIterator[tuple[FakeRuntime, LangGraphRuntime]]:
    server = FakeRuntime(Protocol.LANGGRAPH, speed=0, faults=faults)
    async with server.serving() as url, runtime_at(url) as runtime:
        yield server, runtime


class Answers:
    """A server that notes what it is asked, and gives the answers that a test wants."""

    def __init__(self, answers: Mapping[str, Response]) -> None:
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self._answers = answers
        self.app = Starlette(routes=[Route("/{path:path}", self._answer, methods=["GET", "POST", "DELETE"])])

    async def _answer(self, request: Request) -> Response:
        body = await request.body()
        self.asked.append((request.method, str(request.url.path), dict(request.headers), body))
        return self._answers.get(f"{request.method} {request.url.path}") or JSONResponse({}, 404)


@asynccontextmanager
async def answering(
    answers: Mapping[str, Response], query: str = "", token: str | None = None
) -> AsyncIterator[tuple[Answers, LangGraphRuntime]]:
    server = Answers(answers)
    async with serving(server.app) as address, runtime_at(f"langgraph+{address}{query}", token) as runtime:
        yield server, runtime


def starting(request: RunRequest, *runs: Response) -> dict[str, Response]:
    """Make the answers to a start: of the thread, and of the run."""
    thread = f"/threads/{request.execution_id}"
    return {
        "POST /threads": JSONResponse({"thread_id": str(request.execution_id)}),
        f"GET {thread}/runs": JSONResponse([]),
        f"POST {thread}/runs": runs[0],
    }


async def frames_of(runtime: AgentRuntime, request: RunRequest, thread: ThreadRef) -> list[Frame]:
    return [frame async for frame in runtime.events(request, thread)]


THREAD = ThreadRef("thread", {"run_id": "run"})
OVER = {"GET /threads/thread/runs/run": JSONResponse({"status": "success"})}


class TestAddress:
    async def test_an_unknown_option_is_refused(self) -> None:
        with pytest.raises(ValueError, match="'assistent' is no option of langgraph; it has assistant, files"):
            LangGraphRuntime(parse_runtime_url("langgraph+http://host?assistent=agent"))

    async def test_a_form_of_files_that_is_none_is_refused(self) -> None:
        with pytest.raises(ValueError, match="files is text or lines, not 'zip'"):
            LangGraphRuntime(parse_runtime_url("langgraph+http://host?files=zip"))

    async def test_runtime_url_makes_it(self) -> None:
        made = make_runtime(Settings(runtime_url="langgraph+http://127.0.0.1:2024?assistant=writer"))
        assert made.name == "langgraph"
        await made.close()


class TestHealth:
    async def test_a_server_that_answers_is_well(self) -> None:
        async with fake() as (_, runtime):
            assert (await runtime.health()).is_healthy

    async def test_one_that_refuses_is_not(self) -> None:
        async with fake(Fault.REFUSES) as (_, runtime):
            health = await runtime.health()
        assert (health.is_healthy, health.detail) == (False, "The runtime answered 503.")

    async def test_one_that_is_not_there_is_not(self) -> None:
        async with runtime_at(f"langgraph+http://127.0.0.1:{free_port()}") as runtime:
            health = await runtime.health()
        assert (health.is_healthy, health.detail) == (False, "The runtime can't be reached: ConnectError.")

    async def test_another_server_at_the_address_is_not(self) -> None:
        async with answering({"GET /ok": PlainTextResponse("Welcome")}) as (_, runtime):
            assert not (await runtime.health()).is_healthy


class TestStart:
    async def test_the_thread_has_the_id_of_the_execution(self) -> None:
        request = asked()
        async with fake() as (server, runtime):
            thread = await runtime.start(request)
            assert [*server.threads] == [thread.thread_id] == [str(request.execution_id)]

    async def test_starting_again_finds_the_run(self) -> None:
        request = asked()
        async with fake() as (server, runtime):
            first = await runtime.start(request)
            assert await runtime.start(request) == first
            await frames_of(runtime, request, first)
            assert await runtime.start(request) == first
            assert server.tries == {first.thread_id: 1}

    async def test_a_run_whose_answer_was_lost_is_found(self) -> None:
        request = asked()
        async with fake(Fault.FAILS_AFTER_START) as (server, runtime):
            thread = await runtime.start(request)
            assert server.tries == {thread.thread_id: 1}

    async def test_a_run_that_another_made_meanwhile_is_found(self) -> None:
        request = asked()
        path = f"/threads/{request.execution_id}/runs"
        answers = starting(request, JSONResponse({"detail": "busy"}, 409))
        async with answering(answers) as (_, runtime):
            with pytest.raises(RuntimeFailure, match="has no run") as caught:
                await runtime.start(request)
            assert caught.value.is_retryable
            answers[f"GET {path}"] = JSONResponse(
                [{"run_id": "second", "created_at": "2026-02"}, {"run_id": "first", "created_at": "2026-01"}]
            )
            assert await runtime.start(request) == ThreadRef(str(request.execution_id), {"run_id": "first"})

    async def test_two_at_once_find_the_same_run(self) -> None:
        request = asked()
        async with fake() as (server, runtime):
            first, second = await asyncio.gather(runtime.start(request), runtime.start(request))
            assert first == second
            assert len(server.threads) == 1

    async def test_a_thread_that_gets_another_id_is_followed(self) -> None:
        request = asked()
        async with fake(Fault.CHANGES_THREAD_ID) as (server, runtime):
            thread = await runtime.start(request)
            assert [*server.threads] == [thread.thread_id] != [str(request.execution_id)]
            assert (await frames_of(runtime, request, thread))[-1].content["status"] == "success"

    async def test_a_run_that_is_on_another_thread_is_followed(self) -> None:
        request = replace(asked(), prompt="[fault:changes-thread-id] Do it.")
        async with fake() as (server, runtime):
            thread = await runtime.start(request)
            assert [*server.threads] == [thread.thread_id] != [str(request.execution_id)]
            assert await runtime.start(request) == thread
            assert (await frames_of(runtime, request, thread))[-1].content["status"] == "success"

    async def test_a_thread_that_can_not_be_stored_is_refused(self) -> None:
        request = asked()
        run = JSONResponse({"run_id": "run", "thread_id": "t" * 501})
        async with answering(starting(request, run)) as (_, runtime):
            with pytest.raises(RuntimeFailure, match="can't be stored"):
                await runtime.start(request)

    async def test_the_server_is_asked_as_its_documentation_says(self) -> None:
        request = RunRequest(uuid4(), "Do it.", "THE_SPEC/plan.md", "# Plan", FILES)
        run = JSONResponse({"run_id": "run"})
        async with answering(starting(request, run), "?assistant=writer&files=lines", KEY) as (server, runtime):
            await runtime.start(request)
        order = json.loads(server.asked[-1][3])
        file = order["input"]["files"].pop("/THE_SPEC/plan.md")
        assert order == {
            "assistant_id": "writer",
            "input": {
                "messages": [
                    {
                        "role": "user",
                        "content": "Do it.\n\nI have the file /THE_SPEC/plan.md open.\n\n"
                        "I have selected this text in it:\n\n# Plan",
                    }
                ],
                "files": {},
            },
            "stream_mode": ["updates", "messages-tuple", "custom"],
            "stream_subgraphs": True,
            "stream_resumable": True,
            "multitask_strategy": "reject",
            "on_disconnect": "continue",
        }
        assert (file["content"], file["encoding"]) == (["# Plan", ""], "utf-8")
        assert {headers["x-api-key"] for _, _, headers, _ in server.asked} == {KEY}

    async def test_an_unknown_assistant_is_a_refusal_that_says_so(self) -> None:
        request = asked()
        refusal = JSONResponse({"detail": "Invalid assistant: 'nope'."}, 422)
        async with answering(starting(request, refusal)) as (_, runtime):
            with pytest.raises(RuntimeFailure, match=r"refuses the run: Invalid assistant: 'nope'\.") as caught:
                await runtime.start(request)
        assert not caught.value.is_retryable

    @pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"detail": ["a list"]}'])
    async def test_a_refusal_without_words_is_one_too(self, body: bytes) -> None:
        request = asked()
        async with answering(starting(request, Response(body, 400))) as (_, runtime):
            with pytest.raises(RuntimeFailure, match=r"^The runtime refuses the run\.$"):
                await runtime.start(request)

    async def test_a_key_that_is_not_accepted_is_a_refusal_without_the_key(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        async with answering({"POST /threads": JSONResponse({"detail": KEY}, 403)}, token=KEY) as (_, runtime):
            with pytest.raises(RuntimeFailure, match="does not accept the key that RUNTIME_TOKEN has") as caught:
                await runtime.start(asked())
        assert not caught.value.is_retryable
        assert KEY not in f"{caplog.text}{caught.value!r}{runtime!r}"

    @pytest.mark.parametrize("body", [b"no JSON", b"{}"])
    async def test_an_answer_that_makes_no_sense_may_make_some_later(self, body: bytes) -> None:
        async with answering({"POST /threads": Response(body)}) as (_, runtime):
            with pytest.raises(RuntimeFailure) as caught:
                await runtime.start(asked())
        assert caught.value.is_retryable

    async def test_an_answer_has_a_bound(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("graphql_api.runtimes.langgraph.adapter._MAX_ANSWER_BYTES", 10)
        async with answering({"POST /threads": Response(b" " * 11)}) as (_, runtime):
            with pytest.raises(RuntimeFailure, match="more than 10 bytes"):
                await runtime.start(asked())


class TestEvents:
    async def test_every_reader_gets_all_frames_from_the_first(self) -> None:
        request = asked()
        async with fake() as (_, runtime):
            thread = await runtime.start(request)
            first = await frames_of(runtime, request, thread)
            assert await frames_of(runtime, request, thread) == first
        assert first[0].kind == "metadata"
        assert [index for index, frame in enumerate(first) if frame.kind == RUN] == [len(first) - 1]

    async def test_the_last_frame_tells_how_the_run_ended(self) -> None:
        request = asked()
        async with fake(Fault.ERROR_THEN_END) as (_, runtime):
            frames = await frames_of(runtime, request, await runtime.start(request))
        assert frames[-1].content["status"] == "error"
        assert frames[-1].content["error"] == {"error": "RuntimeError", "message": FAILURE}
        assert "/THE_SPEC/plan.md" in frames[-1].content["values"]["files"]

    async def test_a_stream_that_is_cut_is_read_again_from_the_first_frame(self) -> None:
        request = asked()
        async with fake(Fault.DROP_MID_FRAME) as (_, runtime):
            thread, lost = await runtime.start(request), []

            async def read() -> None:
                async for frame in runtime.events(request, thread):
                    lost.append(frame)  # noqa: PERF401 - what came before the loss is compared

            with pytest.raises(RuntimeFailure, match="can't be reached") as caught:
                await read()
            again = await frames_of(runtime, request, thread)
        assert caught.value.is_retryable
        assert again[: len(lost)] == lost
        assert again[-1].content["status"] == "success"

    async def test_a_stream_that_is_closed_while_the_run_goes_on_is_lost(self) -> None:
        answers = {
            "GET /threads/thread/runs/run/stream": Response(b"", media_type="text/event-stream"),
            "GET /threads/thread/runs/run": JSONResponse({"status": "running"}),
        }
        async with answering(answers) as (_, runtime):
            with pytest.raises(RuntimeFailure, match="closed the stream of a run that goes on") as caught:
                await frames_of(runtime, asked(), THREAD)
        assert caught.value.is_retryable

    async def test_what_came_after_a_polite_close_is_not_missed(self) -> None:
        request = asked()
        async with fake(Fault.CLOSES_EARLY) as (server, runtime):
            thread = await runtime.start(request)
            await server.threads[thread.thread_id].ended()
            cut_off = await frames_of(runtime, request, thread)
            assert await frames_of(runtime, request, thread) == cut_off

    async def test_a_run_that_the_runtime_forgot_is_over(self) -> None:
        request = asked()
        async with fake() as (_, runtime):
            thread = await runtime.start(request)
            await runtime.forget(thread)
            assert await frames_of(runtime, request, thread) == [
                Frame(RUN, {"status": "lost", "error": None, "interrupts": [], "values": {}})
            ]

    async def test_something_else_than_a_stream_is_a_loss(self) -> None:
        answers = {"GET /threads/thread/runs/run/stream": JSONResponse({"status": "success"})}
        async with answering(answers) as (_, runtime):
            with pytest.raises(RuntimeFailure, match="something else than a stream"):
                await frames_of(runtime, asked(), THREAD)

    async def test_all_is_asked_for_from_the_first_event_in_no_mode(self) -> None:
        answers = {"GET /threads/thread/runs/run/stream": Response(b"", media_type="text/event-stream"), **OVER}
        async with answering(answers) as (server, runtime):
            (end,) = await frames_of(runtime, asked(), THREAD)
        assert end.content["status"] == "success"
        headers = server.asked[0][2]
        assert (headers["last-event-id"], headers["accept"]) == ("-1", "text/event-stream")
        assert "stream_mode" not in server.asked[0][1]

    async def test_questions_of_the_agent_are_in_the_last_frame(self) -> None:
        thread = {"interrupts": {"task": [{"id": "1", "value": "Deploy?"}], "other": None}, "values": None}
        answers = {
            "GET /threads/thread/runs/run/stream": Response(b"", media_type="text/event-stream"),
            "GET /threads/thread": JSONResponse(thread),
            **OVER,
        }
        async with answering(answers) as (_, runtime):
            (end,) = await frames_of(runtime, asked(), THREAD)
        assert end.content["interrupts"] == [{"id": "1", "value": "Deploy?"}]


class TestSnapshot:
    async def test_a_run_that_is_over_has_its_files_and_last_words(self) -> None:
        request = asked()
        async with fake() as (_, runtime):
            thread = await runtime.start(request)
            await frames_of(runtime, request, thread)
            snapshot = await runtime.snapshot(thread)
        assert snapshot.status is ThreadStatus.COMPLETED
        assert snapshot.files is not None
        assert {"THE_SPEC/plan.md", "definition.json"} <= snapshot.files.keys()
        assert snapshot.result

    async def test_a_run_that_failed_says_why(self) -> None:
        request = asked()
        async with fake(Fault.ERROR_THEN_END) as (_, runtime):
            thread = await runtime.start(request)
            await frames_of(runtime, request, thread)
            snapshot = await runtime.snapshot(thread)
        assert (snapshot.status, snapshot.error) == (ThreadStatus.FAILED, FAILURE)

    async def test_a_run_that_goes_on_is_running(self) -> None:
        async with fake(Fault.SILENT) as (_, runtime):
            assert (await runtime.snapshot(await runtime.start(asked()))).status is ThreadStatus.RUNNING

    async def test_an_unknown_one_is_unknown(self) -> None:
        async with fake() as (_, runtime):
            thread = ThreadRef(str(uuid4()), {"run_id": str(uuid4())})
            assert (await runtime.snapshot(thread)).status is ThreadStatus.UNKNOWN

    async def test_a_graph_without_files_has_none(self) -> None:
        answers = {"GET /threads/thread": JSONResponse({"values": {"messages": []}}), **OVER}
        async with answering(answers) as (_, runtime):
            snapshot = await runtime.snapshot(THREAD)
        assert (snapshot.status, snapshot.files, snapshot.result) == (ThreadStatus.COMPLETED, None, None)


class TestCancel:
    async def test_a_run_is_stopped(self) -> None:
        request = asked()
        async with fake(Fault.NEVER_ENDS) as (_, runtime):
            thread = await runtime.start(request)
            reading = asyncio.create_task(frames_of(runtime, request, thread))
            assert await runtime.cancel(thread)
            assert (await reading)[-1].content["status"] == "interrupted"

    async def test_one_that_is_over_can_not_be_stopped(self) -> None:
        request = asked()
        async with fake() as (_, runtime):
            thread = await runtime.start(request)
            await frames_of(runtime, request, thread)
            assert not await runtime.cancel(thread)

    async def test_nor_can_an_unknown_one(self) -> None:
        async with fake() as (_, runtime):
            assert not await runtime.cancel(ThreadRef(str(uuid4()), {"run_id": str(uuid4())}))

    async def test_it_is_waited_for(self) -> None:
        answers = {"POST /threads/thread/runs/run/cancel": Response(status_code=204)}
        async with answering(answers) as (_, runtime):
            assert await runtime.cancel(THREAD)


class TestForget:
    async def test_the_thread_is_deleted(self) -> None:
        async with fake() as (server, runtime):
            thread = await runtime.start(asked())
            assert await runtime.forget(thread)
            assert server.threads == {}
            assert not await runtime.forget(thread)

    async def test_a_server_that_is_away_is_a_failure(self) -> None:
        async with runtime_at(f"langgraph+http://127.0.0.1:{free_port()}") as runtime:
            with pytest.raises(RuntimeFailure):
                await runtime.forget(THREAD)
