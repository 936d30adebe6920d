"""Subscriptions against a server with a worker: whole logs, resumed from everywhere, ended when access ends."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs
from support.databases import Server
from support.log_lines import troubles
from support.logs import append
from support.server import Person, Site, engines_for, quick_settings, site
from support.sockets import Socket, connected
from support.waiting import until

from graphql_api.app import running
from graphql_api.events.cursors import encode_cursor
from graphql_api.events.records import NewEvent
from graphql_api.kit.columns import now
from graphql_api.kit.errors import BROKEN
from graphql_api.kit.ids import key_of, to_global_id

pytestmark = pytest.mark.anyio

PROMPT = "Add an agent that triages tickets"
CREATE = "mutation($input: CreateWorkflowInput!) { createWorkflow(input: $input) { workflow { id } } }"
REFINE = (
    "mutation($input: RefineWorkflowInput!) { refineWorkflow(input: $input) { proposal { id } errors { message } } }"
)
CANCEL = "mutation($input: CancelProposalInput!) { cancelProposal(input: $input) { errors { message } } }"
SHARE = "mutation($input: SetWorkflowMemberInput!) { setWorkflowMember(input: $input) { errors { message } } }"
UPDATE = "mutation($input: UpdateWorkflowInput!) { updateWorkflow(input: $input) { errors { message } } }"
PROPOSAL_EVENTS = """subscription($id: ID!, $after: EventCursor, $deltas: DeltaMode) {
  proposalEvents(proposalId: $id, after: $after, deltas: $deltas) {
    __typename cursor sequence
    proposal { status }
    ... on ProposalProgressed { message }
    ... on AgentMessageDelta { messageId offset text }
    ... on AgentMessageCompleted { messageId text }
    ... on ProposalCompleted { generatedFiles { path } }
    ... on ProposalCancelled { reason by { email } }
  }
}"""
WORKFLOW_EVENTS = """subscription($id: ID!, $after: EventCursor) {
  workflowEvents(workflowId: $id, after: $after) {
    __typename cursor sequence actor { email }
    ... on ProposalStatusChanged { from to }
    ... on WorkflowUpdated { workflow { name } }
  }
}"""

CALL = ("ToolCallStarted", "ToolCallFinished")
WRITE = ("ToolCallStarted", "FilesChanged", "ToolCallFinished", "PlanUpdated")
JOURNEY = [
    *("ProposalQueued", "ProposalStarted", "ProposalProgressed", "PlanUpdated", "AgentMessageCompleted"),
    *(*CALL * 4, "PlanUpdated"),
    *(*WRITE * 2, "ProposalProgressed", "PlanUpdated", *WRITE),
    *("AgentMessageCompleted", "PlanUpdated", "UsageReported", "ProposalProgressed", "ProposalCompleted"),
]
"""What the embedded runtime does with the prompt on a workflow of the template."""


async def change(site: Site, person: Person, mutation: str, **input_: object) -> dict[str, Any]:
    """Run a mutation that must succeed; give its payload."""
    answer = await site.ask(mutation, {"input": input_}, token=person.token)
    (payload,) = answer["data"].values()
    assert not payload.get("errors"), payload
    return dict(payload)


async def new_workflow(site: Site, person: Person) -> str:
    payload = await change(site, person, CREATE, name="Support", templateSlug="single-agent")
    return str(payload["workflow"]["id"])


async def refined(site: Site, person: Person, prompt: str = PROMPT, *, workflow: str | None = None) -> str:
    workflow = workflow or await new_workflow(site, person)
    payload = await change(site, person, REFINE, workflowId=workflow, prompt=prompt)
    return str(payload["proposal"]["id"])


def events_of(messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give the events of a subscription that completed without an error."""
    assert messages[-1]["type"] == "complete", messages[-1]
    assert [message["payload"].get("errors") for message in messages[:-1]] == [None] * (len(messages) - 1)
    return [next(iter(message["payload"]["data"].values())) for message in messages[:-1]]


