from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError
from support.api import Api, key
from support.studio import DEFINITION, FILES, Studio, Team

pytestmark = pytest.mark.anyio

READ = """query ($id: ID!, $number: Int!) { workflow(id: $id) {
  version(number: $number) { number status notes isProduction fileCount files { path content } publishedBy { id }
    file(path: "definition.json") { size } definition { entryPoint } changes { path kind } workflow { id } }
  latestVersion { number } productionVersion { number } draft { id }
} }"""


async def read(api: Api, workflow: str, number: int) -> dict[str, Any]:
    found: dict[str, Any] = (await api(READ, id=workflow, number=number))["workflow"]
    return found


async def published(studio: Studio, team: Team, count: int) -> None:
    """Publish some versions; each changes the plan."""
    for number in range(1, count + 1):
        if number > 1:
            await studio.edit(team.editor, team.workflow, {"THE_SPEC/plan.md": f"{number}\n"})
        await studio.publish(team.editor, team.workflow)


class TestPublishDraft:
    async def test_makes_the_next_version_and_closes_the_draft(self, team: Team, studio: Studio) -> None:
        before = len(await studio.events(team.viewer, team.workflow))
        payload = await team.editor.do(
            "publishDraft", workflowId=team.workflow, expectedRevision=1, notes=" The first. "
        )
        assert payload["version"]["number"] == 1
        found = await read(team.viewer, team.workflow, 1)
        assert found == {
            "version": {
                "number": 1,
                "status": "PUBLISHED",
                "notes": "The first.",
                "isProduction": False,
                "fileCount": 2,
                "files": [
                    {"path": "THE_SPEC/plan.md", "content": FILES["THE_SPEC/plan.md"]},
                    {"path": "definition.json", "content": DEFINITION},
                ],
                "file": {"size": len(DEFINITION)},
                "definition": {"entryPoint": "lead"},
                "changes": [
                    {"path": "THE_SPEC/plan.md", "kind": "ADDED"},
                    {"path": "definition.json", "kind": "ADDED"},
                ],
                "publishedBy": {"id": team.editor.user_id},
                "workflow": {"id": team.workflow},
            },
            "latestVersion": {"number": 1},
            "productionVersion": None,
            "draft": None,
        }
        assert await studio.events(team.viewer, team.workflow, before) == ["VersionPublished"]
        document = """query ($id: ID!) { workflow(id: $id) { auditLog(first: 1) { nodes { action details subject } }
          events(first: 100) { nodes { ... on VersionPublished { version { id } actor { id } } } } } }"""
        data = (await team.viewer(document, id=team.workflow))["workflow"]
        assert data["auditLog"]["nodes"] == [
            {"action": "draft.publish", "details": {"number": 1, "revision": 1}, "subject": payload["version"]["id"]}
        ]
        assert data["events"]["nodes"][-1] == {
            "version": {"id": payload["version"]["id"]},
            "actor": {"id": team.editor.user_id},
        }

    async def test_counts_one_two_three(self, team: Team, studio: Studio) -> None:
        await published(studio, team, 3)
        assert (await read(team.viewer, team.workflow, 3))["latestVersion"] == {"number": 3}
        assert (await read(team.viewer, team.workflow, 4))["version"] is None
        assert (await read(team.viewer, team.workflow, 0))["version"] is None
        assert (await read(team.viewer, team.workflow, -(2**31)))["version"] is None
        document = """query ($id: ID!, $since: Int) { workflow(id: $id) { version(number: 3) {
          changes(since: $since) { kind after { content } } } } }"""
        for since, before in ((None, "2"), (2, "2"), (1, "1")):
            data = await team.viewer(document, id=team.workflow, since=since)
            assert data["workflow"]["version"]["changes"] == [{"kind": "MODIFIED", "after": {"content": "3\n"}}], before
        data = await team.viewer(document, id=team.workflow, since=3)
        assert data["workflow"]["version"]["changes"] == []
        assert await team.viewer.code(document, id=team.workflow, since=4) == "VALIDATION_FAILED"

    async def test_proposals_that_wait_are_superseded_and_stay_readable(self, team: Team, studio: Studio) -> None:
        completed = await studio.completed(team.editor, team.workflow, {"new.md": "new\n"})
        pending = await studio.refine(team.editor, team.workflow)
        document = """query ($id: ID!) { proposal(id: $id) {
          status generatedFiles { path content } changes { path unifiedDiff } mergePreview { digest } draft { revision }
          events(first: 100) { nodes { __typename sequence } } decision { by { id } comment draftRevision appliedPaths }
        } }"""
        before = (await team.viewer(document, id=completed))["proposal"]
        assert before["mergePreview"] is not None
        await studio.publish(team.owner, team.workflow)
        after = (await team.viewer(document, id=completed))["proposal"]
        assert after == {
            **before,
            "status": "SUPERSEDED",
            "mergePreview": None,
            "decision": {"by": {"id": team.owner.user_id}, "comment": None, "draftRevision": None, "appliedPaths": []},
        }
        assert (await team.viewer(document, id=pending))["proposal"]["status"] == "PENDING"
        for name in ("approveProposal", "rejectProposal"):
            error = await team.editor.refused(name, proposalId=completed)
            assert (error["code"], error["from"], error["allowed"]) == ("INVALID_TRANSITION", "SUPERSEDED", [])

    async def test_what_completes_afterwards_is_superseded(self, team: Team, studio: Studio) -> None:
        proposal = await studio.refine(team.editor, team.workflow)
        await studio.start(proposal)
        await studio.publish(team.owner, team.workflow)
        await studio.change(proposal, {"late.md": "late\n"})
        await studio.end(proposal)
        document = """query ($id: ID!) { proposal(id: $id) {
          status generatedFiles { path } decision { by { id } } events(first: 100) { nodes { __typename } }
          workflow { events(first: 100) { nodes { ... on ProposalStatusChanged { from to actor { id } } } } }
        } }"""
        found = (await team.viewer(document, id=proposal))["proposal"]
        assert found["status"] == "SUPERSEDED"
        assert {"path": "late.md"} in found["generatedFiles"]
        assert found["decision"] == {"by": None}
        assert [event["__typename"] for event in found["events"]["nodes"]] == [
            "ProposalQueued",
            "ProposalStarted",
            "FilesChanged",
            "ProposalCompleted",
        ]
        assert found["workflow"]["events"]["nodes"][-2:] == [
            {"from": "PROCESSING", "to": "COMPLETED", "actor": None},
            {"from": "COMPLETED", "to": "SUPERSEDED", "actor": None},
        ]

    async def test_refuses_a_definition_with_errors(self, studio: Studio, team: Team) -> None:
        await studio.edit(team.editor, team.workflow, {"definition.json": '{"entry_point": "x", "nodes": []}'})
        before = await studio.fingerprint(team.workflow)
        error = await team.editor.refused("publishDraft", workflowId=team.workflow)
        diagnostics = error.pop("diagnostics")
        assert error == {
            "__typename": "DefinitionInvalidError",
            "code": "DEFINITION_INVALID",
            "path": ["input", "workflowId"],
        }
        assert "ERROR" in [each["severity"] for each in diagnostics]
        assert await studio.fingerprint(team.workflow) == before

    async def test_publishes_what_is_only_worth_a_warning(self, studio: Studio) -> None:
        ada = await studio.somebody("owner")
        assert await studio.publish(ada, await studio.workflow(ada, {"a.md": "a"})) == 1

    @pytest.mark.parametrize("expected", [0, 2, -1])
    async def test_refuses_a_revision_that_is_not_the_drafts(self, team: Team, studio: Studio, expected: int) -> None:
        before = await studio.fingerprint(team.workflow)
        error = await team.editor.refused("publishDraft", workflowId=team.workflow, expectedRevision=expected)
        assert error == {
            "__typename": "StaleRevisionError",
            "code": "STALE_REVISION",
            "path": ["input", "expectedRevision"],
            "expected": expected,
            "actual": 1,
        }
        assert await studio.fingerprint(team.workflow) == before

    @pytest.mark.parametrize("notes", ["\0", "\ud800", "a" * 10_001])
    async def test_refuses_bad_notes(self, team: Team, studio: Studio, notes: str) -> None:
        before = await studio.fingerprint(team.workflow)
        error = await team.editor.refused("publishDraft", workflowId=team.workflow, notes=notes)
        assert error == {"__typename": "ValidationError", "code": "VALIDATION_FAILED", "path": ["input", "notes"]}
        assert await studio.fingerprint(team.workflow) == before

    async def test_refuses_when_there_is_nothing_to_publish(self, studio: Studio) -> None:
        ada = await studio.somebody("owner")
        workflow = await studio.workflow(ada, {})
        assert (await ada.refused("publishDraft", workflowId=workflow))["code"] == "NOT_FOUND"
        await studio.refine(ada, workflow)  # opens an empty draft
        assert (await ada.refused("publishDraft", workflowId=workflow))["code"] == "VALIDATION_FAILED"

    async def test_the_same_key_publishes_once(self, team: Team, studio: Studio) -> None:
        given = {"workflowId": team.workflow, "notes": "x", "idempotencyKey": team.workflow}
        first = await team.editor.do("publishDraft", **given)
        before = await studio.fingerprint(team.workflow)
        assert await team.editor.do("publishDraft", **given) == first
        error = await team.editor.refused("publishDraft", **{**given, "notes": "y"})
        assert error["code"] == "IDEMPOTENCY_MISMATCH"
        assert await studio.fingerprint(team.workflow) == before

    async def test_published_files_never_change(self, team: Team, studio: Studio) -> None:
        await studio.publish(team.owner, team.workflow)
        where = "version_id IN (SELECT id FROM versions WHERE workflow_id = :w)"
        for statement in (
            f"UPDATE version_files SET path = 'x' WHERE {where}",
            f"DELETE FROM version_files WHERE {where}",
        ):
            with pytest.raises(DBAPIError, match="refused"):
                await studio.run(statement, w=key(team.workflow, "Workflow"))


