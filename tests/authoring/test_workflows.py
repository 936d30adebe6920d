from datetime import datetime, timedelta
from typing import Any

import pytest
from support.api import Api, key
from support.studio import Studio, Team

from graphql_api.kit.columns import now
from graphql_api.kit.files import MAX_FILE_BYTES, MAX_FILES, MAX_PATH_LENGTH

pytestmark = pytest.mark.anyio

READ = """query ($id: ID!) { workflow(id: $id) {
  name description isArchived updatedAt lock { holder { id } acquiredAt expiresAt } owner { id }
  members { role since user { id } } draft { id revision files { path type content size digest } }
} }"""


async def read(api: Api, workflow: str) -> dict[str, Any]:
    found: dict[str, Any] = (await api(READ, id=workflow))["workflow"]
    return found


async def audited(api: Api, workflow: str) -> dict[str, Any]:
    """Read the newest audit entry."""
    document = """query ($id: ID!) { workflow(id: $id) {
      auditLog(first: 1) { nodes { action subject details actor { id } requestId } } } }"""
    (entry,) = (await api(document, id=workflow))["workflow"]["auditLog"]["nodes"]
    assert entry.pop("requestId")
    found: dict[str, Any] = entry
    return found


BAD_PATHS = {
    "empty": "",
    "too long": "a" * (MAX_PATH_LENGTH + 1),
    "absolute": "/a.md",
    "parent": "../a.md",
    "parent within": "a/../b.md",
    "current": "./a.md",
    "current within": "a/./b.md",
    "empty segment": "a//b.md",
    "folder": "a/",
    "backslash": "a\\b.md",
    "NUL": "a\0.md",
    "line feed": "a\n.md",
    "escape": "a\x1b.md",
    "C1 control": "a\x85.md",
    "lone surrogate": "a\ud800.md",
    "not NFC": "cafe\u0301.md",
}
GOOD_PATHS = [
    "a",
    "a" * MAX_PATH_LENGTH,
    "…/💥.md",
    "caf\u00e9.md",
    "a b/c d.md",
    ".hidden",
    "...",
    "a/..b",
    "line\u2028separator.md",
    "soft\u00adhyphen.md",
    "right\u200fto left.md",
]
BAD_CONTENTS = {"NUL": "a\0b", "lone surrogate": "\udfff", "too large": "ü" * (MAX_FILE_BYTES // 2) + "x"}


class TestCreateWorkflow:
    async def test_makes_a_workflow_that_belongs_to_the_caller(self, studio: Studio) -> None:
        ada = await studio.person()
        before = now()
        workflow = await studio.workflow(ada, {}, name=" Cafe\u0301 ", description=" It greets. ")
        found = await read(ada, workflow)
        assert datetime.fromisoformat(found.pop("updatedAt")) >= before
        since = datetime.fromisoformat(found["members"][0].pop("since"))
        assert before <= since <= now()
        assert found == {
            "name": "Caf\u00e9",
            "description": "It greets.",
            "isArchived": False,
            "lock": None,
            "owner": {"id": ada.user_id},
            "members": [{"role": "OWNER", "user": {"id": ada.user_id}}],
            "draft": None,
        }
        assert await studio.events(ada, workflow) == ["WorkflowCreated"]
        assert await audited(ada, workflow) == {
            "action": "workflow.create",
            "subject": workflow,
            "details": {},
            "actor": {"id": ada.user_id},
        }

    async def test_opens_a_draft_with_the_files(self, studio: Studio) -> None:
        ada = await studio.person()
        files = [{"path": "b.yml", "content": "ü\n"}, {"path": "a.md", "content": "", "type": "TEXT"}]
        payload = await ada.do("createWorkflow", name="x", files=files)
        workflow = payload["workflow"]["id"]
        draft = (await read(ada, workflow))["draft"]
        assert draft["revision"] == 1
        assert [{name: file[name] for name in ("path", "type", "content", "size")} for file in draft["files"]] == [
            {"path": "a.md", "type": "TEXT", "content": "", "size": 0},
            {"path": "b.yml", "type": "YAML", "content": "ü\n", "size": 3},
        ]
        assert await studio.events(ada, workflow) == ["WorkflowCreated", "DraftChanged"]

    async def test_starts_from_a_template(self, studio: Studio) -> None:
        ada = await studio.person()
        customization = {"agent_name": "Bo Peep"}
        payload = await ada.do(
            "createWorkflow",
            name="x",
            templateSlug="single-agent",
            customization=customization,
            files=[{"path": "THE_SPEC/plan.md", "content": "mine\n"}, {"path": "own.md", "content": "own\n"}],
        )
        files = {file["path"]: file["content"] for file in (await read(ada, payload["workflow"]["id"]))["draft"]["files"]}
        assert set(files) == {
            "definition.json",
            "THE_CAST/Bo-Peep.md",
            "THE_SPEC/plan.md",
            "THE_SPEC/requirements.md",
            "own.md",
        }
        assert files["THE_SPEC/plan.md"] == "mine\n"
        assert "Bo Peep" in files["THE_CAST/Bo-Peep.md"]

    @pytest.mark.parametrize(
        ("given", "path"),
        [
            ({"name": ""}, ["name"]),
            ({"name": " \n "}, ["name"]),
            ({"name": "a" * 201}, ["name"]),
            ({"name": "a\nb"}, ["name"]),
            ({"name": "a\0b"}, ["name"]),
            ({"name": "a\ud800b"}, ["name"]),
            ({"description": "a" * 10_001}, ["description"]),
            ({"description": "\0"}, ["description"]),
            ({"customization": {}}, ["customization"]),
            ({"templateSlug": "single-agent", "customization": []}, ["customization"]),
            ({"templateSlug": "single-agent", "customization": "x"}, ["customization"]),
            ({"templateSlug": "single-agent", "customization": {"nothing": 1}}, ["customization"]),
            ({"templateSlug": "single-agent", "customization": {"agent_name": 7}}, ["customization", "agent_name"]),
            ({"templateSlug": "single-agent", "customization": {"agent_name": 10**40}}, ["customization", "agent_name"]),
            ({"idempotencyKey": ""}, ["idempotencyKey"]),
            ({"idempotencyKey": "a" * 256}, ["idempotencyKey"]),
            ({"idempotencyKey": "\0"}, ["idempotencyKey"]),
            ({"idempotencyKey": "\ud800"}, ["idempotencyKey"]),
            ({"files": [{"path": "a", "content": ""}, {"path": "a", "content": ""}]}, ["files", "1", "path"]),
            ({"files": [{"path": str(n), "content": ""} for n in range(MAX_FILES + 1)]}, ["files"]),
            (
                {"templateSlug": "single-agent", "files": [{"path": str(n), "content": ""} for n in range(MAX_FILES)]},
                ["files"],
            ),
        ],
    )
    async def test_refuses_bad_input(self, studio: Studio, given: dict[str, Any], path: list[str]) -> None:
        ada = await studio.somebody("owner")
        before = await studio.whole_fingerprint()
        error = await ada.refused("createWorkflow", **{"name": "x", "idempotencyKey": "kept by nobody", **given})
        assert error == {"__typename": "ValidationError", "code": "VALIDATION_FAILED", "path": ["input", *path]}
        assert await studio.whole_fingerprint() == before

    async def test_refuses_a_template_that_is_not_there(self, studio: Studio) -> None:
        ada = await studio.somebody("owner")
        error = await ada.refused("createWorkflow", name="x", templateSlug="no\0ne")
        assert error == {"__typename": "NotFoundError", "code": "NOT_FOUND", "path": ["input", "templateSlug"]}

    @pytest.mark.parametrize("path", BAD_PATHS.values(), ids=BAD_PATHS)
    async def test_refuses_a_bad_path(self, studio: Studio, path: str) -> None:
        files = [{"path": "good.md", "content": ""}, {"path": path, "content": ""}]
        error = await (await studio.somebody("owner")).refused("createWorkflow", name="x", files=files)
        assert error["path"] == ["input", "files", "1", "path"]
        assert error["code"] == "VALIDATION_FAILED"

    @pytest.mark.parametrize("content", BAD_CONTENTS.values(), ids=BAD_CONTENTS)
    async def test_refuses_a_bad_content(self, studio: Studio, content: str) -> None:
        files = [{"path": "a.md", "content": content}]
        error = await (await studio.somebody("owner")).refused("createWorkflow", name="x", files=files)
        assert error["path"] == ["input", "files", "0", "content"]

    async def test_takes_every_good_path_and_the_largest_content(self, studio: Studio) -> None:
        ada = await studio.somebody("owner")
        content = "ü" * (MAX_FILE_BYTES // 2)
        workflow = await studio.workflow(ada, dict.fromkeys(GOOD_PATHS, content))
        files = (await read(ada, workflow))["draft"]["files"]
        assert {file["path"] for file in files} == set(GOOD_PATHS)
        assert {file["size"] for file in files} == {MAX_FILE_BYTES}
        assert files[0]["content"] == content


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
            ("editDraft", {"workflowId": workflow, "expectedRevision": 1, "status": "IN_PROGRESS", "idempotencyKey": "2"}),
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
        assert (await team.owner(READ, id=team.workflow))["workflow"] is None
        again = await team.owner.refused("deleteWorkflow", workflowId=team.workflow)
        assert again["code"] == "NOT_FOUND"
        assert await studio.actions(team.workflow) == [*actions, "proposal.cancelled", "workflow.delete"]
        rows = await studio.rows(
            "SELECT id, status FROM proposals WHERE workflow_id = :w", w=key(team.workflow, "Workflow")
        )
        assert {id_: status for id_, status in rows} == {
            key(pending, "Proposal"): "CANCELLED",
            key(completed, "Proposal"): "COMPLETED",
        }

    async def test_an_archived_one_can_be_deleted(self, team: Team) -> None:
        await team.owner.do("updateWorkflow", workflowId=team.workflow, isArchived=True)
        await team.owner.do("deleteWorkflow", workflowId=team.workflow)


class TestSetWorkflowMember:
    async def test_gives_changes_and_takes_roles(self, team: Team, studio: Studio) -> None:
        email = team.stranger.user.email
        before = len(await studio.events(team.viewer, team.workflow))
        for role in ("VIEWER", "OWNER", "EDITOR", None):
            payload = await team.owner.do(
                "setWorkflowMember", workflowId=team.workflow, email=f" {email.upper()} ", role=role
            )
            roles = {each["user"]["email"]: each["role"] for each in payload["workflow"]["members"]}
            assert roles.get(email) == role
            assert await audited(team.owner, team.workflow) == {
                "action": "workflow.share",
                "subject": team.stranger.user_id,
                "details": {"role": role},
                "actor": {"id": team.owner.user_id},
            }
        assert await studio.events(team.viewer, team.workflow, before) == ["WorkflowMembersChanged"] * 4
        document = """query ($id: ID!) { workflow(id: $id) { events(first: 100) { nodes {
          ... on WorkflowMembersChanged { role actor { id } member { id } } } } } }"""
        nodes = (await team.viewer(document, id=team.workflow))["workflow"]["events"]["nodes"][before:]
        assert nodes == [
            {"role": role, "actor": {"id": team.owner.user_id}, "member": {"id": team.stranger.user_id}}
            for role in ("VIEWER", "OWNER", "EDITOR", None)
        ]

    async def test_giving_what_they_have_is_not_recorded(self, team: Team, studio: Studio) -> None:
        before = await studio.fingerprint(team.workflow)
        await studio.join(team.workflow, team.owner, team.viewer, "VIEWER")
        await studio.join(team.workflow, team.owner, team.stranger, None)
        await studio.join(team.workflow, team.owner, team.owner, "OWNER")
        assert await studio.fingerprint(team.workflow) == before

    async def test_anybody_may_leave(self, team: Team, studio: Studio) -> None:
        await team.owner.do("lockWorkflow", workflowId=team.workflow)
        for api in (team.viewer, team.editor):
            payload = await api.do("setWorkflowMember", workflowId=team.workflow, email=api.user.email, role=None)
            assert payload == {"workflow": None}
            assert (await api(READ, id=team.workflow))["workflow"] is None

    async def test_nobody_raises_their_own_role(self, team: Team) -> None:
        for api in (team.viewer, team.editor):
            error = await api.refused(
                "setWorkflowMember", workflowId=team.workflow, email=api.user.email, role="OWNER"
            )
            assert (error["code"], error["requiredRole"]) == ("FORBIDDEN", "OWNER")

    @pytest.mark.parametrize("role", [None, "VIEWER", "EDITOR"])
    async def test_the_last_owner_stays(self, team: Team, studio: Studio, role: str | None) -> None:
        before = await studio.fingerprint(team.workflow)
        for api in (team.owner, team.admin):
            error = await api.refused(
                "setWorkflowMember", workflowId=team.workflow, email=team.owner.user.email, role=role
            )
            assert error == {"__typename": "ValidationError", "code": "VALIDATION_FAILED", "path": ["input", "role"]}
        assert await studio.fingerprint(team.workflow) == before

    async def test_the_longest_standing_owner_is_the_owner(self, team: Team, studio: Studio) -> None:
        await studio.join(team.workflow, team.owner, team.editor, "OWNER")
        assert (await read(team.viewer, team.workflow))["owner"] == {"id": team.owner.user_id}
        await studio.join(team.workflow, team.owner, team.owner, None)
        assert (await read(team.viewer, team.workflow))["owner"] == {"id": team.editor.user_id}

    @pytest.mark.parametrize("email", ["", "nobody@example.com", "no\0body", "\ud800", "a" * 100_000])
    async def test_refuses_an_address_that_nobody_has(self, team: Team, email: str) -> None:
        error = await team.owner.refused("setWorkflowMember", workflowId=team.workflow, email=email, role="VIEWER")
        assert error == {"__typename": "NotFoundError", "code": "NOT_FOUND", "path": ["input", "email"]}

    async def test_refuses_somebody_who_is_disabled(self, team: Team, studio: Studio) -> None:
        gone = await studio.person()
        await studio.run("UPDATE users SET disabled_at = now() WHERE id = :u", u=gone.user.id)
        error = await team.owner.refused(
            "setWorkflowMember", workflowId=team.workflow, email=gone.user.email, role="VIEWER"
        )
        assert error["path"] == ["input", "email"]


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
