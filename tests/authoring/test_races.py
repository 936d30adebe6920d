"""What happens when several people do things at the same moment, each on a connection of their own."""

import asyncio
from collections import Counter
from collections.abc import Awaitable
from typing import Any

import pytest
from sqlalchemy import text
from support.api import key
from support.studio import Studio, Team
from support.waiting import until

pytestmark = pytest.mark.anyio

Payload = dict[str, Any]


def outcome(payload: Payload) -> str:
    """Give the code of a payload's error, or OK."""
    return str(payload["errors"][0]["code"]) if payload["errors"] else "OK"


async def race(*calls: Awaitable[Payload]) -> Counter[str]:
    """Make calls at once; a deadlock or any other break of ours would be a top-level error, which fails the test."""
    return Counter(outcome(payload) for payload in await asyncio.gather(*calls))


async def check_log(studio: Studio, team: Team) -> list[str]:
    """Check that logs have no hole; give the types of the workflow's events."""
    rows = await studio.rows(
        "SELECT l.last_sequence, count(e.*), coalesce(max(e.sequence), 0), count(*) FILTER (WHERE e.is_terminal) "
        "FROM event_logs l LEFT JOIN events e USING (subject_id) WHERE l.subject_id = :w OR l.subject_id IN "
        "(SELECT id FROM proposals WHERE workflow_id = :w) GROUP BY l.subject_id, l.last_sequence",
        w=key(team.workflow, "Workflow"),
    )
    assert all(last == count == greatest and terminal <= 1 for last, count, greatest, terminal in rows)
    return await studio.events(team.viewer, team.workflow)


KEYED = {
    "createWorkflow": "workflow.create",
    "editDraft": "draft.edit",
    "refineWorkflow": "proposal.refine",
    "publishDraft": "draft.publish",
    "approveProposal": "proposal.approved",
}
"""What takes an idempotency key, and what its audit entry says."""

OTHER_INPUT = {
    "createWorkflow": {"description": "y"},
    "editDraft": {"status": "IN_PROGRESS"},
    "refineWorkflow": {"contextSelection": "y"},
    "publishDraft": {"notes": "y"},
    "approveProposal": {"comment": "y"},
}


async def keyed_input(name: str, team: Team, studio: Studio) -> dict[str, Any]:
    """Make an input that works."""
    match name:
        case "createWorkflow":
            return {"name": "Another"}
        case "editDraft":
            return {"workflowId": team.workflow, "expectedRevision": 1, "delete": ["THE_SPEC/plan.md"]}
        case "approveProposal":
            return {"proposalId": await studio.completed(team.editor, team.workflow, {"new.md": "new"})}
        case "refineWorkflow":
            return {"workflowId": team.workflow, "prompt": "x"}
    return {"workflowId": team.workflow}


