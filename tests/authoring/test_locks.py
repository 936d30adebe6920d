from datetime import datetime, timedelta
from typing import Any

import pytest
from support.api import RESULTS
from support.reading import audited, read
from support.studio import Studio, Team

from graphql_api.kit.columns import now

pytestmark = pytest.mark.anyio


class TestLockWorkflow:
    async def test_holds_until_it_expires(self, team: Team, studio: Studio) -> None:
        before = now()
        payload = await team.editor.do("lockWorkflow", workflowId=team.workflow)
        lock = payload["workflow"]["lock"]
        acquired, expires = (datetime.fromisoformat(lock[name]) for name in ("acquiredAt", "expiresAt"))
        assert lock["holder"] == {"id": team.editor.user_id}
        assert before <= acquired <= now()
        assert expires - acquired == timedelta(seconds=900)
        assert (await studio.events(team.viewer, team.workflow))[-1] == "WorkflowLockChanged"
        entry = await audited(team.viewer, team.workflow)
        assert (entry["action"], entry["details"]["lock"]["holder_id"]) == ("workflow.lock", str(team.editor.user.id))
        await studio.expire_lock(team.workflow)
        assert (await read(team.viewer, team.workflow))["lock"] is None
        payload = await team.owner.do("lockWorkflow", workflowId=team.workflow)
        assert payload["workflow"]["lock"]["holder"] == {"id": team.owner.user_id}

    async def test_renewal_keeps_when_it_was_taken(self, team: Team) -> None:
        first = (await team.editor.do("lockWorkflow", workflowId=team.workflow, ttl=30))["workflow"]["lock"]
        second = (await team.editor.do("lockWorkflow", workflowId=team.workflow, ttl=3600))["workflow"]["lock"]
        assert second["acquiredAt"] == first["acquiredAt"]
        assert second["expiresAt"] > first["expiresAt"]

    async def test_taking_it_again_after_it_expired_is_a_new_lock(self, team: Team, studio: Studio) -> None:
        first = (await team.editor.do("lockWorkflow", workflowId=team.workflow))["workflow"]["lock"]
        await studio.expire_lock(team.workflow)
        second = (await team.editor.do("lockWorkflow", workflowId=team.workflow))["workflow"]["lock"]
        assert second["acquiredAt"] > first["acquiredAt"]

    @pytest.mark.parametrize("ttl", [29, 3601, 0, -1, 2**31 - 1, -(2**31)])
    async def test_refuses_a_time_out_of_range(self, team: Team, studio: Studio, ttl: int) -> None:
        before = await studio.fingerprint(team.workflow)
        error = await team.editor.refused("lockWorkflow", workflowId=team.workflow, ttl=ttl)
        assert error == {"__typename": "ValidationError", "code": "VALIDATION_FAILED", "path": ["input", "ttl"]}
        assert await studio.fingerprint(team.workflow) == before

    async def test_a_ttl_of_null_is_the_default(self, team: Team) -> None:
        lock = (await team.editor.do("lockWorkflow", workflowId=team.workflow, ttl=None))["workflow"]["lock"]
        moments = [datetime.fromisoformat(lock[name]) for name in ("acquiredAt", "expiresAt")]
        assert moments[1] - moments[0] == timedelta(seconds=900)

    async def test_stops_every_writing_mutation_of_everybody_else(self, team: Team, studio: Studio) -> None:
        workflow = team.workflow
        await studio.publish(team.owner, workflow)
        completed = await studio.completed(team.editor, workflow, {"new.md": "new\n"})
        pending = await studio.refine(team.editor, workflow)
        lock = (await team.editor.do("lockWorkflow", workflowId=workflow))["workflow"]["lock"]
        calls: dict[str, dict[str, Any]] = {
            "updateWorkflow": {"workflowId": workflow, "name": "x"},
            "deleteWorkflow": {"workflowId": workflow},
            "setWorkflowMember": {"workflowId": workflow, "email": team.stranger.user.email, "role": "VIEWER"},
            "lockWorkflow": {"workflowId": workflow},
            "unlockWorkflow": {"workflowId": workflow},
            "editDraft": {"workflowId": workflow, "expectedRevision": 1, "status": "IN_PROGRESS"},
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
        assert set(calls) == set(RESULTS) - {"createWorkflow"}
        before = await studio.fingerprint(workflow)
        for name, given in calls.items():
            for api in (team.owner, team.admin):
                argument = "proposalId" if "proposalId" in given else "workflowId"
                assert await api.refused(name, **given) == {
                    "__typename": "LockedError",
                    "code": "LOCKED",
                    "path": ["input", argument],
                    "lock": lock,
                }, name
        leaving = {"workflowId": workflow, "email": team.viewer.user.email}
        assert (await team.viewer.refused("setWorkflowMember", **leaving))["code"] == "LOCKED"
        assert await studio.fingerprint(workflow) == before
        await team.editor.do("approveProposal", proposalId=completed)
        await studio.expire_lock(workflow)
        await team.owner.do("updateWorkflow", workflowId=workflow, name="x")


class TestUnlockWorkflow:
    async def test_gives_the_lock_back(self, team: Team, studio: Studio) -> None:
        await team.editor.do("lockWorkflow", workflowId=team.workflow)
        payload = await team.editor.do("unlockWorkflow", workflowId=team.workflow)
        assert payload["workflow"]["lock"] is None
        assert (await studio.events(team.viewer, team.workflow))[-1] == "WorkflowLockChanged"
        assert (await audited(team.viewer, team.workflow))["details"] == {"lock": None}

    @pytest.mark.parametrize("force", [None, False, True])
    async def test_a_free_workflow_stays_free(self, team: Team, studio: Studio, *, force: bool | None) -> None:
        before = await studio.fingerprint(team.workflow)
        await team.editor.do("unlockWorkflow", workflowId=team.workflow, force=force)
        assert await studio.fingerprint(team.workflow) == before

    async def test_a_lock_that_expired_is_free_for_everybody(self, team: Team, studio: Studio) -> None:
        await team.owner.do("lockWorkflow", workflowId=team.workflow)
        await studio.expire_lock(team.workflow)
        before = await studio.fingerprint(team.workflow)
        await team.editor.do("unlockWorkflow", workflowId=team.workflow)
        assert await studio.fingerprint(team.workflow) == before

    async def test_an_owner_breaks_it_by_force(self, team: Team) -> None:
        await team.editor.do("lockWorkflow", workflowId=team.workflow)
        assert (await team.owner.refused("unlockWorkflow", workflowId=team.workflow))["code"] == "LOCKED"
        payload = await team.owner.do("unlockWorkflow", workflowId=team.workflow, force=True)
        assert payload["workflow"]["lock"] is None

    async def test_an_editor_breaks_nobodys(self, team: Team, studio: Studio) -> None:
        await team.owner.do("lockWorkflow", workflowId=team.workflow)
        before = await studio.fingerprint(team.workflow)
        error = await team.editor.refused("unlockWorkflow", workflowId=team.workflow, force=True)
        assert error == {
            "__typename": "ForbiddenError",
            "code": "FORBIDDEN",
            "path": ["input", "force"],
            "requiredRole": "OWNER",
        }
        assert await studio.fingerprint(team.workflow) == before