class TestDeployVersion:
    async def test_moves_the_pointer_forwards_and_back(self, team: Team, studio: Studio) -> None:
        await published(studio, team, 2)
        before = len(await studio.events(team.viewer, team.workflow))
        for number in (1, 2, 1):
            payload = await team.owner.do("deployVersion", workflowId=team.workflow, number=number)
            assert payload["version"]["isProduction"] is True
            assert payload["workflow"] == {"id": team.workflow, "productionVersion": {"number": number}}
        document = """query ($id: ID!) { workflow(id: $id) {
          events(first: 100) { nodes { __typename ... on VersionDeployed {
            version { number isProduction } previous { number } actor { id } } } }
          auditLog(first: 1) { nodes { action details } } versions { nodes { number isProduction } }
        } }"""
        found = (await team.viewer(document, id=team.workflow))["workflow"]
        assert found["events"]["nodes"][before:] == [
            {
                "__typename": "VersionDeployed",
                "version": {"number": number, "isProduction": number == 1},
                "previous": previous and {"number": previous},
                "actor": {"id": team.owner.user_id},
            }
            for number, previous in ((1, None), (2, 1), (1, 2))
        ]
        assert found["auditLog"]["nodes"] == [{"action": "version.deploy", "details": {"number": 1, "previous": 2}}]
        assert found["versions"]["nodes"] == [
            {"number": 2, "isProduction": False},
            {"number": 1, "isProduction": True},
        ]

    async def test_deploying_what_is_deployed_changes_nothing(self, team: Team, studio: Studio) -> None:
        await published(studio, team, 1)
        await team.owner.do("deployVersion", workflowId=team.workflow, number=1)
        before = await studio.fingerprint(team.workflow)
        await team.owner.do("deployVersion", workflowId=team.workflow, number=1)
        assert await studio.fingerprint(team.workflow) == before

    @pytest.mark.parametrize("number", [0, -1, 2, 2**31 - 1])
    @pytest.mark.parametrize("name", ["deployVersion", "deprecateVersion"])
    async def test_refuses_a_version_that_is_not_there(
        self, team: Team, studio: Studio, name: str, number: int
    ) -> None:
        await published(studio, team, 1)
        before = await studio.fingerprint(team.workflow)
        error = await team.owner.refused(name, workflowId=team.workflow, number=number)
        assert error == {"__typename": "NotFoundError", "code": "NOT_FOUND", "path": ["input", "number"]}
        assert await studio.fingerprint(team.workflow) == before

    async def test_refuses_a_deprecated_version(self, team: Team, studio: Studio) -> None:
        await published(studio, team, 1)
        await team.owner.do("deprecateVersion", workflowId=team.workflow, number=1)
        before = await studio.fingerprint(team.workflow)
        error = await team.owner.refused("deployVersion", workflowId=team.workflow, number=1)
        assert error == {
            "__typename": "InvalidTransitionError",
            "code": "INVALID_TRANSITION",
            "path": ["input", "number"],
            "from": "DEPRECATED",
            "to": "PRODUCTION",
            "allowed": [],
        }
        assert await studio.fingerprint(team.workflow) == before

    async def test_the_database_knows_no_pointer_to_another_workflow(self, team: Team, studio: Studio) -> None:
        await published(studio, await studio.team(), 2)
        await published(studio, team, 1)
        with pytest.raises(DBAPIError, match="workflows_production_version"):
            await studio.run(
                "UPDATE workflows SET production_version_number = 2 WHERE id = :w", w=key(team.workflow, "Workflow")
            )


