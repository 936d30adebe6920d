import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from support.fakes import deepagents, take
from support.server import serving
from support.waiting import until

from graphql_api.runtimes.addresses import RuntimeAddress, parse_runtime_url
from graphql_api.runtimes.deepagents.adapter import DeepAgentsRuntime
from graphql_api.runtimes.deepagents.invocation import invocation
from graphql_api.runtimes.deepagents.streams import MAX_FRAME_BYTES, frame_of
from graphql_api.runtimes.fakes.faults import Fault
from graphql_api.runtimes.protocol import Frame, RunRequest, RuntimeFailure, Snapshot, ThreadRef, ThreadStatus

pytestmark = pytest.mark.anyio

MODEL = {"provider": "openai", "model": "gpt"}


def requested(prompt: str = "Add a tester.", *, is_repeated: bool = False, **files: str) -> RunRequest:
    contents = {name.replace("_json", ".json"): content for name, content in files.items()}
    return RunRequest(uuid4(), prompt, None, None, contents, is_repeated)


@asynccontextmanager
async def connected(url: str, *, token: str | None = None) -> AsyncIterator[DeepAgentsRuntime]:
    runtime = DeepAgentsRuntime(parse_runtime_url(url, token=token))
    try:
        yield runtime
    finally:
        await runtime.close()


async def all_frames(runtime: DeepAgentsRuntime, request: RunRequest, thread: ThreadRef) -> list[Frame]:
    async with asyncio.timeout(20):
        return [frame async for frame in runtime.events(request, thread)]


class OwnRuntime:
    """A runtime whose answers are a test's own, and that keeps what it was asked."""

    def __init__(
        self,
        *,
        invoke: Callable[[Mapping[str, Any]], Response] | None = None,
        state: Callable[[str], Response] | None = None,
        messages: list[str | bytes] | None = None,
        health: Response | None = None,
        delete: int = 404,
        refuses_unknown: bool = False,
    ) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.authorizations: list[str | None] = []
        self.order: list[str] = []
        self._invoke = invoke or (lambda body: JSONResponse({"thread_id": body["job_id"], "status": "started"}))
        self._state = state or (lambda _: JSONResponse({"detail": "not found"}, 404))
        self._messages = [json.dumps({"event_type": "end", "data": {}})] if messages is None else messages
        self._health = health or JSONResponse({"status": "healthy"})
        self._delete = delete
        self._refuses_unknown = refuses_unknown
        self.app = Starlette(
            routes=[
                Route("/deepagents-runtime/invoke", self.invoke, methods=["POST"]),
                Route("/deepagents-runtime/state/{thread_id:path}", self.state, methods=["GET", "DELETE"]),
                WebSocketRoute("/deepagents-runtime/stream/{thread_id:path}", self.stream),
                Route("/health", self.health),
            ]
        )

    async def invoke(self, request: Request) -> Response:
        self.order.append("invoke")
        self.authorizations.append(request.headers.get("authorization"))
        self.bodies.append(await request.json())
        return self._invoke(self.bodies[-1])

    async def state(self, request: Request) -> Response:
        self.order.append(request.method)
        if request.method == "DELETE":
            return Response(status_code=self._delete)
        return self._state(request.path_params["thread_id"])

    async def health(self, _request: Request) -> Response:
        return self._health

    async def stream(self, websocket: WebSocket) -> None:
        thread_id = websocket.path_params["thread_id"]
        self.order.append(f"stream {thread_id}")
        self.authorizations.append(websocket.headers.get("authorization"))
        if self._refuses_unknown and not self.bodies:
            await websocket.close()
            return
        await websocket.accept()
        try:
            await until(lambda: bool(self.bodies))
            for message in self._messages:
                await (websocket.send_bytes if isinstance(message, bytes) else websocket.send_text)(message)
            await websocket.receive_text()
        except (WebSocketDisconnect, RuntimeError):
            self.order.append(f"left {thread_id}")


