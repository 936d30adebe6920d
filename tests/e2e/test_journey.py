"""The whole journey through real processes: an API, workers, PostgreSQL, HTTP and WebSocket."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support import readme
from support.databases import Server
from support.graphql_client import GraphQLClient
from support.system import System
from support.waiting import WAIT_SECONDS, until

from graphql_api.identity import users
from graphql_api.kit.database import Database

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

PROMPT = "Add a reviewer agent that checks every answer for tone"

WATCH = """
subscription($proposalId: ID!, $after: EventCursor, $deltas: DeltaMode!) {
  proposalEvents(proposalId: $proposalId, after: $after, deltas: $deltas) {
    __typename cursor sequence
    proposal { status }
    ... on FilesChanged { changes { path kind } }
    ... on AgentMessageDelta { messageId offset text }
    ... on AgentMessageCompleted { messageId text }
    ... on ProposalCompleted { generatedFiles { path } }
  }
}
"""
REFINE = """
mutation($input: RefineWorkflowInput!) {
  refineWorkflow(input: $input) { proposal { id status } errors { code message } }
}
"""


@pytest.fixture(scope="module")
async def shared(
    database_server: Server, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[System, GraphQLClient]]:
    """Run an API and a worker that tests share when they harm neither; give somebody who uses them."""
    with ExitStack() as stack:
        database = await database_server.create()
        system = System(database, tmp_path_factory.mktemp("system"), stack)
        client, _ = await asyncio.gather(system.serve(), system.work())
        yield system, client
    await database_server.drop(database)


@pytest.fixture
def client(shared: tuple[System, GraphQLClient]) -> GraphQLClient:
    return shared[1]


@pytest.fixture
async def system(fresh_database: Callable[..., Awaitable[Database]], tmp_path: Path) -> AsyncIterator[System]:
    with ExitStack() as stack:
        yield System(await fresh_database(), tmp_path, stack)


async def refined(client: GraphQLClient, prompt: str = PROMPT) -> tuple[str, str]:
    """Make a workflow from a template and order a refinement; give both ids."""
    created = await client.change(
        """mutation($input: CreateWorkflowInput!) { createWorkflow(input: $input) {
             workflow { id } errors { message } } }""",
        {"input": {"name": "Support desk", "templateSlug": "multi-agent"}},
    )
    workflow_id = created["workflow"]["id"]
    payload = await client.change(REFINE, {"input": {"workflowId": workflow_id, "prompt": prompt}})
    return workflow_id, payload["proposal"]["id"]


async def watched(client: GraphQLClient, proposal_id: str, **variables: str) -> list[dict[str, Any]]:
    """Watch a proposal to its end; give the events."""
    wanted = {"proposalId": proposal_id, "deltas": "NONE", **variables}
    events = []
    async with asyncio.timeout(WAIT_SECONDS * 2):
        async for payload in client.subscribe(WATCH, wanted):
            assert "errors" not in payload, payload
            events.append(payload["data"]["proposalEvents"])
    return events


def is_whole(events: list[dict[str, Any]], *, after: int = 0) -> bool:
    """Tell whether a list of stored events has each once, in order, to the terminal one."""
    sequences = [event["sequence"] for event in events]
    return sequences == list(range(after + 1, after + len(events) + 1)) and events[-1]["__typename"] in {
        "ProposalCompleted",
        "ProposalFailed",
        "ProposalCancelled",
    }


EXPECTED = [
    "ProposalQueued",
    "ProposalStarted",
    "ProposalProgressed",
    "PlanUpdated",
    "AgentMessageCompleted",
    *["ToolCallStarted", "ToolCallFinished"] * 4,
    *["PlanUpdated", "ToolCallStarted", "FilesChanged", "ToolCallFinished"] * 5,
    "PlanUpdated",
    "AgentMessageCompleted",
    "PlanUpdated",
    "UsageReported",
    "ProposalProgressed",
    "ProposalCompleted",
]


class TestTheJourney:
    async def test_leads_from_a_new_workflow_to_a_deployed_version_watched_live(self, client: GraphQLClient) -> None:
        workflow_id, proposal_id = await refined(client)

        events = await watched(client, proposal_id)

        assert [event["__typename"] for event in events] == EXPECTED
        assert is_whole(events)
        changed = [change["path"] for event in events for change in event.get("changes", [])]
        assert changed == [
            "THE_SPEC/requirements.md",
            "THE_CAST/Reviewer.md",
            "THE_CAST/Orchestrator.md",
            "definition.json",
            "THE_SPEC/plan.md",
        ]
        files = [file["path"] for file in events[-1]["generatedFiles"]]
        assert files == sorted(
            [
                "THE_CAST/Analyst.md",
                "THE_CAST/Editor.md",
                "THE_CAST/Orchestrator.md",
                "THE_CAST/Researcher.md",
                "THE_CAST/Reviewer.md",
                "THE_SPEC/plan.md",
                "THE_SPEC/requirements.md",
                "definition.json",
            ]
        )
        assert events[-1]["proposal"] == {"status": "COMPLETED"}

        approved = await client.change(
            """mutation($id: ID!) { approveProposal(input: { proposalId: $id }) {
                 proposal { status decision { appliedPaths draftRevision } }
                 draft { revision } errors { message } } }""",
            {"id": proposal_id},
        )
        assert approved["draft"] == {"revision": 2}
        assert approved["proposal"]["decision"] == {"appliedPaths": sorted(changed), "draftRevision": 2}

        published = await client.change(
            """mutation($id: ID!) { publishDraft(input: { workflowId: $id, expectedRevision: 2 }) {
                 version { number files { path } isProduction } errors { message } } }""",
            {"id": workflow_id},
        )
        assert published["version"]["number"] == 1
        assert [file["path"] for file in published["version"]["files"]] == files
        assert not published["version"]["isProduction"]

        deployed = await client.change(
            """mutation($id: ID!) { deployVersion(input: { workflowId: $id, number: 1 }) {
                 workflow { draft { id } productionVersion { number isProduction } } errors { message } } }""",
            {"id": workflow_id},
        )
        assert deployed["workflow"] == {"draft": None, "productionVersion": {"number": 1, "isProduction": True}}

    async def test_shows_the_whole_log_to_a_client_that_comes_after_the_end(self, client: GraphQLClient) -> None:
        _, proposal_id = await refined(client)
        live = await watched(client, proposal_id)

        late = await watched(client, proposal_id)
        rest = await watched(client, proposal_id, after=live[9]["cursor"])
        nothing = await watched(client, proposal_id, after=live[-1]["cursor"])

        assert [event["cursor"] for event in late] == [event["cursor"] for event in live]
        assert [event["cursor"] for event in rest] == [event["cursor"] for event in live[10:]]
        assert nothing == []

    async def test_streams_messages_whose_pieces_make_the_whole(self, system: System) -> None:
        client = await system.serve()
        _, proposal_id = await refined(client)
        watching = asyncio.create_task(watched(client, proposal_id, deltas="ALL"))
        await system.work()

        events = await watching

        pieces: dict[str, str] = {}
        for event in events:
            if event["__typename"] == "AgentMessageDelta":
                known = pieces.setdefault(event["messageId"], "")
                assert event["offset"] == len(known)
                pieces[event["messageId"]] = known + event["text"]
        whole = {
            event["messageId"]: event["text"] for event in events if event["__typename"] == "AgentMessageCompleted"
        }
        assert pieces == whole

    async def test_goes_on_without_anybody_watching(self, client: GraphQLClient) -> None:
        _, proposal_id = await refined(client)

        async def is_completed() -> bool:
            data = await client.run("query($id: ID!) { proposal(id: $id) { status } }", {"id": proposal_id})
            return bool(data["proposal"]["status"] == "COMPLETED")

        await until(is_completed)
        assert [event["__typename"] for event in await watched(client, proposal_id)] == EXPECTED


class TestAWorkerThatIsKilled:
    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
    async def test_is_followed_by_another_and_the_subscriber_sees_every_event_once(
        self, system: System, number: signal.Signals
    ) -> None:
        client, first = await asyncio.gather(system.serve(), system.work(EMBEDDED_RUNTIME_PACE_MS="20"))
        _, proposal_id = await refined(client)
        events: list[dict[str, Any]] = []

        async def watch() -> None:
            variables = {"proposalId": proposal_id, "deltas": "COALESCED"}
            async for payload in client.subscribe(WATCH, variables):
                events.append(payload["data"]["proposalEvents"])  # noqa: PERF401 - looked at while it grows

        watching = asyncio.create_task(watch())
        await until(lambda: any(event["sequence"] >= 8 for event in events))
        await system.work(EMBEDDED_RUNTIME_PACE_MS="20")
        first.send(number)
        async with asyncio.timeout(WAIT_SECONDS * 2):
            await watching

        stored = [event for event in events if event["__typename"] != "AgentMessageDelta"]
        assert [event["__typename"] for event in stored] == EXPECTED
        assert is_whole(stored)
        assert [event["cursor"] for event in await watched(client, proposal_id)] == [
            event["cursor"] for event in stored
        ]


class TestAnApiProcessThatIsReplaced:
    async def test_leaves_nothing_out_for_a_client_that_resumes_elsewhere(self, system: System) -> None:
        first, other, _ = await asyncio.gather(
            system.serve(), system.serve(), system.work(EMBEDDED_RUNTIME_PACE_MS="10")
        )
        second = GraphQLClient(other.address)
        _, proposal_id = await refined(first)
        second.token = first.token
        seen: list[dict[str, Any]] = []
        async for payload in first.subscribe(WATCH, {"proposalId": proposal_id, "deltas": "NONE"}):
            seen.append(payload["data"]["proposalEvents"])
            if len(seen) == 7:
                break

        rest = await watched(second, proposal_id, after=seen[-1]["cursor"])

        assert is_whole(seen + rest)
        assert [event["__typename"] for event in seen + rest] == EXPECTED


class TestTheReadme:
    async def test_prints_a_journey_that_can_be_walked(self, shared: tuple[System, GraphQLClient]) -> None:
        system, client = shared[0], GraphQLClient(shared[1].address)
        documents = readme.operations()
        assert list(documents) == [
            "SignInMutation",
            "CreateWorkflowMutation",
            "RefineMutation",
            "WatchSubscription",
            "ReviewQuery",
            "ApproveMutation",
            "PublishMutation",
            "DeployMutation",
        ]
        demo = {"email": "demo@example.com", "password": "demo-password"}
        await users.create(system.database, email=demo["email"], name="Demo", password=demo["password"])

        session = (await client.change(documents["SignInMutation"], {}))["session"]
        client.token = session["accessToken"]
        workflow_id = (await client.change(documents["CreateWorkflowMutation"], {}))["workflow"]["id"]
        proposal_id = (await client.change(documents["RefineMutation"], {"workflowId": workflow_id}))["proposal"]["id"]
        types = [
            payload["data"]["proposalEvents"]["__typename"]
            async for payload in client.subscribe(documents["WatchSubscription"], {"proposalId": proposal_id})
        ]
        review = await client.run(documents["ReviewQuery"], {"proposalId": proposal_id})
        digest = review["proposal"]["mergePreview"]["digest"]
        await client.change(documents["ApproveMutation"], {"proposalId": proposal_id, "digest": digest})
        version = (await client.change(documents["PublishMutation"], {"workflowId": workflow_id}))["version"]
        deployed = await client.change(documents["DeployMutation"], {"workflowId": workflow_id})

        assert types[-1] == "ProposalCompleted"
        assert version["number"] == 1
        assert deployed["workflow"]["productionVersion"] == {"number": 1}