async def watched(site: Site, person: Person, proposal: str, **variables: object) -> list[dict[str, Any]]:
    """Follow a proposal to its end."""
    async with connected(site.socket_url, person.token) as socket:
        return events_of(await socket.run(PROPOSAL_EVENTS, {"id": proposal, **variables}))


async def refusal(socket: Socket, query: str, **variables: object) -> tuple[str, str]:
    """Subscribe to what is refused; give the code and the message."""
    (error,) = await socket.run(query, variables)
    assert error["type"] == "error"
    (told,) = error["payload"]
    return told["extensions"]["code"], told["message"]


@asynccontextmanager
async def working(site: Site) -> AsyncIterator[None]:
    """Run a worker in engines of its own, as another process would."""
    engines = engines_for(site.engines.database, quick_settings(embedded_runtime_pace_ms=1))
    async with running(engines, with_worker=True):
        yield


@pytest.fixture
async def idle_site(database_server: Server) -> AsyncIterator[Site]:
    """A server whose executions wait until a test runs a worker."""
    database = await database_server.create()
    async with site(database, engines=engines_for(database, unchecked_access=timedelta(milliseconds=50))) as running:
        yield running
    await database_server.drop(database)


@pytest.fixture(scope="module")
async def log_of_ada(running_site: Site, ada: Person) -> tuple[str, list[dict[str, Any]]]:
    """A proposal that is completed, and its stored events."""
    proposal = await refined(running_site, ada)
    return proposal, await watched(running_site, ada, proposal, deltas="NONE")