class TestStart:
    async def test_it_listens_before_the_run_starts(self) -> None:
        own = OwnRuntime()
        async with serving(own.app) as url, connected(url) as runtime:
            request = requested()

            thread = await runtime.start(request)
            frames = await all_frames(runtime, request, thread)

        assert thread == ThreadRef(str(request.execution_id))
        assert own.order[:2] == [f"stream {request.execution_id}", "invoke"]
        assert frames == [Frame("end", {})]

    async def test_the_thread_that_the_runtime_names_is_heard(self) -> None:
        async with deepagents(faults=[Fault.CHANGES_THREAD_ID]) as (fake, client), connected(client.base) as runtime:
            request = requested()

            thread = await runtime.start(request)
            frames = await all_frames(runtime, request, thread)

        assert thread.thread_id == f"thread-of-{request.execution_id}"
        assert frames[-1] == Frame("end", {})
        assert len(fake.tries) == 1

    @pytest.mark.parametrize("suffix", ["", "/", "/deepagents-runtime", "/deepagents-runtime/"])
    async def test_the_url_may_have_the_suffix(self, suffix: str) -> None:
        async with deepagents() as (_, client), connected(f"deepagents+{client.base}{suffix}") as runtime:
            request = requested()

            assert (await runtime.health()).is_healthy
            assert (await all_frames(runtime, request, await runtime.start(request)))[-1].kind == "end"

    async def test_a_stream_that_is_refused_before_the_run_is_opened_after_it(self) -> None:
        own = OwnRuntime(refuses_unknown=True)
        async with serving(own.app) as url, connected(url) as runtime:
            request = requested()

            assert await all_frames(runtime, request, await runtime.start(request)) == [Frame("end", {})]

    @pytest.mark.parametrize(("token", "header"), [("s3cret", "Bearer s3cret"), (None, "Basic YWRhOnA6dw==")])
    async def test_the_runtime_is_shown_who_calls(self, token: str | None, header: str) -> None:
        own = OwnRuntime()
        async with serving(own.app) as url, connected(url.replace("//", "//ada:p%3Aw@"), token=token) as runtime:
            await runtime.start(requested())

        assert own.authorizations == [header, header]

    async def test_an_answer_without_a_thread_means_that_of_the_job(self) -> None:
        for answer in (PlainTextResponse("OK", 202), JSONResponse([]), JSONResponse({"thread_id": None})):
            own = OwnRuntime(invoke=lambda _, answer=answer: answer)
            async with serving(own.app) as url, connected(url) as runtime:
                request = requested()

                assert (await runtime.start(request)).thread_id == str(request.execution_id)

    @pytest.mark.parametrize(
        "answer", [{"thread_id": "a\x00b"}, {"thread_id": "x" * 501}, {"status": "failed", "error": "no key"}]
    )
    async def test_an_answer_that_can_not_be_used_is_final(self, answer: object) -> None:
        own = OwnRuntime(invoke=lambda _: JSONResponse(answer))
        async with serving(own.app) as url, connected(url) as runtime:
            with pytest.raises(RuntimeFailure) as failure:
                await runtime.start(requested())
            await until(lambda: any(step.startswith("left") for step in own.order))

        assert not failure.value.is_retryable
        assert own.order.count("invoke") == 1

    async def test_a_refusal_is_final(self) -> None:
        own = OwnRuntime(invoke=lambda _: JSONResponse({"detail": []}, 422))
        async with serving(own.app) as url, connected(url) as runtime:
            with pytest.raises(RuntimeFailure, match="answered 422") as failure:
                await runtime.start(requested())

        assert not failure.value.is_retryable

    async def test_a_busy_runtime_is_asked_again(self) -> None:
        async with deepagents(faults=[Fault.REFUSES_ONCE]) as (fake, client), connected(client.base) as runtime:
            request = requested()

            assert (await all_frames(runtime, request, await runtime.start(request)))[-1].kind == "end"

        assert fake.tries == {str(request.execution_id): 2}

    async def test_a_run_that_started_in_spite_of_the_answer_is_not_started_again(self) -> None:
        async with deepagents(faults=[Fault.FAILS_AFTER_START]) as (fake, client), connected(client.base) as runtime:
            request = requested()

            thread = await runtime.start(request)
            assert (await all_frames(runtime, request, thread))[-1].kind == "end"

        assert fake.tries == {str(request.execution_id): 1}

    async def test_a_runtime_that_is_not_there_is_given_up(self) -> None:
        async with connected("http://127.0.0.1:1") as runtime:
            with pytest.raises(RuntimeFailure, match="can't be reached") as failure:
                await runtime.start(requested())

        assert failure.value.is_retryable

    async def test_a_run_that_may_have_been_started_is_looked_for(self) -> None:
        async with deepagents() as (fake, client), connected(client.base) as runtime:
            request = requested()
            await runtime.start(request)
            again = RunRequest(request.execution_id, request.prompt, None, None, {}, is_repeated=True)

            assert await runtime.start(again) == ThreadRef(str(request.execution_id))
            assert (await runtime.start(requested(is_repeated=True))).thread_id != str(request.execution_id)

        assert sorted(fake.tries.values()) == [1, 1]

    async def test_a_runtime_that_claims_to_know_any_job_is_not_believed(self) -> None:
        own = OwnRuntime(state=lambda _: JSONResponse({"status": "running"}))
        async with serving(own.app) as url, connected(url) as runtime:
            await runtime.start(requested(is_repeated=True))

        assert own.order.count("invoke") == 1


