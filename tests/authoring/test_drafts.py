from typing import Any

import pytest
from support.api import Api
from support.files import BAD_CONTENTS, BAD_PATHS
from support.studio import DEFINITION, Studio, Team

from graphql_api.kit.files import MAX_FILES

pytestmark = pytest.mark.anyio

READ = """query ($id: ID!) { workflow(id: $id) { draft {
  id name description status revision fileCount basedOnVersion { number } createdBy { id }
  files { path type content } changes { path kind additions deletions unifiedDiff }
  definition { entryPoint nodes { key } } diagnostics { severity code path }
} } }"""


async def read(api: Api, workflow: str) -> dict[str, Any]:
    found: dict[str, Any] = (await api(READ, id=workflow))["workflow"]["draft"]
    return found


async def contents(api: Api, workflow: str) -> dict[str, str]:
    return {file["path"]: file["content"] for file in (await read(api, workflow))["files"]}


async def last_event(api: Api, workflow: str) -> dict[str, Any]:
    document = """query ($id: ID!) { workflow(id: $id) { events(first: 100) { nodes {
      __typename actor { id } ... on DraftChanged { revision draft { id }
        changes { path kind additions deletions before { content } after { content } unifiedDiff } }
    } } } }"""
    found: dict[str, Any] = (await api(document, id=workflow))["workflow"]["events"]["nodes"][-1]
    return found


def file(path: str, content: str, **more: str) -> dict[str, str]:
    return {"path": path, "content": content, **more}