class TestProposalEvents:
    async def test_they_tell_the_whole_journey(self, log_of_ada: tuple[str, list[dict[str, Any]]]) -> None:
        _, events = log_of_ada

        assert [event["__typename"] for event in events] == JOURNEY
        assert [event["sequence"] for event in events] == list(range(1, len(JOURNEY) + 1))
        assert len({event["cursor"] for event in events}) == len(JOURNEY)
        assert events[-1]["proposal"] == {"status": "COMPLETED"}
        assert "definition.json" in [file["path"] for file in events[-1]["generatedFiles"]]

    async def test_from_every_cursor_comes_exactly_the_rest(
        self, running_site: Site, ada: Person, log_of_ada: tuple[str, list[dict[str, Any]]]
    ) -> None:
        proposal, events = log_of_ada
        cursors = [event["cursor"] for event in events]
        query = (
            "subscription($id: ID!, $after: EventCursor) { proposalEvents(proposalId: $id, after: $after) { cursor }}"
        )
        async with connected(running_site.socket_url, ada.token) as socket:
            for position, cursor in enumerate(cursors, 1):
                messages = await socket.run(query, {"id": proposal, "after": cursor})

                assert [event["cursor"] for event in events_of(messages)] == cursors[position:]

    async def test_after_the_end_the_whole_log_is_there(
        self, running_site: Site, ada: Person, log_of_ada: tuple[str, list[dict[str, Any]]]
    ) -> None:
        proposal, _ = log_of_ada

        for mode in ("ALL", "COALESCED", "NONE"):
            events = await watched(running_site, ada, proposal, deltas=mode)
            assert [event["__typename"] for event in events] == JOURNEY

    async def test_who_comes_in_the_middle_misses_nothing(self, idle_site: Site) -> None:
        ada = await idle_site.person()
        proposal = await refined(idle_site, ada)
        async with (
            connected(idle_site.socket_url, ada.token) as early,
            connected(idle_site.socket_url, ada.token) as late,
        ):
            await early.subscribe(PROPOSAL_EVENTS, {"id": proposal, "deltas": "NONE"})
            async with working(idle_site):
                seen = [await early.receive() for _ in range(6)]
                events = events_of(await late.run(PROPOSAL_EVENTS, {"id": proposal, "deltas": "NONE"}))
                while seen[-1]["type"] == "next":
                    seen.append(await early.receive())

        assert [event["__typename"] for event in events] == JOURNEY
        assert [event["cursor"] for event in events_of(seen)] == [event["cursor"] for event in events]

    async def test_two_servers_tell_the_same(self, idle_site: Site) -> None:
        ada = await idle_site.person()
        proposal = await refined(idle_site, ada)
        async with (
            site(idle_site.engines.database) as other,
            connected(idle_site.socket_url, ada.token) as here,
            connected(other.socket_url, ada.token) as there,
        ):
            for socket in (here, there):
                await socket.subscribe(PROPOSAL_EVENTS, {"id": proposal, "deltas": "ALL"})
                assert (await socket.next())["data"]["proposalEvents"]["__typename"] == "ProposalQueued"
            async with working(idle_site):
                told = []
                for socket in (here, there):
                    messages = [await socket.receive()]
                    while messages[-1]["type"] == "next":
                        messages.append(await socket.receive())
                    told.append([{**event, "proposal": None} for event in events_of(messages)])

        assert told[0] == told[1]
        assert [event["__typename"] for event in told[0] if "offset" not in event] == JOURNEY[1:]

    async def test_cancelling_ends_them(self, idle_site: Site) -> None:
        ada = await idle_site.person()
        proposal = await refined(idle_site, ada, f"[slow] {PROMPT}")
        async with connected(idle_site.socket_url, ada.token) as socket, working(idle_site):
            await socket.subscribe(PROPOSAL_EVENTS, {"id": proposal, "deltas": "NONE"})
            messages = [await socket.receive()]
            while "Taking my time" not in str(messages[-1]):
                messages.append(await socket.receive())
            await change(idle_site, ada, CANCEL, proposalId=proposal, reason="Enough")
            while messages[-1]["type"] == "next":
                messages.append(await socket.receive())

        last = events_of(messages)[-1]
        assert (last["__typename"], last["reason"], last["by"]) == (
            "ProposalCancelled",
            "Enough",
            {"email": ada.user.email},
        )
        assert last["proposal"] == {"status": "CANCELLED"}

    async def test_somebody_elses_reads_like_none(
        self, running_site: Site, log_of_ada: tuple[str, list[dict[str, Any]]]
    ) -> None:
        proposal, _ = log_of_ada
        stranger = await running_site.person()
        ids = [proposal, to_global_id("Proposal", uuid4()), to_global_id("Workflow", uuid4()), "nonsense"]
        async with connected(running_site.socket_url, stranger.token) as socket:
            refusals = {await refusal(socket, PROPOSAL_EVENTS, id=id_) for id_ in ids}

        assert refusals == {("NOT_FOUND", "There is no such proposal.")}

    async def test_an_administrator_follows_everything(
        self, running_site: Site, log_of_ada: tuple[str, list[dict[str, Any]]]
    ) -> None:
        administrator = await running_site.person(is_admin=True)

        events = await watched(running_site, administrator, log_of_ada[0], deltas="NONE")

        assert events == [{**event, "proposal": {"status": "COMPLETED"}} for event in log_of_ada[1]]

    @pytest.mark.parametrize("kind", ["nonsense", "", "another log's", "of the future", "of the far future"])
    async def test_a_cursor_of_no_event_is_refused(
        self, running_site: Site, ada: Person, log_of_ada: tuple[str, list[dict[str, Any]]], kind: str
    ) -> None:
        proposal, events = log_of_ada
        key = key_of(proposal, "Proposal")
        assert key is not None
        cursors = {
            "another log's": encode_cursor(UUID(int=1), 1),
            "of the future": encode_cursor(key, len(events) + 1),
            "of the far future": encode_cursor(key, 2**64 - 1),
        }
        async with connected(running_site.socket_url, ada.token) as socket:
            code, _ = await refusal(socket, PROPOSAL_EVENTS, id=proposal, after=cursors.get(kind, kind))

            assert code == "CURSOR_INVALID"
            assert await socket.is_alive()

    async def test_an_event_of_an_unknown_type_ends_one_subscription_and_no_more(
        self, running_site: Site, ada: Person
    ) -> None:
        workflow = await new_workflow(running_site, ada)
        key = key_of(workflow, "Workflow")
        assert key is not None
        await append(running_site.engines.database, running_site.engines.log, key, NewEvent("NeverHeardOf", {}))
        async with connected(running_site.socket_url, ada.token) as socket:
            with capture_logs() as logs:
                *before, error = await socket.run(WORKFLOW_EVENTS, {"id": workflow})
            assert await socket.is_alive()

        (told,) = error["payload"]
        assert [message["payload"]["data"]["workflowEvents"]["sequence"] for message in before] == [1, 2]
        assert error["type"] == "error"
        assert (told["message"], told["extensions"]["code"]) == (BROKEN, "INTERNAL_ERROR")
        assert [line["request_id"] for line in troubles(logs)] == [told["extensions"]["requestId"]]


