from datetime import datetime
from typing import Any

import pytest
from support.api import Api, key
from support.studio import FILES, Studio, Team

from graphql_api.events.cursors import encode_cursor
from graphql_api.events.records import NewEvent
from graphql_api.kit.columns import now
from graphql_api.kit.errors import ErrorCode
from graphql_api.runtimes.executions import Failure, LeaseLost

pytestmark = pytest.mark.anyio

READ = """query ($id: ID!) { proposal(id: $id) {
  id status prompt contextFilePath contextSelection threadId baseRevision impactAnalysis
  workflow { id } draft { revision } generatedFiles { path content } changes { path kind unifiedDiff }
  mergePreview { status } failure { code message retryable } usage { inputTokens outputTokens totalTokens }
  retryOf { id } decision { by { id } at comment draftRevision appliedPaths } createdBy { id } createdAt startedAt completedAt
  eventHead events(first: 100) { nodes { __typename cursor sequence
    ... on ProposalStarted { threadId runtime } ... on ProposalCancelled { reason by { id } }
    ... on ProposalFailed { failure { code message retryable } } ... on ProposalCompleted { generatedFiles { path } }
  } }
} }"""

FAILURE = Failure(ErrorCode.RUNTIME_TIMEOUT, "It took too long.", is_retryable=True)


async def read(api: Api, proposal: str) -> dict[str, Any]:
    found: dict[str, Any] = (await api(READ, id=proposal))["proposal"]
    return found


async def types(api: Api, proposal: str) -> list[str]:
    nodes = (await read(api, proposal))["events"]["nodes"]
    assert [node["sequence"] for node in nodes] == list(range(1, len(nodes) + 1))
    return [node["__typename"] for node in nodes]


async def execution(studio: Studio, proposal: str) -> tuple[str, int]:
    ((state, epoch),) = await studio.rows(
        "SELECT state, epoch FROM executions WHERE id = :p", p=key(proposal, "Proposal")
    )
    return state, epoch


