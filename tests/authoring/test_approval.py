from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.api import Api, key
from support.files import BAD_CONTENTS
from support.studio import FILES, Studio, Team

pytestmark = pytest.mark.anyio

PLAN = "THE_SPEC/plan.md"
BASE = FILES[PLAN]
OURS = "ONE\ntwo\nthree\nfour\nfive\n"
THEIRS = "one\ntwo\nthree\nfour\nFIVE\n"
BOTH = "ONE\ntwo\nthree\nfour\nFIVE\n"
AGAINST_OURS = "uno\ntwo\nthree\nfour\nfive\n"

READ = """query ($id: ID!) { proposal(id: $id) { status
  mergePreview { status draftRevision digest
    changes { path kind additions deletions before { content } after { content digest size } unifiedDiff }
    conflicts { path base { content } ours { content } theirs { content } merged } }
  decision { by { id } comment draftRevision appliedPaths } draft { revision files { path content } }
} }"""


async def read(api: Api, proposal: str) -> dict[str, Any]:
    found: dict[str, Any] = (await api(READ, id=proposal))["proposal"]
    return found


def contents(draft: dict[str, Any]) -> dict[str, str]:
    return {file["path"]: file["content"] for file in draft["files"]}


class TestApproveProposal:
    async def test_fast_forward_takes_the_proposals_files(self, team: Team, studio: Studio) -> None:
        proposal = await studio.completed(team.editor, team.workflow, {PLAN: THEIRS, "new.md": "new\n"})
        before = len(await studio.events(team.viewer, team.workflow))
        preview = (await read(team.viewer, proposal))["mergePreview"]
        assert (preview["status"], preview["draftRevision"], preview["conflicts"]) == ("FAST_FORWARD", 1, [])
        payload = await team.owner.do(
            "approveProposal",
            proposalId=proposal,
            expectedMergeDigest=preview["digest"],
            comment=" Good. ",
            idempotencyKey=proposal,
        )
        assert payload["proposal"] == {"id": proposal, "status": "APPROVED"}
        assert payload["draft"]["revision"] == 2
        assert contents(payload["draft"]) == {**FILES, PLAN: THEIRS, "new.md": "new\n"}
        found = await read(team.viewer, proposal)
        assert found["mergePreview"] is None
        assert found["decision"] == {
            "by": {"id": team.owner.user_id},
            "comment": "Good.",
            "draftRevision": 2,
            "appliedPaths": [PLAN, "new.md"],
        }
        assert await studio.events(team.viewer, team.workflow, before) == ["DraftChanged", "ProposalStatusChanged"]
        document = "query ($id: ID!) { workflow(id: $id) { auditLog(first: 1) { nodes { action details subject } } } }"
        assert (await team.viewer(document, id=team.workflow))["workflow"]["auditLog"]["nodes"] == [
            {
                "action": "proposal.approved",
                "details": {"from": "COMPLETED", "paths": [PLAN, "new.md"]},
                "subject": proposal,
            }
        ]
        ((state,),) = await studio.rows("SELECT state FROM executions WHERE id = :p", p=key(proposal, "Proposal"))
        assert state == "TO_FORGET"

    async def test_merges_what_both_changed(self, team: Team, studio: Studio) -> None:
        proposal = await studio.completed(team.editor, team.workflow, {PLAN: THEIRS})
        await studio.edit(team.owner, team.workflow, {PLAN: OURS, "ours.md": "ours\n"})
        preview = (await read(team.viewer, proposal))["mergePreview"]
        change = preview["changes"][0]
        assert (preview["status"], preview["draftRevision"]) == ("CLEAN", 2)
        assert [change["path"] for change in preview["changes"]] == [PLAN]
        assert (change["before"]["content"], change["after"]["content"]) == (OURS, BOTH)
        assert change["unifiedDiff"].endswith("-five\n+FIVE\n")
        payload = await team.editor.do("approveProposal", proposalId=proposal, expectedMergeDigest=preview["digest"])
        assert payload["draft"]["revision"] == 3
        assert contents(payload["draft"]) == {**FILES, PLAN: BOTH, "ours.md": "ours\n"}

    async def test_a_conflict_changes_nothing_and_shows_itself(self, team: Team, studio: Studio) -> None:
        proposal = await studio.completed(team.editor, team.workflow, {PLAN: AGAINST_OURS, "new.md": "new\n"})
        await studio.edit(team.owner, team.workflow, {PLAN: OURS})
        before = await studio.fingerprint(team.workflow)
        error = await team.editor.refused("approveProposal", proposalId=proposal)
        shown = error.pop("preview")
        assert error == {
            "__typename": "MergeConflictError",
            "code": "MERGE_CONFLICT",
            "path": ["input", "resolutions"],
        }
        rest = "two\nthree\nfour\nfive\n"
        assert shown["conflicts"] == [
            {
                "path": PLAN,
                "base": {"content": BASE},
                "ours": {"content": OURS},
                "theirs": {"content": AGAINST_OURS},
                "merged": "<<<<<<< draft\nONE\n||||||| base\none\n=======\nuno\n>>>>>>> proposal\n" + rest,
            }
        ]
        assert [(change["path"], change["after"]) for change in shown["changes"]] == [("new.md", {"content": "new\n"})]
        preview = (await read(team.viewer, proposal))["mergePreview"]
        assert (shown["status"], shown["digest"], shown["draftRevision"]) == ("CONFLICTED", preview["digest"], 2)
        assert await studio.fingerprint(team.workflow) == before

    @pytest.mark.parametrize(
        ("resolution", "expected"),
        [({"side": "OURS"}, OURS), ({"side": "THEIRS"}, AGAINST_OURS), ({"content": "mine\n"}, "mine\n")],
    )
    async def test_resolutions_settle_conflicts(
        self, team: Team, studio: Studio, resolution: dict[str, str], expected: str
    ) -> None:
        proposal = await studio.completed(team.editor, team.workflow, {PLAN: AGAINST_OURS, "new.md": "new\n"})
        await studio.edit(team.owner, team.workflow, {PLAN: OURS})
        payload = await team.editor.do(
            "approveProposal", proposalId=proposal, resolutions=[{"path": PLAN, **resolution}]
        )
        assert contents(payload["draft"]) == {**FILES, PLAN: expected, "new.md": "new\n"}
        applied = (await read(team.viewer, proposal))["decision"]["appliedPaths"]
        assert applied == (["new.md"] if expected == OURS else [PLAN, "new.md"])

    async def test_a_deletion_against_a_change_is_a_conflict(self, team: Team, studio: Studio) -> None:
        proposal = await studio.completed(team.editor, team.workflow, {PLAN: None})
        await studio.edit(team.owner, team.workflow, {PLAN: OURS})
        error = await team.editor.refused("approveProposal", proposalId=proposal)
        assert error["preview"]["conflicts"] == [
            {"path": PLAN, "base": {"content": BASE}, "ours": {"content": OURS}, "theirs": None, "merged": None}
        ]
        resolutions = [{"path": PLAN, "side": "THEIRS"}]
        payload = await team.editor.do("approveProposal", proposalId=proposal, resolutions=resolutions)
        assert PLAN not in contents(payload["draft"])

    async def test_takes_only_some_files(self, team: Team, studio: Studio) -> None:
        files = {PLAN: THEIRS, "a.md": "a\n", "b.md": "b\n"}
        proposal = await studio.completed(team.editor, team.workflow, files)
        payload = await team.editor.do("approveProposal", proposalId=proposal, paths=["b.md", PLAN])
        assert contents(payload["draft"]) == {**FILES, PLAN: THEIRS, "b.md": "b\n"}
        assert (await read(team.viewer, proposal))["decision"]["appliedPaths"] == [PLAN, "b.md"]

    @pytest.mark.parametrize(
        ("arguments", "path"),
        [
            ({"paths": [PLAN, "nothing.md"]}, ["paths", "1"]),
            ({"paths": ["definition.json"]}, ["paths", "0"]),
            ({"paths": ["\0"]}, ["paths", "0"]),
            ({"paths": ["\ud800"]}, ["paths", "0"]),
            ({"resolutions": [{"path": "new.md", "side": "OURS"}]}, ["resolutions", "0", "path"]),
            ({"resolutions": [{"path": PLAN, "side": "OURS"}] * 2}, ["resolutions", "1", "path"]),
            ({"resolutions": [{"path": PLAN}]}, ["resolutions", "0"]),
            ({"resolutions": [{"path": PLAN, "side": "OURS", "content": "x"}]}, ["resolutions", "0"]),
            ({"idempotencyKey": "a" * 256}, ["idempotencyKey"]),
        ],
    )
    async def test_refuses_bad_input(
        self, team: Team, studio: Studio, arguments: dict[str, Any], path: list[str]
    ) -> None:
        proposal = await studio.completed(team.editor, team.workflow, {PLAN: AGAINST_OURS, "new.md": "new\n"})
        await studio.edit(team.owner, team.workflow, {PLAN: OURS})
        before = await studio.fingerprint(team.workflow)
        error = await team.editor.refused("approveProposal", proposalId=proposal, **arguments)
        assert error == {"__typename": "ValidationError", "code": "VALIDATION_FAILED", "path": ["input", *path]}
        assert await studio.fingerprint(team.workflow) == before

    @pytest.mark.parametrize("content", BAD_CONTENTS.values(), ids=BAD_CONTENTS)
    async def test_a_bad_content_of_a_resolution_names_its_file(self, team: Team, studio: Studio, content: str) -> None:
        proposal = await studio.completed(team.editor, team.workflow, {PLAN: AGAINST_OURS})
        await studio.edit(team.owner, team.workflow, {PLAN: OURS})
        resolutions = [{"path": PLAN, "content": content}]
        payload = await team.editor.send("approveProposal", proposalId=proposal, resolutions=resolutions)
        (error,) = payload["errors"]
        assert (error["__typename"], error["path"]) == ("ValidationError", ["input", "resolutions", "0", "content"])
        assert error["message"].startswith(f'"{PLAN}": A file ')

    async def test_refuses_a_digest_of_another_merge(self, team: Team, studio: Studio) -> None:
        proposal = await studio.completed(team.editor, team.workflow, {PLAN: THEIRS})
        digest = (await read(team.viewer, proposal))["mergePreview"]["digest"]
        await studio.edit(team.owner, team.workflow, {"ours.md": "ours\n"})
        before = await studio.fingerprint(team.workflow)
        for other in (digest, "", "x", "\0"):
            error = await team.editor.refused("approveProposal", proposalId=proposal, expectedMergeDigest=other)
            assert error == {
                "__typename": "StaleRevisionError",
                "code": "STALE_REVISION",
                "path": ["input", "expectedMergeDigest"],
                "expected": 1,
                "actual": 2,
            }
        assert await studio.fingerprint(team.workflow) == before
        # A draft whose files are what they were merges as it did, whatever its revision.
        await studio.edit(team.owner, team.workflow, {"ours.md": None})
        await team.editor.do("approveProposal", proposalId=proposal, expectedMergeDigest=digest)

    async def test_refuses_one_whose_draft_was_discarded(self, team: Team, studio: Studio) -> None:
        proposal = await studio.completed(team.editor, team.workflow, {PLAN: THEIRS})
        await team.editor.do("discardDraft", workflowId=team.workflow)
        before = await studio.fingerprint(team.workflow)
        error = await team.editor.refused("approveProposal", proposalId=proposal)
        assert (error["code"], error["from"], error["allowed"]) == ("INVALID_TRANSITION", "SUPERSEDED", [])
        assert (await read(team.viewer, proposal))["mergePreview"] is None
        assert await studio.fingerprint(team.workflow) == before

    async def test_the_same_key_approves_once(self, team: Team, studio: Studio) -> None:
        proposal = await studio.completed(team.editor, team.workflow, {PLAN: THEIRS, "new.md": "new\n"})
        call: dict[str, Any] = {"proposalId": proposal, "paths": [PLAN], "idempotencyKey": proposal}
        first = await team.editor.do("approveProposal", **call)
        before = await studio.fingerprint(team.workflow)
        assert await team.editor.do("approveProposal", **call) == first
        for other in ({"paths": None}, {"comment": "x"}, {"expectedMergeDigest": "x"}):
            error = await team.editor.refused("approveProposal", **{**call, **other})
            assert error["code"] == "IDEMPOTENCY_MISMATCH"
        assert await studio.fingerprint(team.workflow) == before

    async def test_refuses_what_would_be_too_many_files(self, team: Team, studio: Studio) -> None:
        proposal = await studio.completed(team.editor, team.workflow, {"a.md": "a", "b.md": "b", "c.md": "c"})
        await studio.edit(team.owner, team.workflow, {f"{number}.md": "" for number in range(497)})
        before = await studio.fingerprint(team.workflow)
        payload = await team.editor.send("approveProposal", proposalId=proposal)
        (error,) = payload["errors"]
        assert (error["__typename"], error["path"]) == ("ValidationError", ["input"])
        assert error["message"] == "A draft has at most 500 files; this would make 502: 'b.md' is one too many."
        assert await studio.fingerprint(team.workflow) == before
        await team.editor.do("approveProposal", proposalId=proposal, paths=["a.md"])

    async def test_two_proposals_on_one_base_are_merged_one_after_the_other(self, team: Team, studio: Studio) -> None:
        first = await studio.completed(team.editor, team.workflow, {PLAN: OURS})
        second = await studio.completed(team.editor, team.workflow, {PLAN: THEIRS})
        await team.editor.do("approveProposal", proposalId=first)
        payload = await team.editor.do("approveProposal", proposalId=second)
        assert contents(payload["draft"])[PLAN] == BOTH
        assert payload["draft"]["revision"] == 3


