"""The proxy's configuration, in a real nginx before two real API processes."""

import asyncio
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from support.databases import Server
from support.graphql_client import GraphQLClient
from support.people import PASSWORD
from support.processes import Process, answers, free_port, started
from support.sockets import connected
from support.waiting import WAIT_SECONDS

from graphql_api.identity import users
from graphql_api.kit.database import Database

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.timeout(180),
    pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed"),
]

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "nginx.conf"
CREATE = """mutation($input: CreateWorkflowInput!) {
    createWorkflow(input: $input) { workflow { id } errors { code } } }"""
RENAME = """mutation($input: UpdateWorkflowInput!) {
    updateWorkflow(input: $input) { workflow { id } errors { code } } }"""
WATCH = "subscription($id: ID!) { workflowEvents(workflowId: $id) { __typename sequence } }"


class Cluster:
    """Two API processes behind a proxy, and somebody who has a workflow there."""

    def __init__(self, apis: list[Process], client: GraphQLClient, workflow: str) -> None:
        self.apis = apis
        self.client = client
        self.workflow = workflow
        self._names = 0

    async def rename(self) -> None:
        """Let something happen."""
        self._names += 1
        await self.client.change(RENAME, {"input": {"workflowId": self.workflow, "name": f"Desk {self._names}"}})


@contextmanager
def proxying(configuration: Path) -> Iterator[None]:
    """Run nginx while the context lasts."""
    proxy = subprocess.Popen(["nginx", "-c", configuration, "-g", "daemon off;"], stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        proxy.terminate()
        proxy.wait(WAIT_SECONDS)


@pytest.fixture(scope="module")
async def cluster(database_server: Server, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    directory = tmp_path_factory.mktemp("cluster")
    database: Database = await database_server.create()
    ports = [free_port(), free_port()]
    proxy_port = free_port()
    text = CONFIGURATION.read_text(encoding="utf-8").replace("listen 8080", f"listen 127.0.0.1:{proxy_port}")
    for number, port in enumerate(ports, 1):
        text = text.replace(f"api-{number}:8080", f"127.0.0.1:{port}")
    configuration = directory / "nginx.conf"
    configuration.write_text(text.replace("/tmp/nginx", str(directory / "nginx")), encoding="utf-8")
    environment = {"DATABASE_URL": database.url.render_as_string(hide_password=False)}
    with ExitStack() as stack:
        apis = [
            stack.enter_context(
                started("serve", "--port", str(port), environment=environment, log=directory / f"{port}.log")
            )
            for port in ports
        ]
        stack.enter_context(proxying(configuration))
        await asyncio.gather(*(answers(f"http://127.0.0.1:{port}") for port in ports))
        client = GraphQLClient(f"http://127.0.0.1:{proxy_port}")
        await answers(client.address)
        email = f"{uuid4().hex}@example.com"
        await users.create(database, email=email, name="Ada", password=PASSWORD)
        await client.sign_in(email, PASSWORD)
        made = await client.change(CREATE, {"input": {"name": "Desk", "templateSlug": "single-agent"}})
        yield Cluster(apis, client, made["workflow"]["id"])
    await database_server.drop(database)


class TestProxy:
    async def test_sockets_are_passed_on(self, cluster: Cluster) -> None:
        async with connected(cluster.client.address.replace("http", "ws", 1) + "/graphql", cluster.client.token) as ws:
            await ws.subscribe(WATCH, {"id": cluster.workflow})
            first = (await ws.next())["data"]["workflowEvents"]["sequence"]
            await cluster.rename()
            while (await ws.next())["data"]["workflowEvents"]["__typename"] != "WorkflowUpdated":
                pass
        assert first == 1

    @pytest.mark.parametrize("accept", ["text/event-stream", "multipart/mixed;subscriptionSpec=1.0,application/json"])
    async def test_streams_are_not_held_back(self, cluster: Cluster, accept: str) -> None:
        headers = {"accept": accept, "authorization": f"Bearer {cluster.client.token}"}
        body = {"query": WATCH, "variables": {"id": cluster.workflow}}
        async with (
            httpx.AsyncClient(timeout=WAIT_SECONDS) as http,
            http.stream("POST", f"{cluster.client.address}/graphql", json=body, headers=headers) as response,
        ):
            pieces, got = response.aiter_text(), ""
            for _ in range(2):
                seen = got.count("WorkflowUpdated")
                await cluster.rename()
                while got.count("WorkflowUpdated") <= seen:
                    got += await anext(pieces)

    async def test_metrics_stay_inside(self, cluster: Cluster) -> None:
        async with httpx.AsyncClient() as http:
            assert (await http.get(f"{cluster.client.address}/metrics")).status_code == 404
            assert (await http.get(f"{cluster.client.address}/schema.graphql")).status_code == 200

    async def test_a_process_that_is_gone_is_not_noticed(self, cluster: Cluster) -> None:
        gone = cluster.apis[0]
        gone.send(signal.SIGKILL)
        gone.wait()

        for _ in range(6):
            await cluster.rename()
