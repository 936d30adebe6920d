"""A thousand subscribers who never read what they subscribed to."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import psutil
import pytest
from support.graphql_client import GraphQLClient
from support.logs import append
from support.people import PASSWORD
from support.processes import Process, answers, free_port, started
from support.sockets import Socket, connected

from graphql_api.events.log import EventLog
from graphql_api.events.records import NewEvent
from graphql_api.identity import users
from graphql_api.kit.database import Database
from graphql_api.kit.ids import key_of

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]

CONNECTIONS, SUBSCRIPTIONS = 250, 4
EVENT_BYTES, EVENTS = 4000, 1000
PATIENCE_MEGABYTES = 60
"""What memory may grow by while four megabytes of events pass a thousand subscribers by."""

WATCH = "subscription($id: ID!) { proposalEvents(proposalId: $id) { sequence ... on ProposalProgressed { message } } }"
CREATE = 'mutation { createWorkflow(input: { name: "Desk" }) { workflow { id } errors { code } } }'
REFINE = """mutation($id: ID!) {
    refineWorkflow(input: { workflowId: $id, prompt: "Go" }) { proposal { id } errors { code } } }"""


@pytest.fixture
async def database(fresh_database: Callable[..., Awaitable[Database]]) -> Database:
    return await fresh_database()


@pytest.fixture
async def serving(database: Database, tmp_path: Path) -> AsyncIterator[tuple[Process, str]]:
    """An API process without a worker, and its address."""
    port = free_port()
    environment = {"DATABASE_URL": database.url.render_as_string(hide_password=False), "MAX_OPEN_SUBSCRIPTIONS": "600"}
    with started("serve", "--port", str(port), environment=environment, log=tmp_path / "serve.log") as process:
        await answers(f"http://127.0.0.1:{port}")
        yield process, f"http://127.0.0.1:{port}"


async def signed_in(database: Database, address: str, name: str) -> GraphQLClient:
    await users.create(database, email=f"{name}@example.com", name=name, password=PASSWORD, is_admin=True)
    client = GraphQLClient(address)
    await client.sign_in(f"{name}@example.com", PASSWORD)
    return client


def megabytes(process: Process) -> float:
    return float(psutil.Process(process._popen.pid).memory_info().rss) / 1e6


class TestNeverReading:
    async def test_they_cost_bounded_memory_and_lose_nothing(
        self, database: Database, serving: tuple[Process, str]
    ) -> None:
        process, address = serving
        people = [await signed_in(database, address, name) for name in ("ada", "bob")]
        workflow = (await people[0].change(CREATE, {}))["workflow"]["id"]
        proposal = (await people[0].change(REFINE, {"id": workflow}))["proposal"]["id"]
        subject, log = key_of(proposal, "Proposal"), EventLog(database)
        assert subject is not None
        last = 1

        async def tell(count: int) -> None:
            nonlocal last
            for start in range(0, count, 50):
                events = [NewEvent("ProposalProgressed", {"message": "x" * EVENT_BYTES})] * min(50, count - start)
                last = (await append(database, log, subject, *events))[-1].sequence

        async with AsyncExitStack() as stack, log.running():
            sockets: list[Socket] = []
            for number in range(CONNECTIONS):
                url = address.replace("http", "ws", 1) + "/graphql"
                # Who does not read hears no answer to a ping either, nor that a connection is closed.
                never = connected(url, people[number % 2].token, ping_interval=None, close_timeout=0.01)
                socket = await stack.enter_async_context(never)
                for _ in range(SUBSCRIPTIONS):
                    await socket.subscribe(WATCH, {"id": proposal})
                sockets.append(socket)
            reader = await stack.enter_async_context(connected(url, people[0].token))
            await reader.subscribe(WATCH, {"id": proposal})
            # What the sockets' own buffers hold is not the question: they are full when that has passed.
            await tell(EVENTS)
            while (await reader.next())["data"]["proposalEvents"]["sequence"] < last:
                pass
            before = megabytes(process)
            await tell(EVENTS)
            while (await reader.next())["data"]["proposalEvents"]["sequence"] < last:
                pass
            grown = megabytes(process) - before

            sequences: dict[str, list[int]] = {}
            while len(sequences) < SUBSCRIPTIONS or any(len(each) < last for each in sequences.values()):
                message = await sockets[0].receive()
                sequences.setdefault(message["id"], []).append(message["payload"]["data"]["proposalEvents"]["sequence"])
        assert grown < PATIENCE_MEGABYTES
        assert all(each == list(range(1, last + 1)) for each in sequences.values())