class TestRefineWorkflow:
    async def test_stores_the_order_and_returns_at_once(self, team: Team, studio: Studio) -> None:
        before, events = now(), len(await studio.events(team.viewer, team.workflow))
        proposal = await studio.refine(
            team.editor,
            team.workflow,
            prompt=" Greet. ",
            contextFilePath="THE_SPEC/plan.md",
            contextSelection=" two ",
        )
        found = await read(team.viewer, proposal)
        assert before <= datetime.fromisoformat(found.pop("createdAt")) <= now()
        assert found.pop("eventHead") == encode_cursor(key(proposal, "Proposal"), 1)
        assert [node["__typename"] for node in found.pop("events")["nodes"]] == ["ProposalQueued"]
        assert found == {
            "id": proposal,
            "status": "PENDING",
            "prompt": "Greet.",
            "contextFilePath": "THE_SPEC/plan.md",
            "contextSelection": "two",
            "threadId": None,
            "baseRevision": 1,
            "impactAnalysis": None,
            "workflow": {"id": team.workflow},
            "draft": {"revision": 1},
            "generatedFiles": [{"path": path, "content": FILES[path]} for path in sorted(FILES)],
            "changes": [],
            "mergePreview": None,
            "failure": None,
            "usage": {"inputTokens": 0, "outputTokens": 0, "totalTokens": 0},
            "retryOf": None,
            "decision": None,
            "createdBy": {"id": team.editor.user_id},
            "startedAt": None,
            "completedAt": None,
        }
        assert await studio.events(team.viewer, team.workflow, events) == ["ProposalStatusChanged"]
        assert (await studio.actions(team.workflow))[-1] == "proposal.refine"
        ((state, request),) = await studio.rows(
            "SELECT state, request FROM executions WHERE id = :p", p=key(proposal, "Proposal")
        )
        assert state == "QUEUED"
        assert request == {
            "prompt": "Greet.",
            "context_file_path": "THE_SPEC/plan.md",
            "context_selection": "two",
        }

    async def test_opens_a_draft_when_there_is_none(self, team: Team, studio: Studio) -> None:
        await studio.publish(team.owner, team.workflow)
        proposal = await studio.refine(team.editor, team.workflow)
        document = """query ($id: ID!) { proposal(id: $id) {
          baseRevision generatedFiles { path } draft { revision basedOnVersion { number } } } }"""
        assert (await team.viewer(document, id=proposal))["proposal"] == {
            "baseRevision": 1,
            "generatedFiles": [{"path": path} for path in sorted(FILES)],
            "draft": {"revision": 1, "basedOnVersion": {"number": 1}},
        }

    @pytest.mark.parametrize(
        ("given", "path"),
        [
            ({"prompt": ""}, "prompt"),
            ({"prompt": " \n"}, "prompt"),
            ({"prompt": "a" * 100_001}, "prompt"),
            ({"prompt": "\0"}, "prompt"),
            ({"prompt": "\ud800"}, "prompt"),
            ({"contextSelection": "a" * 100_001}, "contextSelection"),
            ({"contextSelection": "\0"}, "contextSelection"),
            ({"contextFilePath": "nothing.md"}, "contextFilePath"),
            ({"contextFilePath": ""}, "contextFilePath"),
            ({"contextFilePath": "\0"}, "contextFilePath"),
            ({"contextFilePath": "\ud800"}, "contextFilePath"),
            ({"idempotencyKey": "a" * 256}, "idempotencyKey"),
        ],
    )
    async def test_refuses_bad_input(self, team: Team, studio: Studio, given: dict[str, Any], path: str) -> None:
        before = await studio.fingerprint(team.workflow)
        error = await team.editor.refused("refineWorkflow", **{"workflowId": team.workflow, "prompt": "x", **given})
        assert error == {"__typename": "ValidationError", "code": "VALIDATION_FAILED", "path": ["input", path]}
        assert await studio.fingerprint(team.workflow) == before

    async def test_a_quota_counts_what_is_running(self, team: Team, studio: Studio) -> None:
        ada = studio.limited(await studio.person(), refinements=2)
        await studio.join(team.workflow, team.owner, ada, "EDITOR")
        first, second = await studio.refine(ada, team.workflow), await studio.refine(ada, team.workflow)
        await studio.start(second)
        before = await studio.fingerprint(team.workflow)
        for name, given in (
            ("refineWorkflow", {"workflowId": team.workflow, "prompt": "x"}),
            ("retryProposal", {"proposalId": await studio.completed(team.editor, team.workflow, {})}),
        ):
            before = await studio.fingerprint(team.workflow)
            error = await ada.refused(name, **given)
            assert error == {"__typename": "QuotaExceededError", "code": "QUOTA_EXCEEDED", "path": ["input"], "limit": 2}
            assert await studio.fingerprint(team.workflow) == before
        await studio.refine(team.editor, team.workflow)
        await studio.end(second)
        await studio.refine(ada, team.workflow)
        await ada.do("cancelProposal", proposalId=first)
        await studio.refine(ada, team.workflow)

    async def test_stores_nothing_while_the_circuit_is_open(self, team: Team, studio: Studio) -> None:
        completed = await studio.completed(team.editor, team.workflow, {})
        given = {"workflowId": team.workflow, "prompt": "x", "idempotencyKey": team.workflow}
        first = await team.editor.do("refineWorkflow", **given)
        before = await studio.fingerprint(team.workflow)
        await studio.run(
            "INSERT INTO runtime_circuits (name, state, failure_count, opened_at) "
            "VALUES ('embedded', 'opened', 6, extract(epoch FROM now())) ON CONFLICT (name) "
            "DO UPDATE SET state = 'opened', opened_at = excluded.opened_at"
        )
        try:
            document = "... on RuntimeUnavailableError { retryAt }"
            for name, refused in (
                ("refineWorkflow", {"workflowId": team.workflow, "prompt": "y"}),
                ("retryProposal", {"proposalId": completed}),
            ):
                type_ = f"{name[0].upper()}{name[1:]}Input"
                payload = (
                    await team.editor(
                        f"mutation ($input: {type_}!) {{ {name}(input: $input) {{ proposal {{ id }} "
                        f"errors {{ __typename code {document} }} }} }}",
                        input=refused,
                    )
                )[name]
                (error,) = payload["errors"]
                assert payload["proposal"] is None
                assert (error["__typename"], error["code"]) == ("RuntimeUnavailableError", "RUNTIME_UNAVAILABLE")
                assert datetime.fromisoformat(error["retryAt"]) > now()
            assert await team.editor.do("refineWorkflow", **given) == first
        finally:
            await studio.run("DELETE FROM runtime_circuits")
        assert await studio.fingerprint(team.workflow) == before

    async def test_the_same_key_orders_once(self, team: Team, studio: Studio) -> None:
        given = {"workflowId": team.workflow, "prompt": "x", "idempotencyKey": team.workflow}
        first = await team.editor.do("refineWorkflow", **given)
        before = await studio.fingerprint(team.workflow)
        assert await team.editor.do("refineWorkflow", **given) == first
        for other in ({"prompt": "y"}, {"contextFilePath": "definition.json"}, {"contextSelection": "y"}):
            error = await team.editor.refused("refineWorkflow", **{**given, **other})
            assert error["code"] == "IDEMPOTENCY_MISMATCH"
        assert await studio.fingerprint(team.workflow) == before


