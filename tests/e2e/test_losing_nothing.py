"""What subscribers of two API processes get from a worker, whatever happens to connections and to access."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, aclosing
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from support.databases import Server
from support.graphql_client import GraphQLClient
from support.people import PASSWORD
from support.processes import SECRET
from support.sockets import Socket, connected
from support.system import System
from support.waiting import WAIT_SECONDS, until

from graphql_api.events.cursors import encode_cursor
from graphql_api.identity import users
from graphql_api.identity.tokens import ACCESS_TOKEN_LIFETIME, TokenKeys
from graphql_api.kit.columns import now
from graphql_api.kit.database import Database
from graphql_api.kit.ids import key_of

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

WATCH = """subscription($id: ID!, $after: EventCursor, $deltas: DeltaMode! = NONE) {
    proposalEvents(proposalId: $id, after: $after, deltas: $deltas) {
        __typename cursor sequence
        ... on AgentMessageDelta { messageId offset text }
        ... on AgentMessageCompleted { messageId text }
    } }"""
FOLLOW = "subscription($id: ID!) { workflowEvents(workflowId: $id) { __typename } }"
CREATE = """mutation { createWorkflow(input: { name: "Desk", templateSlug: "multi-agent" }) {
    workflow { id } errors { code } } }"""
SHARE = "mutation($input: SetWorkflowMemberInput!) { setWorkflowMember(input: $input) { errors { code message } } }"
REFINE = """mutation($id: ID!) {
    refineWorkflow(input: { workflowId: $id, prompt: "Add a reviewer agent" }) { proposal { id } errors { code } } }"""


@dataclass(frozen=True)
class Replicas:
    """Two API processes on one database, of whose users one is signed in at both, and the worker."""

    system: System
    one: GraphQLClient
    other: GraphQLClient

    @classmethod
    async def start(cls, system: System) -> "Replicas":
        """Start all of it."""
        one, other, _ = await asyncio.gather(system.serve(), system.serve(), system.work(EMBEDDED_RUNTIME_PACE_MS="10"))
        other.token = one.token
        return cls(system, one, other)

    async def refined(self) -> str:
        """Order a refinement; give the proposal's id."""
        workflow = (await self.one.change(CREATE, {}))["workflow"]["id"]
        proposal: str = (await self.one.change(REFINE, {"id": workflow}))["proposal"]["id"]
        return proposal


def socket_url(client: GraphQLClient) -> str:
    """Tell where WebSockets are opened at the process that a client uses."""
    return client.address.replace("http", "ws", 1) + "/graphql"


class Watch:
    """Somebody who watches a proposal in the background, and keeps what they got."""

    def __init__(self, client: GraphQLClient, proposal: str, **variables: str) -> None:
        self.events: list[dict[str, Any]] = []
        self._task = asyncio.create_task(self._watch(client, {"id": proposal, **variables}))

    @property
    def stored(self) -> list[dict[str, Any]]:
        """What the log keeps."""
        return [event for event in self.events if event["__typename"] != "AgentMessageDelta"]

    @property
    def pieces(self) -> dict[str, list[dict[str, Any]]]:
        """The pieces of each message."""
        deltas = [event for event in self.events if event["__typename"] == "AgentMessageDelta"]
        return {id_: list(of_it) for id_, of_it in groupby(deltas, key=lambda delta: str(delta["messageId"]))}

    @property
    def messages(self) -> dict[str, str]:
        """The messages that are complete."""
        return {
            each["messageId"]: each["text"] for each in self.events if each["__typename"] == "AgentMessageCompleted"
        }

    async def has(self, kind: str, count: int = 1) -> None:
        """Wait for events of a kind."""
        await until(lambda: sum(event["__typename"] == kind for event in self.events) >= count)

    async def ends(self) -> None:
        """Wait for the end of the log, and see that each of its events came once."""
        async with asyncio.timeout(WAIT_SECONDS):
            await self._task
        assert [event["sequence"] for event in self.stored] == list(range(1, len(self.stored) + 1))
        assert self.stored[-1]["__typename"] == "ProposalCompleted"

    async def _watch(self, client: GraphQLClient, variables: dict[str, str]) -> None:
        async with aclosing(client.subscribe(WATCH, variables)) as payloads:
            async for payload in payloads:
                self.events.append(payload["data"]["proposalEvents"])


@pytest.fixture(scope="module")
async def replicas(database_server: Server, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Replicas]:
    with ExitStack() as stack:
        database = await database_server.create()
        yield await Replicas.start(System(database, tmp_path_factory.mktemp("replicas"), stack))
    await database_server.drop(database)