async def wait(studio: Studio, count: int) -> bool:
    """Tell whether so many transactions wait for a lock."""
    ((waiting,),) = await studio.rows(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    return bool(waiting == count)


class TestRaces:
    async def test_of_twenty_edits_of_one_revision_one_wins(self, team: Team, studio: Studio) -> None:
        before = len(await studio.events(team.viewer, team.workflow))

        def edit(number: int) -> Awaitable[Payload]:
            return (team.owner if number % 2 else team.editor).send(
                "editDraft",
                workflowId=team.workflow,
                expectedRevision=1,
                write=[{"path": f"{number}.md", "content": str(number)}, {"path": "same.md", "content": "same"}],
            )

        assert await race(*(edit(number) for number in range(20))) == {"OK": 1, "STALE_REVISION": 19}
        assert await studio.revision(team.workflow) == 2
        assert (await check_log(studio, team))[before:] == ["DraftChanged"]

    async def test_edits_that_are_repeated_until_they_succeed_are_all_there(self, team: Team, studio: Studio) -> None:
        async def edit(number: int) -> None:
            while True:
                payload = await team.editor.send(
                    "editDraft",
                    workflowId=team.workflow,
                    expectedRevision=await studio.revision(team.workflow),
                    write=[{"path": f"{number}.md", "content": str(number)}],
                )
                if outcome(payload) == "OK":
                    return

        await asyncio.gather(*(edit(number) for number in range(6)))
        document = "query ($id: ID!) { workflow(id: $id) { draft { revision files { path } } } }"
        draft = (await team.viewer(document, id=team.workflow))["workflow"]["draft"]
        assert draft["revision"] == 7
        assert {f"{number}.md" for number in range(6)} <= {file["path"] for file in draft["files"]}
        await check_log(studio, team)

    async def test_of_two_edits_that_open_a_draft_one_opens_it(self, team: Team, studio: Studio) -> None:
        await studio.publish(team.owner, team.workflow)

        def edit(number: int) -> Awaitable[Payload]:
            return team.editor.send(
                "editDraft", workflowId=team.workflow, write=[{"path": f"{number}.md", "content": "x"}]
            )

        assert await race(*(edit(number) for number in range(5))) == {"OK": 1, "VALIDATION_FAILED": 4}
        assert await studio.revision(team.workflow) == 2

    async def test_edits_of_many_workflows_with_the_same_contents_do_not_deadlock(self, studio: Studio) -> None:
        ada = await studio.somebody("owner")
        paths = [f"{number}.md" for number in range(20)]
        workflows = [await studio.workflow(ada, {}) for _ in range(8)]

        def edit(number: int, workflow: str) -> Awaitable[Payload]:
            ordered = paths if number % 2 else paths[::-1]
            write = [{"path": path, "content": f"{workflows[0]} {path}"} for path in ordered]
            return ada.send("editDraft", workflowId=workflow, write=write)

        assert await race(*(edit(number, workflow) for number, workflow in enumerate(workflows))) == {"OK": 8}

    async def test_of_several_approvals_one_wins(self, team: Team, studio: Studio) -> None:
        proposal = await studio.completed(team.editor, team.workflow, {"new.md": "new"})
        calls = (api.send("approveProposal", proposalId=proposal) for api in (team.owner, team.editor, team.admin) * 2)
        assert await race(*calls) == {"OK": 1, "INVALID_TRANSITION": 5}
        assert await studio.revision(team.workflow) == 2
        await check_log(studio, team)

    async def test_approvals_of_several_proposals_lose_nothing(self, team: Team, studio: Studio) -> None:
        proposals = [await studio.completed(team.editor, team.workflow, {f"{n}.md": str(n)}) for n in range(5)]
        calls = (team.editor.send("approveProposal", proposalId=proposal) for proposal in proposals)
        assert await race(*calls) == {"OK": 5}
        assert await studio.revision(team.workflow) == 6
        document = "query ($id: ID!) { workflow(id: $id) { draft { files { path content } } } }"
        files = (await team.viewer(document, id=team.workflow))["workflow"]["draft"]["files"]
        assert [file for file in files if file["content"].isdigit()] == [
            {"path": f"{number}.md", "content": str(number)} for number in range(5)
        ]
        await check_log(studio, team)

    @pytest.mark.parametrize("first", ["approveProposal", "rejectProposal"])
    async def test_approval_or_rejection_one_wins(self, team: Team, studio: Studio, first: str) -> None:
        proposal = await studio.completed(team.editor, team.workflow, {"new.md": "new"})
        names = sorted(["approveProposal", "rejectProposal"], key=lambda name: name != first)
        calls = [api.send(name, proposalId=proposal) for api in (team.owner, team.editor) for name in names]
        assert await race(*calls) == {"OK": 1, "INVALID_TRANSITION": 3}
        status, revision = (
            await studio.rows(
                "SELECT p.status, d.revision FROM proposals p JOIN drafts d ON d.id = p.draft_id WHERE p.id = :p",
                p=key(proposal, "Proposal"),
            )
        )[0]
        assert (status, revision) in {("APPROVED", 2), ("REJECTED", 1)}
        await check_log(studio, team)

    async def test_cancelling_and_completing_end_a_log_once(self, team: Team, studio: Studio) -> None:
        proposal = await studio.refine(team.editor, team.workflow)
        await studio.start(proposal)
        await studio.change(proposal, {"new.md": "new"})
        ended, payload = await asyncio.gather(
            studio.end(proposal), team.editor.send("cancelProposal", proposalId=proposal), return_exceptions=True
        )
        assert not isinstance(payload, BaseException)
        assert (outcome(payload) == "OK") == isinstance(ended, Exception)
        await check_log(studio, team)

    async def test_publishing_and_editing_lose_nothing(self, team: Team, studio: Studio) -> None:
        edit = team.editor.send(
            "editDraft",
            workflowId=team.workflow,
            expectedRevision=1,
            write=[{"path": "late.md", "content": "late"}],
        )
        outcomes = await asyncio.gather(edit, team.owner.send("publishDraft", workflowId=team.workflow))
        edited, published = (outcome(payload) for payload in outcomes)
        assert published == "OK"
        document = 'query ($id: ID!) { workflow(id: $id) { version(number: 1) { file(path: "late.md") { path } } } }'
        has_file = (await team.viewer(document, id=team.workflow))["workflow"]["version"]["file"] is not None
        assert (edited, has_file) in {("OK", True), ("STALE_REVISION", False)}

    async def test_publishing_and_approving_lose_nothing(self, team: Team, studio: Studio) -> None:
        proposal = await studio.completed(team.editor, team.workflow, {"new.md": "new"})
        approved, published = await asyncio.gather(
            team.editor.send("approveProposal", proposalId=proposal),
            team.owner.send("publishDraft", workflowId=team.workflow),
        )
        document = 'query ($id: ID!) { workflow(id: $id) { version(number: 1) { file(path: "new.md") { path } } } }'
        has_file = (await team.viewer(document, id=team.workflow))["workflow"]["version"]["file"] is not None
        assert outcome(published) == "OK"
        assert (outcome(approved), has_file) in {("OK", True), ("INVALID_TRANSITION", False)}
        await check_log(studio, team)

    async def test_a_draft_is_published_once(self, team: Team, studio: Studio) -> None:
        calls = (team.editor.send("publishDraft", workflowId=team.workflow) for _ in range(6))
        assert await race(*calls) == {"OK": 1, "NOT_FOUND": 5}
        document = "query ($id: ID!) { workflow(id: $id) { versions { nodes { number } } } }"
        assert (await team.viewer(document, id=team.workflow))["workflow"]["versions"]["nodes"] == [{"number": 1}]
        await check_log(studio, team)

    async def test_deployments_come_one_after_the_other(self, team: Team, studio: Studio) -> None:
        for number in (1, 2, 3):
            await studio.edit(team.editor, team.workflow, {"n.md": str(number)})
            await studio.publish(team.editor, team.workflow)
        calls = (team.owner.send("deployVersion", workflowId=team.workflow, number=n) for n in (1, 2, 3) * 3)
        assert await race(*calls) == {"OK": 9}
        document = """query ($id: ID!) { workflow(id: $id) { productionVersion { number } events(first: 100) { nodes {
          ... on VersionDeployed { version { number } previous { number } } } } } }"""
        found = (await team.viewer(document, id=team.workflow))["workflow"]
        moves = [event for event in found["events"]["nodes"] if event]
        assert [move["previous"] for move in moves] == [None, *(move["version"] for move in moves[:-1])]
        assert moves[-1]["version"] == found["productionVersion"]
        await check_log(studio, team)

    async def test_deploying_or_deprecating_one_wins(self, team: Team, studio: Studio) -> None:
        await studio.publish(team.editor, team.workflow)
        deployed = team.owner.send("deployVersion", workflowId=team.workflow, number=1)
        deprecated = team.admin.send("deprecateVersion", workflowId=team.workflow, number=1)
        assert await race(deployed, deprecated) == {"OK": 1, "INVALID_TRANSITION": 1}

    async def test_a_lock_has_one_holder(self, team: Team, studio: Studio) -> None:
        calls = (api.send("lockWorkflow", workflowId=team.workflow) for api in (team.owner, team.editor, team.admin))
        assert await race(*calls) == {"OK": 1, "LOCKED": 2}
        assert (await check_log(studio, team)).count("WorkflowLockChanged") == 1

    async def test_an_edit_and_a_lock_of_somebody_else_do_not_overlap(self, team: Team, studio: Studio) -> None:
        edit = team.editor.send("editDraft", workflowId=team.workflow, expectedRevision=1, delete=["THE_SPEC/plan.md"])
        edited, locked = await asyncio.gather(edit, team.owner.send("lockWorkflow", workflowId=team.workflow))
        assert outcome(locked) == "OK"
        events = await check_log(studio, team)
        if outcome(edited) == "OK":
            assert events[-2:] == ["DraftChanged", "WorkflowLockChanged"]
        else:
            assert (outcome(edited), events[-1]) == ("LOCKED", "WorkflowLockChanged")

    async def test_a_workflow_keeps_an_owner(self, team: Team, studio: Studio) -> None:
        await studio.join(team.workflow, team.owner, team.editor, "OWNER")
        calls = (
            api.send("setWorkflowMember", workflowId=team.workflow, email=api.user.email, role=None)
            for api in (team.owner, team.editor)
        )
        assert await race(*calls) == {"OK": 1, "VALIDATION_FAILED": 1}

    async def test_a_quota_holds_at_its_edge(self, studio: Studio) -> None:
        ada = studio.limited(await studio.person(), refinements=3)
        workflows = [await studio.workflow(ada) for _ in range(5)]
        calls = (ada.send("refineWorkflow", workflowId=workflow, prompt="x") for workflow in workflows * 2)
        assert await race(*calls) == {"OK": 3, "QUOTA_EXCEEDED": 7}

    @pytest.mark.parametrize("name", KEYED)
    async def test_a_key_that_comes_several_times_at_once_works_once(
        self, team: Team, studio: Studio, name: str
    ) -> None:
        given = {**await keyed_input(name, team, studio), "idempotencyKey": f"once {name} {team.workflow}"}
        payloads = await asyncio.gather(*(team.editor.send(name, **given) for _ in range(5)))
        assert all(payload == payloads[0] for payload in payloads)
        assert outcome(payloads[0]) == "OK"
        workflow = payloads[0]["workflow"]["id"] if name == "createWorkflow" else team.workflow
        assert (await studio.actions(workflow)).count(KEYED[name]) == 1
        await check_log(studio, team)

    @pytest.mark.parametrize("name", KEYED)
    async def test_a_key_with_two_inputs_at_once_works_for_one(self, team: Team, studio: Studio, name: str) -> None:
        given = {**await keyed_input(name, team, studio), "idempotencyKey": f"two {name} {team.workflow}"}
        inputs = [given, {**given, **OTHER_INPUT[name]}] * 3
        assert await race(*(team.editor.send(name, **each) for each in inputs)) == {"OK": 3, "IDEMPOTENCY_MISMATCH": 3}

    async def test_of_calls_with_one_key_of_which_one_loses_a_deadlock_one_works(
        self, team: Team, studio: Studio
    ) -> None:
        """The edit waits at a gate while another takes what it needs next and waits for what it has."""
        given = {**await keyed_input("editDraft", team, studio), "idempotencyKey": f"deadlock {team.workflow}"}
        workflow = key(team.workflow, "Workflow")
        async with studio.database.transaction() as other:
            await other.execute(text("SET LOCAL deadlock_timeout = '1h'"))  # so that the edit is the one who loses
            await other.execute(text("SELECT FROM event_logs WHERE subject_id = :w FOR UPDATE"), {"w": workflow})
            async with studio.database.transaction() as gate:
                await gate.execute(text("SELECT FROM drafts WHERE workflow_id = :w FOR UPDATE"), {"w": workflow})
                edits = asyncio.gather(*(team.editor.send("editDraft", **given) for _ in range(3)))
                await until(lambda: wait(studio, 3))
                locking = other.execute(text("SELECT FROM workflows WHERE id = :w FOR UPDATE"), {"w": workflow})
                locked = asyncio.create_task(locking)
                await until(lambda: wait(studio, 4))
            await locked  # the edit has given it back: it lost
        payloads = await edits
        assert all(payload == payloads[0] for payload in payloads)
        assert outcome(payloads[0]) == "OK"
        assert await studio.revision(team.workflow) == 2
        assert (await studio.actions(team.workflow)).count("draft.edit") == 1
        assert (await check_log(studio, team)).count("DraftChanged") == 2  # with the one that made the draft

    async def test_deleting_and_everything_else_at_once(self, team: Team, studio: Studio) -> None:
        proposal = await studio.completed(team.editor, team.workflow, {"new.md": "new"})
        outcomes = await race(
            team.owner.send("deleteWorkflow", workflowId=team.workflow),
            team.editor.send("approveProposal", "__typename", proposalId=proposal),
            team.editor.send("refineWorkflow", "__typename", workflowId=team.workflow, prompt="x"),
            team.admin.send("publishDraft", "__typename", workflowId=team.workflow),
        )
        assert set(outcomes) <= {"OK", "NOT_FOUND", "INVALID_TRANSITION"}
        statuses = await studio.rows(
            "SELECT status FROM proposals WHERE workflow_id = :w", w=key(team.workflow, "Workflow")
        )
        assert not {status for (status,) in statuses} & {"PENDING", "PROCESSING"}


class TestReadingWhileOthersChange:
    async def test_the_head_of_a_log_is_of_the_same_moment_as_what_is_shown(self, studio: Studio) -> None:
        owner = await studio.person()
        workflow = await studio.workflow(owner, {})
        read = "query ($id: ID!) { workflow(id: $id) { name eventHead } }"
        shown: list[tuple[str, str]] = []
        is_over = asyncio.Event()

        async def look() -> None:
            while not is_over.is_set():
                found = (await owner(read, id=workflow))["workflow"]
                shown.append((found["name"], found["eventHead"]))

        readers = [asyncio.create_task(look()) for _ in range(4)]
        for number in range(40):
            await owner.do("updateWorkflow", workflowId=workflow, name=f"Number {number}")
        is_over.set()
        await asyncio.gather(*readers)
        heads: dict[str, set[str]] = {}
        for name, head in shown:
            heads.setdefault(name, set()).add(head)
        assert len(heads) > 5
        assert [name for name, seen in heads.items() if len(seen) > 1] == []
        assert len({head for seen in heads.values() for head in seen}) == len(heads)
