"""What clients and work go through when a process is told to end."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text
from support.graphql_client import GraphQLClient
from support.logs import append, running_log
from support.people import PASSWORD
from support.processes import Process, answers, free_port, started
from support.sockets import connected
from support.streams import STREAMS
from support.waiting import WAIT_SECONDS, until
from websockets.exceptions import ConnectionClosedError

from graphql_api.events.records import NewEvent
from graphql_api.identity import users
from graphql_api.kit.database import Database
from graphql_api.kit.ids import key_of

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

DRAIN_SECONDS = 10
"""What orchestrators of containers are told to wait before they kill."""

WATCH = "subscription($id: ID!) { workflowEvents(workflowId: $id) { __typename sequence } }"
CREATE = """mutation($input: CreateWorkflowInput!) {
    createWorkflow(input: $input) { workflow { id } errors { code } } }"""
WATCH_PROPOSAL = """subscription($id: ID!) {
    proposalEvents(proposalId: $id) { sequence ... on ProposalProgressed { message } } }"""
REFINE = """mutation($id: ID!) {
    refineWorkflow(input: { workflowId: $id, prompt: "Go" }) { proposal { id } errors { code } } }"""


class Serving:
    """An API process, and somebody who has a workflow there."""

    def __init__(self, database: Database, process: Process, client: GraphQLClient, workflow: str) -> None:
        self.database = database
        self.process = process
        self.client = client
        self.workflow = workflow

    @asynccontextmanager
    async def streaming(
        self, accept: str, watch: str = WATCH, id_: str | None = None
    ) -> AsyncIterator[AsyncIterator[str]]:
        """Subscribe over HTTP; give the stream, whose first event has arrived."""
        headers = {"accept": accept, "authorization": f"Bearer {self.client.token}"}
        body = {"query": watch, "variables": {"id": id_ or self.workflow}}
        async with (
            httpx.AsyncClient(timeout=WAIT_SECONDS) as http,
            http.stream("POST", f"{self.client.address}/graphql", json=body, headers=headers) as response,
        ):
            pieces = response.aiter_text()
            got = ""
            while '"sequence":1' not in got:
                got += await anext(pieces)
            yield pieces

    async def is_waiting(self) -> bool:
        """Tell whether some statement waits for a lock."""
        query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        async with self.database.transaction() as session:
            return bool((await session.execute(text(query))).scalar_one())

    async def is_deaf(self) -> bool:
        """Tell whether the process takes no new connections."""
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", int(self.client.address.rpartition(":")[2]))
        except ConnectionError:  # refused, or reset by a socket that closes just then
            return True
        writer.close()
        return False

    async def ends(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Tell the process to end; give the exit code."""
        self.process.send(number)
        async with asyncio.timeout(DRAIN_SECONDS):
            return await asyncio.to_thread(self.process.wait)


@pytest.fixture
async def serving(fresh_database: Callable[..., Awaitable[Database]], tmp_path: Path) -> AsyncIterator[Serving]:
    database, port = await fresh_database(), free_port()
    environment = {"DATABASE_URL": database.url.render_as_string(hide_password=False)}
    address, email = f"http://127.0.0.1:{port}", f"{uuid4().hex}@example.com"
    with started("serve", "--port", str(port), environment=environment, log=tmp_path / "serve.log") as process:
        await answers(address)
        await users.create(database, email=email, name="Ada", password=PASSWORD)
        client = GraphQLClient(address)
        await client.sign_in(email, PASSWORD)
        made = await client.change(CREATE, {"input": {"name": "Desk", "templateSlug": "single-agent"}})
        yield Serving(database, process, client, made["workflow"]["id"])


async def tell_much(database: Database, proposal: str) -> int:
    """Append more to a proposal's log than sockets hold; give the last sequence."""
    subject = key_of(proposal, "Proposal")
    assert subject is not None
    async with running_log(database) as log:
        for _ in range(20):
            events = [NewEvent("ProposalProgressed", {"message": "x" * 100_000})] * 10
            last = (await append(database, log, subject, *events))[-1].sequence
    return last