class TestDeprecateVersion:
    async def test_marks_it(self, team: Team, studio: Studio) -> None:
        await published(studio, team, 2)
        payload = await team.owner.do("deprecateVersion", workflowId=team.workflow, number=1)
        assert payload["version"]["status"] == "DEPRECATED"
        document = """query ($id: ID!) { workflow(id: $id) { events(first: 100) { nodes {
          __typename ... on VersionDeprecated { version { number status } actor { id } } } } } }"""
        assert (await team.viewer(document, id=team.workflow))["workflow"]["events"]["nodes"][-1] == {
            "__typename": "VersionDeprecated",
            "version": {"number": 1, "status": "DEPRECATED"},
            "actor": {"id": team.owner.user_id},
        }
        assert (await studio.actions(team.workflow))[-1] == "version.deprecate"
        assert (await read(team.viewer, team.workflow, 1))["version"]["files"]
        before = await studio.fingerprint(team.workflow)
        await team.owner.do("deprecateVersion", workflowId=team.workflow, number=1)
        assert await studio.fingerprint(team.workflow) == before

    async def test_the_deployed_one_can_not_be(self, team: Team, studio: Studio) -> None:
        await published(studio, team, 2)
        await team.owner.do("deployVersion", workflowId=team.workflow, number=1)
        before = await studio.fingerprint(team.workflow)
        error = await team.owner.refused("deprecateVersion", workflowId=team.workflow, number=1)
        assert error == {
            "__typename": "InvalidTransitionError",
            "code": "INVALID_TRANSITION",
            "path": ["input", "number"],
            "from": "PRODUCTION",
            "to": "DEPRECATED",
            "allowed": [],
        }
        assert await studio.fingerprint(team.workflow) == before
        await team.owner.do("deployVersion", workflowId=team.workflow, number=2)
        await team.owner.do("deprecateVersion", workflowId=team.workflow, number=1)