class TestProposal:
    async def test_tells_how_it_went(self, team: Team, studio: Studio) -> None:
        proposal = await studio.refine(team.editor, team.workflow)
        await studio.start(proposal)
        found = await read(team.viewer, proposal)
        id_ = key(proposal, "Proposal")
        assert (found["status"], found["threadId"]) == ("PROCESSING", f"thread-{id_}")
        assert found["startedAt"] is not None
        await studio.change(proposal, {"new.md": "new\n", "THE_SPEC/plan.md": None})
        await studio.run("UPDATE executions SET input_tokens = 2147483647, output_tokens = 5 WHERE id = :p", p=id_)
        await studio.end(proposal, summary="It is **done**.")
        found = await read(team.viewer, proposal)
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

    async def test_tells_why_it_failed(self, team: Team, studio: Studio) -> None:
        proposal = await studio.refine(team.editor, team.workflow)
        await studio.start(proposal)
        await studio.end(proposal, FAILURE)
        found = await read(team.viewer, proposal)
        failure = {"code": "RUNTIME_TIMEOUT", "message": "It took too long.", "retryable": True}
        assert (found["status"], found["failure"], found["mergePreview"]) == ("FAILED", failure, None)
        assert found["events"]["nodes"][-1]["failure"] == failure

    async def test_shows_the_files_right_after_any_event(self, team: Team, studio: Studio) -> None:
        proposal = await studio.refine(team.editor, team.workflow)
        await studio.start(proposal)
        for content in ("1\n", "2\n", None):
            await studio.change(proposal, {"new.md": content})
        await studio.end(proposal)
        document = "query ($id: ID!, $at: EventCursor) { proposal(id: $id) { generatedFiles(at: $at) { path content } } }"
        nodes = (await read(team.viewer, proposal))["events"]["nodes"]
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
        future = [encode_cursor(id_, 2), encode_cursor(id_, 2**63 - 1), encode_cursor(id_, 2**63), encode_cursor(id_, 2**64 - 1)]
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
            NewEvent("ToolCallStarted", {"tool_call_id": "t", "agent": None, "name": "search", "arguments": {"q": [1]}}),
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
            {"__typename": "ToolCallStarted", "toolCallId": "t", "agent": None, "name": "search", "arguments": {"q": [1]}},
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