LINES = st.lists(st.sampled_from(["a\n", "b\n", "c\n", "d\n"]), max_size=6).map("".join)
SETS = st.dictionaries(st.sampled_from(["1.md", "2.md", "3.md"]), LINES, max_size=3)


def difference(before: dict[str, str], after: dict[str, str]) -> dict[str, str | None]:
    """Tell what to write and delete (None) to come from one set of files to the other."""
    return {
        path: after.get(path) for path in sorted(before.keys() | after.keys()) if before.get(path) != after.get(path)
    }


class TestMergePreview:
    @given(base=SETS, ours=SETS, theirs=SETS)
    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    async def test_shows_what_approval_does(
        self, studio: Studio, base: dict[str, str], ours: dict[str, str], theirs: dict[str, str]
    ) -> None:
        ada = await studio.somebody("owner")
        workflow = await studio.workflow(ada, {**base, "kept.md": "kept\n"})
        proposal = await studio.completed(ada, workflow, difference(base, theirs))
        if base != ours:
            await studio.edit(ada, workflow, difference(base, ours))
        found = await read(ada, proposal)
        preview, before = found["mergePreview"], contents(found["draft"])
        sides = [{"path": conflict["path"], "side": "OURS"} for conflict in preview["conflicts"]]
        payload = await ada.do(
            "approveProposal", proposalId=proposal, resolutions=sides, expectedMergeDigest=preview["digest"]
        )
        expected = {change["path"]: change["after"] and change["after"]["content"] for change in preview["changes"]}
        assert difference(before, contents(payload["draft"])) == expected
        assert (await read(ada, proposal))["decision"]["appliedPaths"] == sorted(expected)