class TestEvents:
    async def test_they_end_with_the_end_although_the_connection_is_cut(self) -> None:
        recording = take("deepagents-unmodified", "ws-early")
        async with deepagents(take=recording) as (_, client), connected(client.base) as runtime:
            request = requested()

            frames = await all_frames(runtime, request, await runtime.start(request))

        assert [frame.kind for frame in frames][-2:] == ["on_state_update", "end"]

    @pytest.mark.parametrize("fault", [Fault.CLOSES_EARLY, Fault.DROP_MID_FRAME])
    async def test_a_close_before_the_end_is_a_loss(self, fault: Fault) -> None:
        async with deepagents(faults=[fault]) as (_, client), connected(client.base) as runtime:
            request = requested()
            thread = await runtime.start(request)

            with pytest.raises(RuntimeFailure, match="was closed with 1") as failure:
                await all_frames(runtime, request, thread)
            rest = await all_frames(runtime, request, thread)

        assert failure.value.is_retryable
        assert rest[-1].kind == "end"

    async def test_a_stream_that_can_not_be_opened_is_a_loss(self) -> None:
        async with connected("http://127.0.0.1:1") as runtime:
            with pytest.raises(RuntimeFailure, match="can't be opened: ConnectionRefusedError") as failure:
                await all_frames(runtime, requested(), ThreadRef("t"))

        assert failure.value.is_retryable

    async def test_what_nobody_can_read_is_given_as_it_came(self) -> None:
        messages: list[str | bytes] = [
            "no JSON {",
            "[1]",
            '{"event_type": 7}',
            '{"type": "a", "b": 1}',
            '{"event": "c", "data": NaN}',
            b'{"event_type": "\xff"}',
            '{"event_type": "d", "data": "\\ud800"}',
            "[" * 100_000,
            '{"event_type": "end"}',
        ]
        own = OwnRuntime(messages=messages)
        async with serving(own.app) as url, connected(url) as runtime:
            request = requested()

            frames = await all_frames(runtime, request, await runtime.start(request))

        assert [frame.kind for frame in frames] == [
            *["frame_not_understood"] * 3,
            "a",
            "c",
            "\N{REPLACEMENT CHARACTER}",
            "d",
            "frame_not_understood",
            "end",
        ]
        assert frames[0].content == "no JSON {"
        assert frames[3].content == {"b": 1}
        assert frames[6].content == "\ud800"
        assert len(frames[7].content) == 2000

    async def test_a_frame_that_is_too_large_is_left_out_and_told(self) -> None:
        frame = frame_of(b'"' + b"x" * MAX_FRAME_BYTES + b'"')

        assert frame.kind == "frame_refused"
        assert str(MAX_FRAME_BYTES + 2) in frame.content["reason"]

    async def test_a_stream_that_nobody_reads_is_left(self) -> None:
        own = OwnRuntime(messages=[])
        async with serving(own.app) as url, connected(url) as runtime:
            thread = await runtime.start(requested())
            assert await runtime.cancel(thread) is False

            await until(lambda: own.order[-1] == f"left {thread.thread_id}")

    async def test_a_stream_that_is_not_read_to_its_end_is_left(self) -> None:
        own = OwnRuntime(messages=['{"event_type": "a", "data": {}}'])
        async with serving(own.app) as url, connected(url) as runtime:
            request = requested()
            thread = await runtime.start(request)

            async with aclosing(runtime.events(request, thread)) as frames:  # type: ignore[type-var]  # a generator
                await anext(aiter(frames))

            await until(lambda: own.order[-1] == f"left {thread.thread_id}")


