from typing import Any

import pytest
from support.scenes import INPUTS, make_scene
from support.studio import Studio, Team

pytestmark = pytest.mark.anyio


class TestIdempotencyKey:
    async def test_the_same_call_gives_the_first_result(self, studio: Studio) -> None:
        ada = await studio.person()
        first = await ada.do("createWorkflow", name="x", idempotencyKey="k")
        before = await studio.whole_fingerprint()
        assert await ada.do("createWorkflow", name="x", idempotencyKey="k") == first
        assert await studio.whole_fingerprint() == before

    async def test_another_input_is_a_mismatch(self, studio: Studio) -> None:
        ada = await studio.person()
        workflow = await studio.workflow(ada, name="x", idempotencyKey="k")
        before = await studio.whole_fingerprint()
        refusals = [
            await ada.refused("createWorkflow", name="y", idempotencyKey="k"),
            await ada.refused("refineWorkflow", workflowId=workflow, prompt="x", idempotencyKey="k"),
            await ada.refused("publishDraft", workflowId=workflow, idempotencyKey="k"),
        ]
        for error in refusals:
            assert error == {
                "__typename": "IdempotencyMismatchError",
                "code": "IDEMPOTENCY_MISMATCH",
                "path": ["input", "idempotencyKey"],
            }
        assert await studio.whole_fingerprint() == before

    async def test_a_key_is_one_persons(self, studio: Studio) -> None:
        ada, bob = await studio.person(), await studio.person()
        assert await studio.workflow(ada, idempotencyKey="k") != await studio.workflow(bob, idempotencyKey="k")

    async def test_a_refused_call_keeps_no_key(self, studio: Studio) -> None:
        ada = await studio.person()
        await ada.refused("createWorkflow", name="", idempotencyKey="k")
        await ada.do("createWorkflow", name="x", idempotencyKey="k")

    async def test_a_key_has_1_to_255_characters(self, studio: Studio) -> None:
        scene = await make_scene(studio)
        before = await studio.fingerprint(scene.workflow)
        for name in ("createWorkflow", "editDraft", "refineWorkflow", "publishDraft", "approveProposal"):
            for bad in ("", "a" * 256):
                error = await scene.team.owner.refused(name, **INPUTS[name](scene), idempotencyKey=bad)
                assert (error["code"], error["path"]) == ("VALIDATION_FAILED", ["input", "idempotencyKey"])
        assert await studio.fingerprint(scene.workflow) == before
        await scene.team.owner.do("publishDraft", workflowId=scene.workflow, idempotencyKey="a" * 255)

    async def test_a_key_is_free_again_after_a_day(self, studio: Studio) -> None:
        ada = await studio.person()
        first = await studio.workflow(ada, idempotencyKey="k")
        aged = "UPDATE idempotency_keys SET created_at = created_at - interval '{}' WHERE user_id = :u"
        await studio.run(aged.format("23 h 59 min"), u=ada.user.id)
        assert await studio.workflow(ada, idempotencyKey="k") == first
        await studio.run(aged.format("2 min"), u=ada.user.id)
        assert await studio.workflow(ada, name="Another", idempotencyKey="k") != first

    async def test_a_result_is_not_told_to_somebody_whose_access_has_ended(self, studio: Studio, team: Team) -> None:
        workflow = team.workflow
        editor = await studio.person()
        await studio.join(workflow, team.owner, editor, "EDITOR")
        completed = await studio.completed(editor, workflow, {"new.md": "new\n"})
        calls: list[tuple[str, dict[str, Any]]] = [
            ("refineWorkflow", {"workflowId": workflow, "prompt": "x", "idempotencyKey": "1"}),
            (
                "editDraft",
                {"workflowId": workflow, "expectedRevision": 1, "status": "IN_PROGRESS", "idempotencyKey": "2"},
            ),
            ("approveProposal", {"proposalId": completed, "idempotencyKey": "3"}),
            ("publishDraft", {"workflowId": workflow, "idempotencyKey": "4"}),
        ]
        for name, given in calls:
            first = await editor.do(name, "__typename", **given)
            assert await editor.do(name, "__typename", **given) == first
        await studio.join(workflow, team.owner, editor, None)
        for name, given in calls:
            error = await editor.refused(name, **given)
            assert error["code"] == "NOT_FOUND"
            assert error["path"] == ["input", "proposalId" if name == "approveProposal" else "workflowId"]

    async def test_a_workflow_that_was_deleted_since_is_not_found(self, studio: Studio) -> None:
        ada = await studio.person()
        await ada.do("deleteWorkflow", workflowId=await studio.workflow(ada, idempotencyKey="k", files={}, name="x"))
        error = await ada.refused("createWorkflow", name="x", files=[], idempotencyKey="k")
        assert error == {"__typename": "NotFoundError", "code": "NOT_FOUND", "path": ["input", "idempotencyKey"]}