class TestDeltas:
    @pytest.mark.parametrize("mode", ["ALL", "COALESCED", "NONE", None])
    async def test_pieces_make_up_the_text(self, idle_site: Site, mode: str | None) -> None:
        ada = await idle_site.person()
        proposal = await refined(idle_site, ada)
        async with connected(idle_site.socket_url, ada.token) as socket:
            await socket.subscribe(PROPOSAL_EVENTS, {"id": proposal, **({"deltas": mode} if mode else {})})
            messages = [await socket.receive()]
            async with working(idle_site):
                while messages[-1]["type"] == "next":
                    messages.append(await socket.receive())

        events = events_of(messages)
        pieces = [event for event in events if event["__typename"] == "AgentMessageDelta"]
        texts = {
            event["messageId"]: event["text"] for event in events if event["__typename"] == "AgentMessageCompleted"
        }
        written = dict.fromkeys(texts, "")
        for piece in pieces:
            assert piece["offset"] == len(written[piece["messageId"]])
            written[piece["messageId"]] += piece["text"]
        assert written == (dict.fromkeys(texts, "") if mode == "NONE" else texts)
        assert [event["__typename"] for event in events if event not in pieces] == JOURNEY
        for before, event in pairwise(events):
            step = 0 if event in pieces else 1
            assert event["sequence"] == before["sequence"] + step
            assert (event["cursor"] == before["cursor"]) is (step == 0)


class TestWorkflowEvents:
    async def test_they_are_live_and_do_not_end(self, running_site: Site, ada: Person) -> None:
        workflow = await new_workflow(running_site, ada)
        async with connected(running_site.socket_url, ada.token) as socket:
            await socket.subscribe(WORKFLOW_EVENTS, {"id": workflow})
            first, _ = [(await socket.next())["data"]["workflowEvents"] for _ in range(2)]
            await change(running_site, ada, UPDATE, workflowId=workflow, name="Renamed")
            second = (await socket.next())["data"]["workflowEvents"]
            await refined(running_site, ada, workflow=workflow)
            rest = [(await socket.next())["data"]["workflowEvents"] for _ in range(3)]
            await socket.send({"type": "complete", "id": "operation-1"})
            await socket.subscribe(WORKFLOW_EVENTS, {"id": workflow, "after": second["cursor"]})
            again = [(await socket.next())["data"]["workflowEvents"] for _ in range(3)]

        assert first["__typename"] == "WorkflowCreated"
        assert (second["__typename"], second["workflow"]) == ("WorkflowUpdated", {"name": "Renamed"})
        assert (second["sequence"], second["actor"]) == (3, {"email": ada.user.email})
        assert ("ProposalStatusChanged", None, "PENDING") in [
            (event["__typename"], event.get("from"), event.get("to")) for event in rest
        ]
        assert again == rest

    async def test_somebody_elses_reads_like_none(self, running_site: Site, ada: Person) -> None:
        stranger = await running_site.person()
        ids = [await new_workflow(running_site, ada), to_global_id("Workflow", uuid4()), "nonsense"]
        async with connected(running_site.socket_url, stranger.token) as socket:
            refusals = {await refusal(socket, WORKFLOW_EVENTS, id=id_) for id_ in ids}

        assert refusals == {("NOT_FOUND", "There is no such workflow.")}


