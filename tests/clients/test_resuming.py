"""What clients see, with the examples' cure, when connection, server or network go away: every event, once."""

import asyncio
import signal
from asyncio.subprocess import Process
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager

import pytest
from support.databases import Server
from support.graphql_client import GraphQLClient
from support.node import Workspace
from support.processes import Process as ApiProcess
from support.processes import free_port
from support.proxy import proxied
from support.system import System
from support.waiting import WAIT_SECONDS, until

from graphql_api.kit.database import Database

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(400)]

CLIENTS = ("readme", "apollo-websocket", "apollo-multipart", "relay", "urql-sse")
REFINE = """mutation($id: ID!) { refineWorkflow(input: { workflowId: $id, prompt: "Add a reviewer agent" }) {
  proposal { id } errors { message } } }"""
CREATE = """mutation { createWorkflow(input: { name: "Support desk", templateSlug: "multi-agent" }) {
  workflow { id } errors { message } } }"""
LOG = "query($id: ID!) { proposal(id: $id) { status events(first: 100) { nodes { sequence } } } }"


class Watched:
    """A proposal, and what the clients have told of it."""

    def __init__(self, client: GraphQLClient, proposal_id: str) -> None:
        self._client = client
        self._proposal_id = proposal_id
        self.told = defaultdict[str, list[str]](list)
        self.other: list[str] = []

    async def read(self, process: Process) -> None:
        """Note what the clients tell, until their process ends."""
        assert process.stdout is not None
        async for line in process.stdout:
            name, _, what = line.decode().strip().partition(" ")
            if name in CLIENTS:
                self.told[name].append(what)
            else:
                self.other.append(line.decode())

    async def reaches(self, count: int) -> None:
        """Wait until each client has told so many events."""
        await until(lambda: all(len(self.told[name]) >= count for name in CLIENTS) or bool(self.other))
        assert self.other == []

    async def check(self) -> None:
        """Check that each client told every event of the log once, in order, and then the end."""
        proposal = (await self._client.run(LOG, {"id": self._proposal_id}))["proposal"]
        log = [str(event["sequence"]) for event in proposal["events"]["nodes"]]
        assert (proposal["status"], len(log) > 20) == ("COMPLETED", True)
        assert self.told == {name: [*log, "end"] for name in CLIENTS}
        assert self.other == []


@pytest.fixture(scope="module")
async def database(anyio_backend: str, database_server: Server) -> AsyncIterator[Database]:
    database = await database_server.create()
    yield database
    await database_server.drop(database)


class Api:
    """An API process that can be put in another's place, on the same port."""

    def __init__(self, system: System) -> None:
        self.system = system
        self._process: ApiProcess | None = None
        self.port = free_port()

    async def start(self) -> None:
        """Start a process."""
        self._process = await self.system.serve_on(self.port)

    async def restart(self, number: signal.Signals) -> None:
        """End the process by a signal, and then start another."""
        assert self._process is not None
        self._process.send(number)
        await asyncio.to_thread(self._process.wait)
        await self.start()


@pytest.fixture(scope="module")
async def api(database: Database, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    """An API process, and a worker, slow enough that something can go away while it works."""
    with ExitStack() as stack:
        system = System(database, tmp_path_factory.mktemp("system"), stack)
        api = Api(system)
        await asyncio.gather(api.start(), system.work(EMBEDDED_RUNTIME_PACE_MS="50"))
        yield api


@pytest.fixture(scope="module")
async def client(api: Api) -> GraphQLClient:
    """Somebody new."""
    return await api.system.sign_in(api.port)


@asynccontextmanager
async def watching(workspace: Workspace, client: GraphQLClient, *, port: int) -> AsyncIterator[Watched]:
    """Order a refinement and follow it through a port; when the context ends, wait for the clients' end."""
    workflow_id = (await client.change(CREATE, {}))["workflow"]["id"]
    proposal_id = (await client.change(REFINE, {"id": workflow_id}))["proposal"]["id"]
    watched = Watched(client, proposal_id)
    environment = {
        "ORCHESTRATOR_URL": f"http://127.0.0.1:{port}/graphql",
        "TOKEN": client.token or "",
        "PROPOSAL": proposal_id,
    }
    async with workspace.running(workspace.clients / "follow.ts", **environment) as process:
        reading = asyncio.create_task(watched.read(process))
        try:
            yield watched
            await asyncio.wait_for(reading, WAIT_SECONDS * 2)
        finally:
            reading.cancel()
    await watched.check()


class TestResuming:
    async def test_after_connections_that_were_cut(self, workspace: Workspace, api: Api, client: GraphQLClient) -> None:
        async with proxied(api.port) as proxy:
            async with watching(workspace, client, port=proxy.port) as watched:
                for count in (3, 12):
                    await watched.reaches(count)
                    proxy.cut()
            assert proxy.carried >= len(CLIENTS) * 2  # a later cut may find the log read to its end

    async def test_after_an_outage_of_six_seconds(self, workspace: Workspace, api: Api, client: GraphQLClient) -> None:
        async with proxied(api.port) as proxy, watching(workspace, client, port=proxy.port) as watched:
            await watched.reaches(5)
            await proxy.fail(6)

    async def test_after_restarts_of_the_server(self, workspace: Workspace, api: Api, client: GraphQLClient) -> None:
        async with watching(workspace, client, port=api.port) as watched:
            await watched.reaches(3)
            await api.restart(signal.SIGTERM)
            await watched.reaches(12)
            await api.restart(signal.SIGKILL)