class TestStopping:
    """Cancelling and rejecting what is running."""

    @pytest.mark.parametrize("is_started", [False, True])
    @pytest.mark.parametrize(
        ("name", "argument", "status"),
        [("cancelProposal", "reason", "CANCELLED"), ("rejectProposal", "comment", "REJECTED")],
    )
    async def test_ends_the_log_and_stops_the_execution(
        self, team: Team, studio: Studio, *, is_started: bool, name: str, argument: str, status: str
    ) -> None:
        proposal = await studio.refine(team.editor, team.workflow)
        if is_started:
            await studio.start(proposal)
        before = len(await studio.events(team.viewer, team.workflow))
        _, epoch = await execution(studio, proposal)
        payload = await team.owner.do(name, proposalId=proposal, **{argument: " No. "})
        assert payload == {"proposal": {"id": proposal, "status": status}}
        found = await read(team.viewer, proposal)
        assert found["events"]["nodes"][-1] == {
            "__typename": "ProposalCancelled",
            "cursor": found["eventHead"],
            "sequence": 3 if is_started else 2,
            "reason": "No.",
            "by": {"id": team.owner.user_id},
        }
        assert found["completedAt"] == found["decision"].pop("at")
        assert found["decision"] == {
            "by": {"id": team.owner.user_id},
            "comment": "No.",
            "draftRevision": None,
            "appliedPaths": [],
        }
        assert await studio.events(team.viewer, team.workflow, before) == ["ProposalStatusChanged"]
        assert (await studio.actions(team.workflow))[-1] == f"proposal.{status.lower()}"
        assert await execution(studio, proposal) == ("TO_FORGET", epoch + 1)
        if is_started:
            before_late = await studio.fingerprint(team.workflow)
            with pytest.raises(LeaseLost):
                await studio.end(proposal)
            assert await studio.fingerprint(team.workflow) == before_late
        for again in ("cancelProposal", "rejectProposal"):
            error = await team.owner.refused(again, proposalId=proposal)
            assert (error["code"], error["from"], error["allowed"]) == ("INVALID_TRANSITION", status, [])
        assert (await types(team.viewer, proposal)).count("ProposalCancelled") == 1

    @pytest.mark.parametrize("failure", [None, FAILURE])
    async def test_rejecting_what_has_ended_adds_no_second_end(
        self, team: Team, studio: Studio, failure: Failure | None
    ) -> None:
        proposal = await studio.refine(team.editor, team.workflow)
        await studio.start(proposal)
        await studio.end(proposal, failure)
        events = await types(team.viewer, proposal)
        await team.editor.do("rejectProposal", proposalId=proposal, comment="No.")
        assert await types(team.viewer, proposal) == events
        assert (await read(team.viewer, proposal))["status"] == "REJECTED"
        assert (await execution(studio, proposal))[0] == "TO_FORGET"

    @pytest.mark.parametrize(
        ("failure", "allowed"),
        [(None, ["APPROVED", "REJECTED", "SUPERSEDED", "EXPIRED"]), (FAILURE, ["REJECTED", "EXPIRED"])],
    )
    async def test_what_has_ended_can_not_be_cancelled(
        self, team: Team, studio: Studio, failure: Failure | None, allowed: list[str]
    ) -> None:
        proposal = await studio.refine(team.editor, team.workflow)
        await studio.start(proposal)
        await studio.end(proposal, failure)
        before = await studio.fingerprint(team.workflow)
        error = await team.editor.refused("cancelProposal", proposalId=proposal)
        assert error == {
            "__typename": "InvalidTransitionError",
            "code": "INVALID_TRANSITION",
            "path": ["input", "proposalId"],
            "from": "FAILED" if failure else "COMPLETED",
            "to": "CANCELLED",
            "allowed": allowed,
        }
        assert await studio.fingerprint(team.workflow) == before

    @pytest.mark.parametrize("text", ["\0", "\ud800", "a" * 10_001])
    async def test_refuses_bad_comments(self, team: Team, studio: Studio, text: str) -> None:
        proposal = await studio.refine(team.editor, team.workflow)
        before = await studio.fingerprint(team.workflow)
        for name, argument in (("cancelProposal", "reason"), ("rejectProposal", "comment"), ("approveProposal", "comment")):
            error = await team.editor.refused(name, proposalId=proposal, **{argument: text})
            assert error == {"__typename": "ValidationError", "code": "VALIDATION_FAILED", "path": ["input", argument]}
        assert await studio.fingerprint(team.workflow) == before

    async def test_what_was_not_started_does_not_start_after_its_end(self, team: Team, studio: Studio) -> None:
        proposal = await studio.refine(team.editor, team.workflow)
        await studio.start(proposal)
        before = await studio.fingerprint(team.workflow)
        with pytest.raises(LeaseLost):
            await studio.restart(proposal)
        assert await studio.fingerprint(team.workflow) == before