class TestSnapshot:
    async def test_a_thread_that_is_not_known_says_so(self) -> None:
        async with deepagents() as (_, client), connected(client.base) as runtime:
            assert await runtime.snapshot(ThreadRef("a/b c")) == Snapshot(ThreadStatus.UNKNOWN)

    @pytest.mark.parametrize(
        ("state", "snapshot"),
        [
            ({"status": "running"}, Snapshot(ThreadStatus.RUNNING)),
            ({"status": "COMPLETED", "generated_files": {}}, Snapshot(ThreadStatus.COMPLETED)),
            ({"status": "failed", "error": "No key."}, Snapshot(ThreadStatus.FAILED, error="No key.")),
            ({"status": "failed", "error": {"message": "No."}}, Snapshot(ThreadStatus.FAILED, error="No.")),
            ({"status": "paused"}, Snapshot(ThreadStatus.RUNNING)),
            (
                {
                    "status": "completed",
                    "result": {"output": "Done."},
                    "generated_files": {"/a": {"content": ["x", ""]}},
                },
                Snapshot(ThreadStatus.COMPLETED, {"a": "x\n"}, "Done."),
            ),
            ({"status": "completed", "result": {"files": {"/a": "x"}}}, Snapshot(ThreadStatus.COMPLETED, {"a": "x"})),
            ([], Snapshot(ThreadStatus.RUNNING)),
        ],
    )
    async def test_each_form_of_a_state_is_read(self, state: object, snapshot: Snapshot) -> None:
        own = OwnRuntime(state=lambda _: JSONResponse(state))
        async with serving(own.app) as url, connected(url) as runtime:
            assert await runtime.snapshot(ThreadRef("t")) == snapshot

    async def test_a_broken_answer_is_asked_for_again(self) -> None:
        answers = [Response(status_code=502), JSONResponse({"status": "completed"})]
        own = OwnRuntime(state=lambda _: answers.pop(0))
        async with serving(own.app) as url, connected(url) as runtime:
            assert (await runtime.snapshot(ThreadRef("t"))).status is ThreadStatus.COMPLETED

    async def test_an_answer_that_is_no_json_says_nothing(self) -> None:
        own = OwnRuntime(state=lambda _: PlainTextResponse("{"))
        async with serving(own.app) as url, connected(url) as runtime:
            assert await runtime.snapshot(ThreadRef("t")) == Snapshot(ThreadStatus.RUNNING)


class TestForget:
    @pytest.mark.parametrize(("status", "was_forgotten"), [(204, True), (404, False), (405, False), (501, False)])
    async def test_it_is_asked_and_may_not_know_how(self, status: int, was_forgotten: object) -> None:
        own = OwnRuntime(delete=status)
        async with serving(own.app) as url, connected(url) as runtime:
            assert await runtime.forget(ThreadRef("t")) is was_forgotten

    async def test_a_broken_answer_may_be_asked_for_again(self) -> None:
        own = OwnRuntime(delete=503)
        async with serving(own.app) as url, connected(url) as runtime:
            with pytest.raises(RuntimeFailure) as failure:
                await runtime.forget(ThreadRef("t"))

        assert failure.value.is_retryable