async def rest_of(pieces: AsyncIterator[str]) -> str:
    """Read a stream until it breaks off; that it ends in order is an error."""
    got = ""
    try:
        async for piece in pieces:
            got += piece
    except httpx.RemoteProtocolError:
        return got
    pytest.fail("The stream ended as if it were complete.")


class TestApi:
    async def test_a_socket_is_closed_with_the_code_that_makes_clients_come_back(self, serving: Serving) -> None:
        async with connected(serving.client.address.replace("http", "ws", 1) + "/graphql", serving.client.token) as ws:
            await ws.subscribe(WATCH, {"id": serving.workflow})
            await ws.next()
            ending = asyncio.create_task(serving.ends())

            assert await ws.close_code() == 1012
        assert await ending == 0

    @pytest.mark.parametrize("accept", STREAMS)
    async def test_a_stream_breaks_off_without_saying_that_it_is_complete(self, serving: Serving, accept: str) -> None:
        async with serving.streaming(accept) as pieces:
            ending = asyncio.create_task(serving.ends())
            rest = await rest_of(pieces)
        assert "complete" not in rest
        assert "--graphql--" not in rest
        assert await ending == 0
        assert not serving.process.said('"level":"error"')
        assert not serving.process.said("Traceback")

    async def test_two_hundred_streams_hold_it_up_no_longer_than_one(self, serving: Serving) -> None:
        async with AsyncExitStack() as stack:
            streams = [await stack.enter_async_context(serving.streaming(STREAMS[n % 2])) for n in range(100)]
            url = serving.client.address.replace("http", "ws", 1) + "/graphql"
            socket = await stack.enter_async_context(connected(url, serving.client.token))
            for _ in range(100):
                await socket.subscribe(WATCH, {"id": serving.workflow})
                await socket.next()
            ending = asyncio.create_task(serving.ends())

            rests = await asyncio.gather(*(rest_of(pieces) for pieces in streams))
            assert await socket.close_code() == 1012
        assert not [rest for rest in rests if "complete" in rest]
        assert await ending == 0

    async def test_clients_who_do_not_read_hold_it_up_no_longer_than_others(self, serving: Serving) -> None:
        proposal = (await serving.client.change(REFINE, {"id": serving.workflow}))["proposal"]["id"]
        url = serving.client.address.replace("http", "ws", 1) + "/graphql"
        async with AsyncExitStack() as stack:
            for accept in STREAMS:
                await stack.enter_async_context(serving.streaming(accept, WATCH_PROPOSAL, proposal))
            idle = await stack.enter_async_context(connected(url, serving.client.token))
            await idle.subscribe(WATCH_PROPOSAL, {"id": proposal})
            idle.connection.transport.pause_reading()
            reader = await stack.enter_async_context(connected(url, serving.client.token))
            await reader.subscribe(WATCH_PROPOSAL, {"id": proposal})

            last = await tell_much(serving.database, proposal)
            while (await reader.next())["data"]["proposalEvents"]["sequence"] < last:
                pass
            ending = asyncio.create_task(serving.ends())
            assert await reader.close_code() == 1012
            assert await ending == 0
            # A close handshake would have to wait for all that was not read.
            idle.connection.transport.abort()
        assert not serving.process.said("timeout graceful shutdown exceeded")
        assert not serving.process.said("Traceback")

    async def test_a_socket_takes_no_larger_messages_than_requests_may_be(self, serving: Serving) -> None:
        url = serving.client.address.replace("http", "ws", 1) + "/graphql"

        async def say_too_much() -> None:
            async with connected(url, serving.client.token) as ws:
                await ws.send({"type": "ping", "payload": {"padding": "x" * 5 * 1024 * 1024}})
                await ws.receive()

        with pytest.raises(ConnectionClosedError) as closed:
            await say_too_much()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009

    async def test_a_request_that_is_being_answered_is_answered(self, serving: Serving) -> None:
        async with serving.database.transaction() as session:
            await session.execute(text("LOCK TABLE workflows IN ACCESS EXCLUSIVE MODE"))
            asking = asyncio.create_task(serving.client.run("{ workflows { totalCount } }"))
            await until(serving.is_waiting)
            ending = asyncio.create_task(serving.ends())
            await until(serving.is_deaf)
        assert (await asking)["workflows"]["totalCount"] == 1
        assert await ending == 0
