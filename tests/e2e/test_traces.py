"""One trace from the client to the runtime and back, through an API process and a worker."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send
from support.collecting import Collector, collecting
from support.databases import Server
from support.people import PASSWORD
from support.processes import Process, answers, free_port, started
from support.server import serving
from support.waiting import until
from websockets.asyncio.client import connect

from graphql_api.identity import users
from graphql_api.kit.database import Database
from graphql_api.runtimes.fakes.recordings import Protocol
from graphql_api.runtimes.fakes.server import FakeRuntime

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

LOGIN = "mutation In($input: LoginInput!) { login(input: $input) { session { accessToken } } }"
CREATE = """mutation Make { createWorkflow(input: { name: "W", templateSlug: "single-agent" }) { workflow { id } } }"""
REFINE = """mutation Refine($id: ID!) {
  refineWorkflow(input: { workflowId: $id, prompt: "Add a tester agent" }) { proposal { id } errors { message } }
}"""
WATCH = "subscription Watch($id: ID!) { proposalEvents(proposalId: $id, deltas: NONE) { __typename } }"
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"


class Overhearing:
    """Passes requests on, and keeps the `traceparent` of each by its path."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.heard: dict[str, str] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope.get("headers", ()))
        if b"traceparent" in headers:
            self.heard[scope["path"]] = headers[b"traceparent"].decode()
        await self._app(scope, receive, send)


@pytest.fixture
def processes() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
async def database(database_server: Server) -> AsyncIterator[Database]:
    made = await database_server.create()
    yield made
    await database_server.drop(made)


async def run(address: str, token: str | None, query: str, **variables: object) -> dict[str, Any]:
    headers = {"traceparent": TRACEPARENT} | ({"authorization": f"Bearer {token}"} if token else {})
    async with httpx.AsyncClient(timeout=40) as client:
        body = {"query": query, "variables": variables}
        answer = (await client.post(f"{address}/graphql", json=body, headers=headers)).json()
    assert "errors" not in answer, answer
    (payload,) = answer["data"].values()
    return dict(payload)


async def watch(address: str, token: str, proposal: str) -> list[str]:
    url = address.replace("http", "ws", 1) + "/graphql"
    async with connect(url, subprotocols=["graphql-transport-ws"]) as socket:  # type: ignore[list-item] # a NewType
        await socket.send(json.dumps({"type": "connection_init", "payload": {"token": token}}))
        await socket.recv()
        operation = {"query": WATCH, "variables": {"id": proposal}}
        await socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": operation}))
        told: list[str] = []
        while (message := json.loads(await socket.recv()))["type"] == "next":
            told.append(message["payload"]["data"]["proposalEvents"]["__typename"])
    return told


class TestTrace:
    async def test_it_goes_from_the_client_to_the_runtime_and_to_who_watches(
        self, database: Database, processes: ExitStack, tmp_path: Path
    ) -> None:
        runtime = FakeRuntime(Protocol.DEEPAGENTS, speed=0)
        overhearing = Overhearing(runtime.app)
        async with collecting() as collector, serving(overhearing) as runtime_url:
            environment = {
                "DATABASE_URL": database.url.render_as_string(hide_password=False),
                "ORCHESTRATOR_HOME": str(tmp_path),
                "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
                "OTEL_BSP_SCHEDULE_DELAY": "50",
                "RUNTIME_URL": f"deepagents+{runtime_url}",
            }
            address = await serve(processes, environment, tmp_path)
            worker = processes.enter_context(started("worker", environment=environment, log=tmp_path / "worker.log"))
            token = await sign_in(database, address)
            workflow = (await run(address, token, CREATE))["workflow"]["id"]
            proposal = (await run(address, token, REFINE, id=workflow))["proposal"]["id"]
            told = await watch(address, token, proposal)
            await until(lambda: bool(collector.named("execution") and collector.named("subscription Watch")))
            await until(lambda: any("invoke" in json.dumps(step.attributes) for step in collector.of(TRACE_ID)))

        assert told[-1] == "ProposalCompleted"
        self.assert_one_trace(collector)
        of_runs = {path: heard for path, heard in overhearing.heard.items() if "/invoke" in path or "/stream/" in path}
        assert len(of_runs) == 2
        assert {heard.split("-")[1] for heard in of_runs.values()} == {TRACE_ID}
        ended = next(line for line in worker.log.read_text().splitlines() if "execution_ended" in line)
        assert json.loads(ended)["trace_id"] == TRACE_ID
        self.assert_quiet(collector, token)

    def assert_one_trace(self, collector: Collector) -> None:
        steps = {step.span_id: step for step in collector.of(TRACE_ID)}
        (refining,) = (step for step in steps.values() if step.name == "mutation Refine")
        (execution,) = collector.named("execution")
        assert (execution.trace_id, execution.parent_id) == (TRACE_ID, refining.span_id)
        request = steps[refining.parent_id]
        assert (request.name, request.parent_id) == ("POST /graphql", TRACEPARENT.split("-")[2])
        assert any(step.parent_id == execution.span_id and step.name.startswith("POST") for step in steps.values())
        assert any(step.parent_id == refining.span_id and step.name.startswith("INSERT") for step in steps.values())
        (watching,) = collector.named("subscription Watch")
        assert watching.trace_id != TRACE_ID
        assert watching.links == {TRACE_ID}
        assert collector.services == {"ide-orchestrator"}

    def assert_quiet(self, collector: Collector, token: str) -> None:
        """Polls and probes make no traces, and no secret is in any."""
        roots = {step.name for step in collector.steps if not step.parent_id}
        assert not {
            name for name in roots if "SELECT" in name or "UPDATE" in name or "health" in name or "ready" in name
        }
        everything = repr(collector.steps)
        assert token not in everything
        assert "Add a tester agent" not in everything

    async def test_without_an_endpoint_nothing_of_it_is_imported(
        self, database: Database, processes: ExitStack, tmp_path: Path
    ) -> None:
        environment = {
            "DATABASE_URL": database.url.render_as_string(hide_password=False),
            "ORCHESTRATOR_HOME": str(tmp_path),
            "PYTHONPROFILEIMPORTTIME": "1",
        }
        await serve(processes, environment, tmp_path)
        imported = (tmp_path / "serve.log").read_text()

        assert "graphql_api.transport.metrics" in imported
        assert "opentelemetry" not in imported


async def serve(processes: ExitStack, environment: dict[str, str], directory: Path) -> str:
    port = free_port()
    arguments = ("serve", "--port", str(port))
    process: Process = processes.enter_context(
        started(*arguments, environment=environment, log=directory / "serve.log")
    )
    await answers(f"http://127.0.0.1:{port}")
    assert process.said("listening")
    return f"http://127.0.0.1:{port}"


async def sign_in(database: Database, address: str) -> str:
    email = f"{uuid4().hex}@example.com"
    await users.create(database, email=email, name="Ada", password=PASSWORD)
    payload = await run(address, None, LOGIN, input={"email": email, "password": PASSWORD})
    return str(payload["session"]["accessToken"])