@pytest.fixture(scope="module", autouse=True)
async def removed(replicas: Replicas) -> AsyncIterator[list[Socket]]:
    """Give the sockets of somebody who was removed from the workflow that they follow there, before any test began.

    Access is looked at every quarter of a minute: that goes by while the other tests run.
    """
    system, one = replicas.system, replicas.one
    workflow = (await one.change(CREATE, {}))["workflow"]["id"]
    email = f"{uuid4().hex}@example.com"
    await users.create(system.database, email=email, name="Bob", password=PASSWORD)
    bob = GraphQLClient(one.address)
    await bob.sign_in(email, PASSWORD)
    member = {"workflowId": workflow, "email": email}
    await one.change(SHARE, {"input": {**member, "role": "VIEWER"}})
    async with AsyncExitStack() as stack:
        sockets = []
        for client in (one, replicas.other):
            socket = await stack.enter_async_context(connected(socket_url(client), bob.token))
            await socket.subscribe(FOLLOW, {"id": workflow})
            await socket.next()
            sockets.append(socket)
        await one.change(SHARE, {"input": {**member, "role": None}})
        yield sockets


class TestDeltas:
    async def test_pieces_make_the_whole_at_every_replica(self, replicas: Replicas) -> None:
        proposal = await replicas.refined()
        watches = [Watch(client, proposal, deltas="ALL") for client in (replicas.one, replicas.other)]
        for watch in watches:
            await watch.ends()
            for id_, pieces in watch.pieces.items():
                assert [piece["offset"] for piece in pieces[1:]] == [
                    piece["offset"] + len(piece["text"]) for piece in pieces[:-1]
                ]
                assert "".join(piece["text"] for piece in pieces) == watch.messages[id_][pieces[0]["offset"] :]
        assert watches[0].stored == watches[1].stored

    async def test_who_comes_in_the_middle_of_a_message_knows_where_its_pieces_belong(self, replicas: Replicas) -> None:
        proposal = await replicas.refined()
        early = Watch(replicas.one, proposal, deltas="ALL")
        await early.has("AgentMessageDelta", 3)
        late = Watch(replicas.other, proposal, deltas="ALL")
        await early.ends()
        await late.ends()

        assert late.stored == early.stored
        assert late.pieces
        for id_, pieces in late.pieces.items():
            assert "".join(piece["text"] for piece in pieces) == late.messages[id_][pieces[0]["offset"] :]


class TestCursors:
    async def test_from_each_of_one_replica_another_goes_on(self, replicas: Replicas) -> None:
        proposal = await replicas.refined()
        whole = Watch(replicas.one, proposal)
        await whole.ends()
        for position in (1, len(whole.stored) // 2, len(whole.stored) - 1):
            rest = [
                payload["data"]["proposalEvents"]
                async for payload in replicas.other.subscribe(
                    WATCH, {"id": proposal, "after": whole.stored[position - 1]["cursor"]}
                )
            ]
            assert rest == whole.stored[position:]

    async def test_one_that_is_of_no_event_of_the_log_is_refused(self, replicas: Replicas) -> None:
        ended, other = await replicas.refined(), await replicas.refined()
        whole = Watch(replicas.one, ended)
        await whole.ends()
        async with connected(socket_url(replicas.other), replicas.other.token) as socket:
            for cursor in (whole.stored[0]["cursor"], future(other), "nonsense"):
                [error] = await socket.run(WATCH, {"id": other, "after": cursor})
                assert [told["extensions"]["code"] for told in error["payload"]] == ["CURSOR_INVALID"]
            assert await socket.is_alive()


class TestAccess:
    async def test_it_ends_with_the_token_and_the_socket_lives_on(self, replicas: Replicas) -> None:
        workflow = (await replicas.one.change(CREATE, {}))["workflow"]["id"]
        viewer = (await replicas.one.run("{ viewer { id } }"))["viewer"]["id"]
        user = key_of(viewer, "User")
        assert user is not None
        token, _ = TokenKeys((SECRET,)).issue(user, now() - ACCESS_TOKEN_LIFETIME + timedelta(seconds=3))
        async with connected(socket_url(replicas.other), token) as socket:
            await socket.subscribe(FOLLOW, {"id": workflow})
            message = await socket.receive()
            while message["type"] == "next":
                message = await socket.receive()
            assert [told["extensions"]["code"] for told in message["payload"]] == ["UNAUTHENTICATED"]
            assert await socket.is_alive()

    async def test_it_ends_with_the_membership_at_every_replica(self, removed: list[Socket]) -> None:
        for socket in removed:
            message = await socket.receive()
            while message["type"] == "next":
                message = await socket.receive()
            assert [told["extensions"]["code"] for told in message["payload"]] == ["FORBIDDEN"]
            assert await socket.is_alive()


class TestConnections:
    async def test_every_one_to_the_database_may_break(self, replicas: Replicas) -> None:
        proposal = await replicas.refined()
        watches = [Watch(client, proposal, deltas="COALESCED") for client in (replicas.one, replicas.other)]
        for count in (1, 3):
            await watches[0].has("ToolCallFinished", count)
            await break_connections(replicas.system.database)
        for watch in watches:
            await watch.ends()
        assert watches[0].stored == watches[1].stored


def future(proposal: str) -> str:
    """Write the cursor of an event that has not happened."""
    subject = key_of(proposal, "Proposal")
    assert subject is not None
    return str(encode_cursor(subject, 1000))


async def break_connections(database: Database) -> None:
    """Let PostgreSQL end all connections to a database but the one that asks for it."""
    query = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()"""
    async with database.transaction() as session:
        await session.execute(text(query))