class TestHealth:
    async def test_a_refusal_is_ill(self) -> None:
        async with deepagents(faults=[Fault.REFUSES]) as (_, client), connected(client.base) as runtime:
            health = await runtime.health()

        assert (health.is_healthy, health.is_slow, health.detail) == (False, False, "It answers 503.")

    async def test_nobody_is_ill(self) -> None:
        async with connected("http://127.0.0.1:1") as runtime:
            health = await runtime.health()

        assert (health.is_healthy, health.is_slow) == (False, False)

    async def test_no_answer_in_time_is_slow(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("graphql_api.runtimes.deepagents.adapter._HEALTH_SECONDS", 0.05)
        async with deepagents(faults=[Fault.SLOW], slow_seconds=1.0) as (_, client), connected(client.base) as runtime:
            health = await runtime.health()

        assert (health.is_healthy, health.is_slow) == (False, True)


class TestOptions:
    @pytest.mark.parametrize(
        ("options", "reason"), [({"model": "gpt"}, "provider:name"), ({"modle": "a:b"}, "no option of deepagents")]
    )
    def test_a_wrong_one_is_refused(self, options: dict[str, str], reason: str) -> None:
        with pytest.raises(ValueError, match=reason):
            DeepAgentsRuntime(RuntimeAddress("deepagents", "http://agents", options))

    async def test_the_model_is_that_of_agents_without_one(self) -> None:
        own = OwnRuntime()
        async with serving(own.app) as url, connected(f"{url}?model=anthropic:claude:1") as runtime:
            await runtime.start(requested())

        (node,) = own.bodies[0]["agent_definition"]["nodes"]
        assert node["config"]["model"] == {"provider": "anthropic", "model": "claude:1"}


def asked(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of a request
    values = {"prompt": "Add a tester.", "context_file_path": None, "context_selection": None, "files": {}, **changes}
    return invocation(RunRequest(UUID(int=1), **values), model=MODEL)


class TestInvocation:
    def test_nothing_that_is_asked_for_is_empty(self) -> None:
        body = asked()

        assert set(body) == {"trace_id", "job_id", "agent_definition", "input_payload"}
        assert all(body.values())

    def test_the_prompt_stands_in_three_places(self) -> None:
        body = asked(context_file_path="plan.md", context_selection="Step 1")
        prompt = "Add a tester.\n\nI have this file open: /plan.md\n\nI have selected this text in it:\n\nStep 1"

        assert body["input_payload"]["messages"] == [{"role": "user", "content": prompt}]
        assert body["agent_definition"]["user_request"] == prompt
        (node,) = body["agent_definition"]["nodes"]
        assert node["config"]["system_prompt"].endswith(prompt)

    def test_the_files_are_given_as_lines(self) -> None:
        (file,) = asked(files={"a/b.md": "x\ny\n"})["input_payload"]["files"].items()

        assert file[0] == "/a/b.md"
        assert file[1]["content"] == ["x", "y", ""]

    @pytest.mark.parametrize("definition", [None, "", "{", "[]", '{"nodes": []}', '{"nodes": [1, {}]}', "[" * 100_000])
    def test_a_draft_without_agents_has_one_that_leads(self, definition: str | None) -> None:
        files = {} if definition is None else {"definition.json": definition}

        (node,) = asked(files=files)["agent_definition"]["nodes"]

        assert (node["id"], node["type"]) == ("orchestrator", "orchestrator")
        assert node["config"]["name"] == "Orchestrator"
        assert node["config"]["model"] == MODEL
        assert node["config"]["tools"] == []

    def test_the_agents_of_the_draft_are_those_that_work(self) -> None:
        definition = {
            "name": "Group",
            "entry_point": "lead",
            "edges": [{"key": "e", "source": "lead", "target": "test", "type": "delegation"}],
            "nodes": [
                {"key": "test", "type": "specialist", "name": "Tester", "role": "Tests", "system_prompt": "You test."},
                {
                    "key": "lead",
                    "type": "orchestrator",
                    "system_prompt": "You lead.",
                    "tools": ["delegate:test"],
                    "llm": {"provider": "openai", "model": "gpt-9", "temperature": 0.2},
                },
            ],
        }

        given = asked(files={"definition.json": json.dumps(definition)})["agent_definition"]

        assert (given["name"], given["edges"]) == ("Group", definition["edges"])
        tester, lead = given["nodes"]
        assert tester["config"] == {
            "description": "Tests",
            "name": "Tester",
            "role": "Tests",
            "system_prompt": "You test.",
            "model": MODEL,
            "tools": [],
        }
        assert (lead["id"], lead["type"], lead["config"]["tools"]) == ("lead", "orchestrator", ["delegate:test"])
        assert lead["config"]["model"] == {"provider": "openai", "model": "gpt-9", "temperature": 0.2}
        assert lead["config"]["system_prompt"].startswith("You lead.\n\n")

    @pytest.mark.parametrize(
        ("nodes", "leader"),
        [
            ([{"id": "a", "type": "Specialist"}, {"id": "b", "type": "Orchestrator"}], 1),
            ([{"id": "a"}, {"id": "b"}], 0),
            ([{"id": "a", "config": {"systemPrompt": "You lead."}}], 0),
        ],
    )
    def test_some_node_leads(self, nodes: list[dict[str, Any]], leader: int) -> None:
        given = asked(files={"definition.json": json.dumps({"nodes": nodes})})["agent_definition"]["nodes"]

        assert [node["type"] == "orchestrator" for node in given] == [index == leader for index in range(len(given))]
        assert given[leader]["config"]["system_prompt"].endswith("Add a tester.")
