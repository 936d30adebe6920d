import asyncio
from contextlib import aclosing

import pytest
from support.api import key
from support.proposals import FAILURE, read_proposal
from support.studio import FILES, Studio, Team

from graphql_api.events.cursors import encode_cursor
from graphql_api.events.records import NewEvent
from graphql_api.schema import schema

pytestmark = pytest.mark.anyio


class TestProposal:
    async def test_tells_how_it_went(self, team: Team, studio: Studio) -> None:
        proposal = await studio.refine(team.editor, team.workflow)
        await studio.start(proposal)
        found = await read_proposal(team.viewer, proposal)
        id_ = key(proposal, "Proposal")
        assert (found["status"], found["threadId"]) == ("PROCESSING", f"thread-{id_}")
        assert found["startedAt"] is not None
        await studio.change(proposal, {"new.md": "new\n", "THE_SPEC/plan.md": None})
        await studio.run("UPDATE executions SET input_tokens = 2147483647, output_tokens = 5 WHERE id = :p", p=id_)
        await studio.end(proposal, summary="It is **done**.")
        found = await read_proposal(team.viewer, proposal)
        assert (found["status"], found["impactAnalysis"]) == ("COMPLETED", "It is **done**.")
        assert found["mergePreview"] == {"status": "FAST_FORWARD"}
        assert found["usage"] == {"inputTokens": 2147483647, "outputTokens": 5, "totalTokens": 2147483647}
        assert [change["path"] for change in found["changes"]] == ["THE_SPEC/plan.md", "new.md"]
        assert found["events"]["nodes"][1] == {
            "__typename": "ProposalStarted",
            "cursor": encode_cursor(id_, 2),
            "sequence": 2,
            "threadId": f"thread-{id_}",
            "runtime": "played",
        }
        assert found["events"]["nodes"][-1]["generatedFiles"] == [{"path": "definition.json"}, {"path": "new.md"}]
        assert found["eventHead"] == encode_cursor(id_, 4)

    async def test_who_has_seen_an_event_reads_what_it_tells(self, team: Team, studio: Studio) -> None:
        proposal = await studio.refine(team.editor, team.workflow)

        async def run() -> None:
            await studio.start(proposal)
            await studio.change(proposal, {"new.md": "new\n"})
            await studio.end(proposal)

        document = """subscription ($id: ID!) { proposalEvents(proposalId: $id) { __typename
          proposal { status generatedFiles { path } workflow { events(first: 100) { nodes {
            ... on ProposalStatusChanged { to } } } } } } }"""
        results = await schema.subscribe(
            document, variable_values={"id": proposal}, context_value=team.viewer.context()
        )
        seen, running = [], asyncio.create_task(run())
        async with aclosing(results) as events:
            async for result in events:
                assert result.data is not None
                event = result.data["proposalEvents"]
                state = event["proposal"]
                least = {"ProposalQueued": 0, "ProposalCompleted": 2}.get(event["__typename"], 1)
                assert ["PENDING", "PROCESSING", "COMPLETED"].index(state["status"]) >= least
                told = [each["to"] for each in state["workflow"]["events"]["nodes"] if each]
                assert len(told) > least
                if event["__typename"] in {"FilesChanged", "ProposalCompleted"}:
                    assert {"path": "new.md"} in state["generatedFiles"]
                seen.append(event["__typename"])
        await running
        assert seen == ["ProposalQueued", "ProposalStarted", "FilesChanged", "ProposalCompleted"]

    async def test_tells_why_it_failed(self, team: Team, studio: Studio) -> None:
        proposal = await studio.refine(team.editor, team.workflow)
        await studio.start(proposal)
        await studio.end(proposal, FAILURE)
        found = await read_proposal(team.viewer, proposal)
        failure = {"code": "RUNTIME_TIMEOUT", "message": "It took too long.", "retryable": True}
        assert (found["status"], found["failure"], found["mergePreview"]) == ("FAILED", failure, None)
        assert found["events"]["nodes"][-1]["failure"] == failure

    async def test_shows_the_files_right_after_any_event(self, team: Team, studio: Studio) -> None:
        proposal = await studio.refine(team.editor, team.workflow)
        await studio.start(proposal)
        for content in ("1\n", "2\n", None):
            await studio.change(proposal, {"new.md": content})
        await studio.end(proposal)
        document = (
            "query ($id: ID!, $at: EventCursor) { proposal(id: $id) { generatedFiles(at: $at) { path content } } }"
        )
        nodes = (await read_proposal(team.viewer, proposal))["events"]["nodes"]
        shown = []
        for node in nodes:
            files = (await team.viewer(document, id=proposal, at=node["cursor"]))["proposal"]["generatedFiles"]
            shown.append({file["path"]: file["content"] for file in files}.get("new.md"))
            assert {file["path"] for file in files} >= set(FILES)
        assert shown == [None, None, "1\n", "2\n", None, None]

    @pytest.mark.parametrize("field", ["generatedFiles(at: $at) { path }", "events(after: $at) { nodes { sequence } }"])
    async def test_refuses_a_cursor_that_is_none_of_its_log(self, team: Team, studio: Studio, field: str) -> None:
        proposal = await studio.refine(team.editor, team.workflow)
        document = f"query ($id: ID!, $at: EventCursor) {{ proposal(id: $id) {{ {field} }} }}"
        id_ = key(proposal, "Proposal")
        others = [encode_cursor(key(team.workflow, "Workflow"), 1), "", "x", "💥", "a" * 10_000]
        future = [
            encode_cursor(id_, 2),
            encode_cursor(id_, 2**63 - 1),
            encode_cursor(id_, 2**63),
            encode_cursor(id_, 2**64 - 1),
        ]
        for cursor in others + future:
            assert await team.viewer.code(document, id=proposal, at=cursor) == "CURSOR_INVALID"

    async def test_shows_everything_that_an_agent_may_tell(self, team: Team, studio: Studio) -> None:
        proposal = await studio.refine(team.editor, team.workflow)
        await studio.start(proposal)
        await studio.tell(
            proposal,
            NewEvent("ProposalProgressed", {"message": "half"}),
            NewEvent("PlanUpdated", {"items": [{"content": "x", "status": "IN_PROGRESS"}]}),
            NewEvent("AgentMessageCompleted", {"message_id": "m", "agent": "lead", "role": "ASSISTANT", "text": "hi"}),
            NewEvent(
                "ToolCallStarted", {"tool_call_id": "t", "agent": None, "name": "search", "arguments": {"q": [1]}}
            ),
            NewEvent(
                "ToolCallFinished",
                {"tool_call_id": "t", "agent": None, "name": "search", "status": "FAILED", "output": None},
            ),
            NewEvent("UsageReported", {"model": "m", "usage": {"input_tokens": 3, "output_tokens": 4}}),
            NewEvent("RuntimeLinkChanged", {"state": "RECONNECTED", "may_have_missed_events": True}),
            NewEvent("RuntimeEventReceived", {"event_type": "odd", "data": {"a": None}}),
        )
        document = """query ($id: ID!) { proposal(id: $id) { events(first: 100) { nodes {
          __typename
          ... on ProposalProgressed { message } ... on PlanUpdated { items { content planStatus: status } }
          ... on AgentMessageCompleted { messageId agent role text }
          ... on ToolCallStarted { toolCallId agent name arguments }
          ... on ToolCallFinished { toolCallId agent name toolStatus: status output }
          ... on UsageReported { model usage { inputTokens outputTokens totalTokens } }
          ... on RuntimeLinkChanged { state mayHaveMissedEvents } ... on RuntimeEventReceived { eventType data }
        } } } }"""
        nodes = (await team.viewer(document, id=proposal))["proposal"]["events"]["nodes"]
        assert nodes[2:] == [
            {"__typename": "ProposalProgressed", "message": "half"},
            {"__typename": "PlanUpdated", "items": [{"content": "x", "planStatus": "IN_PROGRESS"}]},
            {
                "__typename": "AgentMessageCompleted",
                "messageId": "m",
                "agent": "lead",
                "role": "ASSISTANT",
                "text": "hi",
            },
            {
                "__typename": "ToolCallStarted",
                "toolCallId": "t",
                "agent": None,
                "name": "search",
                "arguments": {"q": [1]},
            },
            {
                "__typename": "ToolCallFinished",
                "toolCallId": "t",
                "agent": None,
                "name": "search",
                "toolStatus": "FAILED",
                "output": None,
            },
            {
                "__typename": "UsageReported",
                "model": "m",
                "usage": {"inputTokens": 3, "outputTokens": 4, "totalTokens": 7},
            },
            {"__typename": "RuntimeLinkChanged", "state": "RECONNECTED", "mayHaveMissedEvents": True},
            {"__typename": "RuntimeEventReceived", "eventType": "odd", "data": {"a": None}},
        ]