class TestEndOfAccess:
    async def test_it_ends_with_the_token(self, running_site: Site, ada: Person) -> None:
        workflow = await new_workflow(running_site, ada)
        token = running_site.token(ada.user, expires_at=now() + timedelta(seconds=2))
        async with connected(running_site.socket_url, token) as socket:
            *before, error = await socket.run(WORKFLOW_EVENTS, {"id": workflow})

            assert (len(before), error["type"]) == (2, "error")
            assert [told["extensions"]["code"] for told in error["payload"]] == ["UNAUTHENTICATED"]
            assert await socket.is_alive()

    async def test_it_ends_with_the_membership(self, idle_site: Site) -> None:
        ada, bob = await idle_site.person(), await idle_site.person(name="Bob")
        workflow = await new_workflow(idle_site, ada)
        await change(idle_site, ada, SHARE, workflowId=workflow, email=bob.user.email, role="VIEWER")
        proposal = await refined(idle_site, ada, workflow=workflow)
        async with (
            connected(idle_site.socket_url, bob.token) as one,
            connected(idle_site.socket_url, bob.token) as other,
        ):
            await one.subscribe(PROPOSAL_EVENTS, {"id": proposal})
            await other.subscribe(WORKFLOW_EVENTS, {"id": workflow})
            await one.next()
            await other.next()
            await change(idle_site, ada, SHARE, workflowId=workflow, email=bob.user.email, role=None)
            for socket in (one, other):
                error = await socket.receive()
                while error["type"] == "next":
                    error = await socket.receive()
                assert error["type"] == "error"
                assert [told["extensions"]["code"] for told in error["payload"]] == ["FORBIDDEN"]
                assert await socket.is_alive()

    async def test_who_stays_a_member_is_not_disturbed(self, idle_site: Site) -> None:
        ada, bob = await idle_site.person(), await idle_site.person(name="Bob")
        workflow = await new_workflow(idle_site, ada)
        await change(idle_site, ada, SHARE, workflowId=workflow, email=bob.user.email, role="EDITOR")
        async with connected(idle_site.socket_url, bob.token) as socket:
            await socket.subscribe(WORKFLOW_EVENTS, {"id": workflow})
            for role in ("VIEWER", "OWNER", "EDITOR"):
                await change(idle_site, ada, SHARE, workflowId=workflow, email=bob.user.email, role=role)

            told = [(await socket.next())["data"]["workflowEvents"]["sequence"] for _ in range(6)]

        assert told == [1, 2, 3, 4, 5, 6]

    async def test_a_database_that_is_away_takes_nobodys_access(self, idle_site: Site, database_server: Server) -> None:
        ada = await idle_site.person()
        workflow = await new_workflow(idle_site, ada)
        name = idle_site.engines.database.url.database
        async with connected(idle_site.socket_url, ada.token) as socket:
            await socket.subscribe(WORKFLOW_EVENTS, {"id": workflow})
            for _ in range(2):
                await socket.next()
            with capture_logs() as logs:
                await database_server._run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
                await database_server._run(
                    f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
                )
                await until(lambda: any(line.get("duty") == "check_access" for line in logs))
                await database_server._run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
            await change(idle_site, ada, UPDATE, workflowId=workflow, name="Still there")

            assert (await socket.next())["data"]["workflowEvents"]["workflow"] == {"name": "Still there"}