class TestEditDraft:
    async def test_a_draft_that_it_opens_is_given_as_it_is_kept(self, studio: Studio) -> None:
        ada = await studio.somebody("owner")
        workflow = await studio.workflow(ada, {"a.md": "a\n"})
        await ada.do("publishDraft", workflowId=workflow)
        selection = "draft { id revision status name createdAt updatedAt basedOnVersion { number } }"
        given = await ada.do("editDraft", selection, workflowId=workflow, write=[file("b.md", "b\n")])
        document = f"query ($id: ID!) {{ workflow(id: $id) {{ {selection} }} }}"
        assert given["draft"] == (await ada(document, id=workflow))["workflow"]["draft"]

    async def test_renames_then_deletes_then_writes(self, studio: Studio) -> None:
        ada = await studio.somebody("owner")
        workflow = await studio.workflow(ada, {"a.md": "a\n", "b.md": "b\n", "c.md": "c\n"})
        payload = await ada.do(
            "editDraft",
            workflowId=workflow,
            expectedRevision=1,
            rename=[{"from": "a.md", "to": "d.md"}, {"from": "d.md", "to": "e.md"}, {"from": "b.md", "to": "a.md"}],
            delete=["e.md"],
            write=[file("e.md", "new\n"), file("c.md", "changed\n")],
            status="READY_TO_PUBLISH",
        )
        draft = payload["draft"]
        assert (draft["revision"], draft["status"]) == (2, "READY_TO_PUBLISH")
        assert draft["files"] == [file("a.md", "b\n"), file("c.md", "changed\n"), file("e.md", "new\n")]
        assert await last_event(ada, workflow) == {
            "__typename": "DraftChanged",
            "actor": {"id": ada.user_id},
            "revision": 2,
            "draft": {"id": draft["id"]},
            "changes": [
                {
                    "path": "a.md",
                    "kind": "MODIFIED",
                    "additions": 1,
                    "deletions": 1,
                    "before": {"content": "a\n"},
                    "after": {"content": "b\n"},
                    "unifiedDiff": "--- a/a.md\n+++ b/a.md\n@@ -1,1 +1,1 @@\n-a\n+b\n",
                },
                {
                    "path": "b.md",
                    "kind": "DELETED",
                    "additions": 0,
                    "deletions": 1,
                    "before": {"content": "b\n"},
                    "after": None,
                    "unifiedDiff": "--- a/b.md\n+++ /dev/null\n@@ -1,1 +1,0 @@\n-b\n",
                },
                {
                    "path": "c.md",
                    "kind": "MODIFIED",
                    "additions": 1,
                    "deletions": 1,
                    "before": {"content": "c\n"},
                    "after": {"content": "changed\n"},
                    "unifiedDiff": "--- a/c.md\n+++ b/c.md\n@@ -1,1 +1,1 @@\n-c\n+changed\n",
                },
                {
                    "path": "e.md",
                    "kind": "ADDED",
                    "additions": 1,
                    "deletions": 0,
                    "before": None,
                    "after": {"content": "new\n"},
                    "unifiedDiff": "--- /dev/null\n+++ b/e.md\n@@ -1,0 +1,1 @@\n+new\n",
                },
            ],
        }
        document = (
            """query ($id: ID!) { workflow(id: $id) { auditLog(first: 1) { nodes { action details subject } } } }"""
        )
        assert (await ada(document, id=workflow))["workflow"]["auditLog"]["nodes"] == [
            {
                "action": "draft.edit",
                "details": {"revision": 2, "paths": ["a.md", "b.md", "c.md", "e.md"]},
                "subject": draft["id"],
            }
        ]

    async def test_opens_a_draft_when_there_is_none(self, studio: Studio) -> None:
        ada = await studio.somebody("owner")
        workflow = await studio.workflow(ada, {})
        assert await read(ada, workflow) is None
        payload = await ada.do("editDraft", workflowId=workflow, write=[file("a.md", "a")])
        assert payload["draft"]["revision"] == 2
        assert await studio.events(ada, workflow) == ["WorkflowCreated", "DraftChanged", "DraftChanged"]
        assert (await read(ada, workflow))["basedOnVersion"] is None

    async def test_opens_it_from_the_latest_version(self, team: Team, studio: Studio) -> None:
        await studio.publish(team.owner, team.workflow)
        await team.owner.do("updateWorkflow", workflowId=team.workflow, name="Renamed", description="Anew")
        await team.editor.do("editDraft", workflowId=team.workflow, delete=["THE_SPEC/plan.md"])
        draft = await read(team.viewer, team.workflow)
        assert draft.pop("id")
        assert draft == {
            "name": "Renamed",
            "description": "Anew",
            "status": "IN_PROGRESS",
            "revision": 2,
            "fileCount": 1,
            "basedOnVersion": {"number": 1},
            "createdBy": {"id": team.editor.user_id},
            "files": [file("definition.json", DEFINITION, type="JSON")],
            "changes": [
                {
                    "path": "THE_SPEC/plan.md",
                    "kind": "DELETED",
                    "additions": 0,
                    "deletions": 5,
                    "unifiedDiff": "--- a/THE_SPEC/plan.md\n+++ /dev/null\n@@ -1,5 +1,0 @@\n"
                    "-one\n-two\n-three\n-four\n-five\n",
                }
            ],
            "definition": {"entryPoint": "lead", "nodes": [{"key": "lead"}, {"key": "writer"}]},
            "diagnostics": [],
        }

    async def test_every_accepted_edit_is_one_revision_though_it_changes_nothing(self, team: Team) -> None:
        for revision in (1, 2):
            payload = await team.editor.do(
                "editDraft",
                "draft { revision }",
                workflowId=team.workflow,
                expectedRevision=revision,
                write=[file("definition.json", DEFINITION)],
            )
            assert payload == {"draft": {"revision": revision + 1}}
        assert (await last_event(team.viewer, team.workflow))["changes"] == []

    @pytest.mark.parametrize(
        ("source", "target", "type_", "expected"),
        [
            ("a.txt", "a.json", None, "JSON"),
            ("a.md", "b/A.YML", None, "YAML"),
            ("a.txt", "a.json", "MARKDOWN", "MARKDOWN"),
            ("a.json", "a.json", None, "JSON"),
        ],
    )
    async def test_a_renamed_file_has_the_type_of_its_new_path_unless_one_was_chosen(
        self, studio: Studio, source: str, target: str, type_: str | None, expected: str
    ) -> None:
        ada = await studio.somebody("owner")
        workflow = (await ada.do("createWorkflow", name="x", files=[{**file(source, "1"), "type": type_}]))["workflow"]
        rename = [{"from": source, "to": target}]
        payload = await ada.do(
            "editDraft", "draft { files { path type } }", workflowId=workflow["id"], expectedRevision=1, rename=rename
        )
        assert payload["draft"]["files"] == [{"path": target, "type": expected}]

    @pytest.mark.parametrize(
        ("edit", "path"),
        [
            ({}, []),
            ({"write": [], "delete": [], "rename": []}, []),
            ({"status": "ABANDONED"}, ["status"]),
            ({"delete": ["nothing.md"]}, ["delete", "0"]),
            ({"delete": ["definition.json", "definition.json"]}, ["delete", "1"]),
            ({"delete": ["\0", "\ud800"]}, ["delete", "0"]),
            ({"rename": [{"from": "nothing.md", "to": "a"}]}, ["rename", "0", "from"]),
            ({"rename": [{"from": "definition.json", "to": "THE_SPEC/plan.md"}]}, ["rename", "0", "to"]),
            ({"rename": [{"from": "definition.json", "to": "../a"}]}, ["rename", "0", "to"]),
            ({"rename": [{"from": "definition.json", "to": "a\0"}]}, ["rename", "0", "to"]),
            ({"rename": [{"from": "definition.json", "to": "e\u0301"}]}, ["rename", "0", "to"]),
            ({"write": [file("a", ""), file("/a", "")]}, ["write", "1", "path"]),
            ({"write": [file("a", ""), file("a", "")]}, ["write", "1", "path"]),
            ({"write": [file("a", "\0")]}, ["write", "0", "content"]),
            ({"write": [file("a", "\ud800")]}, ["write", "0", "content"]),
            ({"status": "IN_PROGRESS", "idempotencyKey": "a" * 256}, ["idempotencyKey"]),
        ],
    )
    async def test_refuses_bad_input(self, team: Team, studio: Studio, edit: dict[str, Any], path: list[str]) -> None:
        before = await studio.fingerprint(team.workflow)
        error = await team.editor.refused("editDraft", workflowId=team.workflow, expectedRevision=1, **edit)
        assert error == {"__typename": "ValidationError", "code": "VALIDATION_FAILED", "path": ["input", *path]}
        assert await studio.fingerprint(team.workflow) == before

    async def test_refuses_every_bad_file_and_names_it(self, team: Team, studio: Studio) -> None:
        before = await studio.fingerprint(team.workflow)
        good = file("good.md", "")
        edits: list[tuple[dict[str, Any], list[str], str]] = [
            *(({"write": [good, file(bad, "")]}, ["write", "1", "path"], bad) for bad in BAD_PATHS.values()),
            *(
                ({"rename": [{"from": "definition.json", "to": bad}]}, ["rename", "0", "to"], bad)
                for bad in BAD_PATHS.values()
            ),
            *(
                ({"write": [good, file("a.md", bad)]}, ["write", "1", "content"], "a.md")
                for bad in BAD_CONTENTS.values()
            ),
        ]
        edits.append(({"write": [file(f"{n}.md", "") for n in range(MAX_FILES - 1)]}, [], f"{MAX_FILES - 2}.md"))
        for edit, path, named in edits:
            payload = await team.editor.send("editDraft", workflowId=team.workflow, expectedRevision=1, **edit)
            (error,) = payload["errors"]
            assert (error["__typename"], error["path"]) == ("ValidationError", ["input", *path])
            assert repr(named) in error["message"]
        assert await studio.fingerprint(team.workflow) == before

    async def test_a_refused_edit_opens_no_draft(self, studio: Studio) -> None:
        ada = await studio.somebody("owner")
        workflow = await studio.workflow(ada, {})
        await ada.refused("editDraft", workflowId=workflow, delete=["nothing"])
        assert await read(ada, workflow) is None

    @pytest.mark.parametrize("expected", [0, 2, -1, 2**31 - 1])
    async def test_refuses_a_revision_that_is_not_the_drafts(self, team: Team, studio: Studio, expected: int) -> None:
        before = await studio.fingerprint(team.workflow)
        error = await team.editor.refused(
            "editDraft", workflowId=team.workflow, expectedRevision=expected, status="IN_PROGRESS"
        )
        assert error == {
            "__typename": "StaleRevisionError",
            "code": "STALE_REVISION",
            "path": ["input", "expectedRevision"],
            "expected": expected,
            "actual": 1,
        }
        assert await studio.fingerprint(team.workflow) == before

    async def test_refuses_no_revision_when_a_draft_is_open(self, team: Team) -> None:
        error = await team.editor.refused("editDraft", workflowId=team.workflow, status="IN_PROGRESS")
        assert (error["code"], error["path"]) == ("VALIDATION_FAILED", ["input", "expectedRevision"])

    async def test_refuses_a_revision_when_no_draft_is_open(self, team: Team, studio: Studio) -> None:
        await studio.publish(team.owner, team.workflow)
        error = await team.editor.refused(
            "editDraft", workflowId=team.workflow, expectedRevision=1, status="IN_PROGRESS"
        )
        assert (error["code"], error["expected"], error["actual"]) == ("STALE_REVISION", 1, 0)

    async def test_the_same_key_edits_once(self, team: Team, studio: Studio) -> None:
        given: dict[str, Any] = {"workflowId": team.workflow, "expectedRevision": 1, "delete": ["THE_SPEC/plan.md"]}
        first = await team.editor.do("editDraft", **given, idempotencyKey=team.workflow)
        before = await studio.fingerprint(team.workflow)
        assert await team.editor.do("editDraft", **given, idempotencyKey=team.workflow) == first
        error = await team.editor.refused("editDraft", **{**given, "delete": ["x"]}, idempotencyKey=team.workflow)
        assert error["code"] == "IDEMPOTENCY_MISMATCH"
        assert await studio.fingerprint(team.workflow) == before

    async def test_five_hundred_files_are_allowed(self, studio: Studio) -> None:
        ada = await studio.somebody("owner")
        workflow = await studio.workflow(ada, {str(n): "same" for n in range(MAX_FILES)})
        payload = await ada.do(
            "editDraft",
            "draft { fileCount }",
            workflowId=workflow,
            expectedRevision=1,
            delete=["0"],
            write=[file("another", "same")],
        )
        assert payload == {"draft": {"fileCount": MAX_FILES}}


