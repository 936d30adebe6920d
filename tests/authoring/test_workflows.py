from typing import Any

import pytest
from support.api import key
from support.reading import WORKFLOW, audited, read
from support.studio import Studio, Team

pytestmark = pytest.mark.anyio


class TestUpdateWorkflow:
    async def test_changes_what_is_given_and_keeps_the_rest(self, team: Team, studio: Studio) -> None:
        before = len(await studio.events(team.viewer, team.workflow))
        payload = await team.editor.do("updateWorkflow", workflowId=team.workflow, description="It greets.")
        expected = {"id": team.workflow, "name": "Greeter", "description": "It greets.", "isArchived": False}
        assert payload["workflow"] == expected
        payload = await team.editor.do("updateWorkflow", workflowId=team.workflow, name="Greeter 2")
        assert payload["workflow"] == {**expected, "name": "Greeter 2"}
        payload = await team.editor.do("updateWorkflow", workflowId=team.workflow, description=None)
        assert payload["workflow"] == {**expected, "name": "Greeter 2", "description": None}
        assert await studio.events(team.viewer, team.workflow, before) == ["WorkflowUpdated"] * 3
        assert await audited(team.viewer, team.workflow) == {
            "action": "workflow.update",
            "subject": team.workflow,
            "details": {"changed": ["description"]},
            "actor": {"id": team.editor.user_id},
        }

    async def test_what_stays_as_it_is_is_not_recorded(self, team: Team, studio: Studio) -> None:
        before = await studio.fingerprint(team.workflow)
        for given in ({}, {"name": "Greeter"}, {"name": None}, {"description": None}, {"isArchived": False}):
            await team.owner.do("updateWorkflow", workflowId=team.workflow, **given)
        assert await studio.fingerprint(team.workflow) == before

    @pytest.mark.parametrize(
        ("given", "path"),
        [
            ({"name": ""}, "name"),
            ({"name": "a" * 201}, "name"),
            ({"name": "\ud800"}, "name"),
            ({"name": "\0"}, "name"),
            ({"description": "\0"}, "description"),
            ({"description": "a" * 10_001}, "description"),
        ],
    )
    async def test_refuses_bad_input(self, team: Team, studio: Studio, given: dict[str, Any], path: str) -> None:
        before = await studio.fingerprint(team.workflow)
        error = await team.owner.refused("updateWorkflow", workflowId=team.workflow, **given)
        assert error == {"__typename": "ValidationError", "code": "VALIDATION_FAILED", "path": ["input", path]}
        assert await studio.fingerprint(team.workflow) == before

    async def test_archiving_takes_an_owner(self, team: Team) -> None:
        for is_archived in (True, False):
            error = await team.editor.refused("updateWorkflow", workflowId=team.workflow, isArchived=is_archived)
            assert (error["code"], error["requiredRole"]) == ("FORBIDDEN", "OWNER")

    async def test_an_archived_workflow_can_be_read_but_not_changed(self, team: Team, studio: Studio) -> None:
        workflow = team.workflow
        await studio.publish(team.owner, workflow)
        completed = await studio.completed(team.editor, workflow, {"new.md": "new\n"})
        pending = await studio.refine(team.editor, workflow)
        payload = await team.owner.do("updateWorkflow", workflowId=workflow, isArchived=True)
        assert payload["workflow"]["isArchived"] is True
        before = await studio.fingerprint(workflow)
        calls: dict[str, dict[str, Any]] = {
            "updateWorkflow": {"workflowId": workflow, "name": "x"},
            "lockWorkflow": {"workflowId": workflow},
            "editDraft": {"workflowId": workflow, "status": "IN_PROGRESS"},
            "discardDraft": {"workflowId": workflow},
            "publishDraft": {"workflowId": workflow},
            "deployVersion": {"workflowId": workflow, "number": 1},
            "deprecateVersion": {"workflowId": workflow, "number": 1},
            "refineWorkflow": {"workflowId": workflow, "prompt": "x"},
            "approveProposal": {"proposalId": completed},
            "rejectProposal": {"proposalId": completed},
            "retryProposal": {"proposalId": completed},
            "cancelProposal": {"proposalId": pending},
        }
        for name, given in calls.items():
            assert (await team.owner.refused(name, **given))["code"] == "VALIDATION_FAILED", name
        assert await studio.fingerprint(workflow) == before
        assert (await read(team.viewer, workflow))["isArchived"] is True
        await team.owner.do("setWorkflowMember", workflowId=workflow, email=team.stranger.user.email, role="VIEWER")
        await team.owner.do("unlockWorkflow", workflowId=workflow)
        payload = await team.owner.do("updateWorkflow", workflowId=workflow, isArchived=False, name="Back")
        assert (payload["workflow"]["name"], payload["workflow"]["isArchived"]) == ("Back", False)
        await team.owner.do("cancelProposal", proposalId=pending)


class TestDeleteWorkflow:
    async def test_takes_it_out_of_sight_and_keeps_the_record(self, team: Team, studio: Studio) -> None:
        await studio.publish(team.owner, team.workflow)
        pending = await studio.refine(team.editor, team.workflow)
        completed = await studio.completed(team.editor, team.workflow, {})
        actions = await studio.actions(team.workflow)
        payload = await team.owner.do("deleteWorkflow", workflowId=team.workflow)
        assert payload == {"deletedWorkflowId": team.workflow}
        assert (await team.owner(WORKFLOW, id=team.workflow))["workflow"] is None
        again = await team.owner.refused("deleteWorkflow", workflowId=team.workflow)
        assert again["code"] == "NOT_FOUND"
        assert await studio.actions(team.workflow) == [*actions, "proposal.cancelled", "workflow.delete"]
        rows = await studio.rows(
            "SELECT id, status FROM proposals WHERE workflow_id = :w", w=key(team.workflow, "Workflow")
        )
        assert dict(rows) == {
            key(pending, "Proposal"): "CANCELLED",
            key(completed, "Proposal"): "COMPLETED",
        }

    async def test_an_archived_one_can_be_deleted(self, team: Team) -> None:
        await team.owner.do("updateWorkflow", workflowId=team.workflow, isArchived=True)
        await team.owner.do("deleteWorkflow", workflowId=team.workflow)
