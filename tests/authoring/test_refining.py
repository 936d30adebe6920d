from datetime import datetime
from typing import Any

import pytest
from support.api import key
from support.proposals import read_proposal
from support.scripted_runtime import ScriptedRuntime, end
from support.studio import FILES, Studio, Team

from graphql_api.authoring.outcomes import ProposalOutcomes
from graphql_api.events.cursors import encode_cursor
from graphql_api.kit.columns import now
from graphql_api.runtimes.ingest import Ingest
from graphql_api.runtimes.protocol import RunRequest, ThreadRef

pytestmark = pytest.mark.anyio


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
        found = await read_proposal(team.viewer, proposal)
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

    async def test_the_agent_is_given_prompt_context_and_the_drafts_files(self, team: Team, studio: Studio) -> None:
        proposal = await studio.refine(
            team.editor, team.workflow, "Greet.", contextFilePath="THE_SPEC/plan.md", contextSelection="two"
        )
        requests: list[RunRequest] = []

        class Curious(ScriptedRuntime):
            async def start(self, request: RunRequest) -> ThreadRef:
                requests.append(request)
                return await super().start(request)

        (claim,) = [claim for claim in await studio.claim() if claim.execution_id == key(proposal, "Proposal")]
        await Ingest(studio.database, studio.log, Curious(end()), ProposalOutcomes(studio.log)).run(claim)
        (request,) = requests
        given = (request.prompt, request.context_file_path, request.context_selection)
        assert given == ("Greet.", "THE_SPEC/plan.md", "two")
        assert request.files == FILES
        assert (await read_proposal(team.viewer, proposal))["status"] == "COMPLETED"

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
            assert error == {
                "__typename": "QuotaExceededError",
                "code": "QUOTA_EXCEEDED",
                "path": ["input"],
                "limit": 2,
            }
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


class TestRetryProposal:
    async def test_asks_again_of_the_draft_as_it_is_now(self, team: Team, studio: Studio) -> None:
        first = await studio.completed(
            team.editor, team.workflow, {"new.md": "x"}, contextFilePath="THE_SPEC/plan.md", contextSelection="two"
        )
        revision = await studio.edit(team.editor, team.workflow, {"more.md": "more\n"})
        payload = await team.owner.do("retryProposal", proposalId=first)
        found = await read_proposal(team.viewer, payload["proposal"]["id"])
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
        assert (await read_proposal(team.viewer, first))["status"] == "COMPLETED"
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