class TestDiscardDraft:
    async def test_throws_it_away_and_keeps_it_readable(self, team: Team, studio: Studio) -> None:
        draft = await read(team.viewer, team.workflow)
        payload = await team.editor.do("discardDraft", workflowId=team.workflow)
        assert payload == {"discardedDraftId": draft["id"], "workflow": {"id": team.workflow, "draft": None}}
        assert (await last_event(team.viewer, team.workflow))["__typename"] == "DraftDiscarded"
        document = "query ($id: ID!) { node(id: $id) { ... on Draft { status revision files { path } } } }"
        assert (await team.viewer(document, id=draft["id"]))["node"] == {
            "status": "ABANDONED",
            "revision": 1,
            "files": [{"path": "THE_SPEC/plan.md"}, {"path": "definition.json"}],
        }
        assert (await studio.actions(team.workflow))[-1] == "draft.discard"
        document = """query ($id: ID!) { workflow(id: $id) { events(first: 9) { nodes {
          ... on DraftDiscarded { draftId } } } } }"""
        assert (await team.viewer(document, id=team.workflow))["workflow"]["events"]["nodes"][-1] == {
            "draftId": draft["id"]
        }

    async def test_supersedes_what_waits_on_it_and_keeps_the_rest(self, team: Team, studio: Studio) -> None:
        waiting = await studio.completed(team.editor, team.workflow, {"new.md": "new\n"})
        running = await studio.refine(team.editor, team.workflow)
        await team.editor.do("discardDraft", workflowId=team.workflow)
        document = "query ($id: ID!) { proposal(id: $id) { status decision { by { id } } generatedFiles { path } } }"
        shown = (await team.viewer(document, id=waiting))["proposal"]
        assert (shown["status"], shown["decision"]) == ("SUPERSEDED", {"by": {"id": team.editor.user_id}})
        assert "new.md" in [file["path"] for file in shown["generatedFiles"]]
        assert (await team.viewer(document, id=running))["proposal"]["status"] == "PENDING"

    async def test_refuses_when_none_is_open(self, team: Team, studio: Studio) -> None:
        await team.editor.do("discardDraft", workflowId=team.workflow)
        before = await studio.fingerprint(team.workflow)
        error = await team.editor.refused("discardDraft", workflowId=team.workflow)
        assert error == {"__typename": "NotFoundError", "code": "NOT_FOUND", "path": ["input", "workflowId"]}
        assert await studio.fingerprint(team.workflow) == before