class TestRetryProposal:
    async def test_asks_again_of_the_draft_as_it_is_now(self, team: Team, studio: Studio) -> None:
        first = await studio.completed(
            team.editor, team.workflow, {"new.md": "x"}, contextFilePath="THE_SPEC/plan.md", contextSelection="two"
        )
        revision = await studio.edit(team.editor, team.workflow, {"more.md": "more\n"})
        payload = await team.owner.do("retryProposal", proposalId=first)
        found = await read(team.viewer, payload["proposal"]["id"])
        assert found["id"] != first
        expected = {
            "status": "PENDING",
            "prompt": "Greet in French.",
            "contextFilePath": "THE_SPEC/plan.md",
            "contextSelection": "two",
            "retryOf": {"id": first},
            "baseRevision": revision,
            "createdBy": {"id": team.owner.user_id},
        }
        assert {name: found[name] for name in expected} == expected
        assert "more.md" in {file["path"] for file in found["generatedFiles"]}
        assert (await read(team.viewer, first))["status"] == "COMPLETED"
        assert (await studio.actions(team.workflow))[-1] == "proposal.retry"

    async def test_takes_another_prompt(self, team: Team, studio: Studio) -> None:
        first = await studio.completed(team.editor, team.workflow, {})
        payload = await team.editor.do("retryProposal", "proposal { prompt }", proposalId=first, prompt=" Greet less. ")
        assert payload == {"proposal": {"prompt": "Greet less."}}

    @pytest.mark.parametrize("prompt", ["", " ", "\0", "\ud800", "a" * 100_001])
    async def test_refuses_a_bad_prompt(self, team: Team, studio: Studio, prompt: str) -> None:
        first = await studio.completed(team.editor, team.workflow, {})
        before = await studio.fingerprint(team.workflow)
        error = await team.editor.refused("retryProposal", proposalId=first, prompt=prompt)
        assert error == {"__typename": "ValidationError", "code": "VALIDATION_FAILED", "path": ["input", "prompt"]}
        assert await studio.fingerprint(team.workflow) == before

    async def test_refuses_when_the_file_that_it_is_about_is_gone(self, team: Team, studio: Studio) -> None:
        first = await studio.completed(team.editor, team.workflow, {}, contextFilePath="THE_SPEC/plan.md")
        await studio.edit(team.editor, team.workflow, {"THE_SPEC/plan.md": None})
        error = await team.editor.refused("retryProposal", proposalId=first)
        assert error == {"__typename": "ValidationError", "code": "VALIDATION_FAILED", "path": ["input", "proposalId"]}

    @pytest.mark.parametrize("is_started", [False, True])
    async def test_refuses_what_is_still_running(self, team: Team, studio: Studio, *, is_started: bool) -> None:
        first = await studio.refine(team.editor, team.workflow)
        if is_started:
            await studio.start(first)
        before = await studio.fingerprint(team.workflow)
        error = await team.editor.refused("retryProposal", proposalId=first)
        assert (error["code"], error["to"]) == ("INVALID_TRANSITION", "PENDING")
        assert error["from"] == ("PROCESSING" if is_started else "PENDING")
        assert await studio.fingerprint(team.workflow) == before

    async def test_asks_again_after_a_discarded_draft(self, team: Team, studio: Studio) -> None:
        first = await studio.completed(team.editor, team.workflow, {})
        await team.editor.do("discardDraft", workflowId=team.workflow)
        payload = await team.editor.do("retryProposal", "proposal { draft { revision } }", proposalId=first)
        assert payload == {"proposal": {"draft": {"revision": 1}}}
