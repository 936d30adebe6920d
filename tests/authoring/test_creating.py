from datetime import datetime
from typing import Any

import pytest
from support.files import BAD_CONTENTS, BAD_PATHS
from support.reading import audited, read
from support.studio import Studio

from graphql_api.kit.columns import now
from graphql_api.kit.files import MAX_FILE_BYTES, MAX_FILES, MAX_PATH_LENGTH

pytestmark = pytest.mark.anyio

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
        files = {
            file["path"]: file["content"] for file in (await read(ada, payload["workflow"]["id"]))["draft"]["files"]
        }
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
            (
                {"templateSlug": "single-agent", "customization": {"agent_name": 10**40}},
                ["customization", "agent_name"],
            ),
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