class TestDraft:
    async def test_finds_files_by_path_and_prefix(self, team: Team) -> None:
        document = """query ($id: ID!, $path: String!, $prefix: String) { workflow(id: $id) { draft {
          file(path: $path) { path } files(prefix: $prefix) { path } } } }"""
        for path, prefix, found, listed in (
            ("THE_SPEC/plan.md", "THE_SPEC/", True, ["THE_SPEC/plan.md"]),
            ("the_spec/plan.md", "", False, ["THE_SPEC/plan.md", "definition.json"]),
            ("\0", "\ud800", False, []),
            ("", None, False, ["THE_SPEC/plan.md", "definition.json"]),
        ):
            data = await team.viewer(document, id=team.workflow, path=path, prefix=prefix)
            draft = data["workflow"]["draft"]
            assert draft["file"] == ({"path": path} if found else None)
            assert [each["path"] for each in draft["files"]] == listed

    @pytest.mark.parametrize(
        ("definition", "expected"),
        [
            (None, [{"severity": "WARNING", "code": "NO_DEFINITION", "path": None}]),
            ("{", [{"severity": "ERROR", "code": "INVALID_JSON", "path": "definition.json"}]),
        ],
    )
    async def test_tells_what_is_wrong_with_its_definition(
        self, studio: Studio, definition: str | None, expected: list[dict[str, Any]]
    ) -> None:
        ada = await studio.somebody("owner")
        files = {"a.md": "a"} if definition is None else {"definition.json": definition}
        draft = await read(ada, await studio.workflow(ada, files))
        assert draft["definition"] is None
        assert [each["severity"] for each in draft["diagnostics"]] == [each["severity"] for each in expected]
        assert [each["code"] for each in draft["diagnostics"]] == [each["code"] for each in expected]
