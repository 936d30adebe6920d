import asyncio
from datetime import timedelta

import pytest
from support.api import key
from support.databases import another
from support.studio import Studio, Team

from graphql_api.authoring.expiry import expire_undecided

pytestmark = pytest.mark.anyio

LIFETIME = timedelta(hours=24)

LOOK = """query($id: ID!) { proposal(id: $id) {
    status decision { by { name } comment draftRevision } mergePreview { status }
    workflow { auditLog(first: 1) { nodes { action actor { name } details } } } } }"""


async def expire(studio: Studio) -> int:
    return await expire_undecided(studio.database, studio.log, lifetime=LIFETIME)


async def age(studio: Studio, proposal: str, hours: int) -> None:
    """Have a proposal ended that many hours earlier."""
    await studio.run(
        f"UPDATE proposals SET completed_at = completed_at - interval '{hours} hours' WHERE id = :id",
        id=key(proposal, "Proposal"),
    )


class TestExpireUndecided:
    async def test_a_proposal_that_nobody_decided_about_in_time_expires(self, studio: Studio, team: Team) -> None:
        proposal = await studio.completed(team.editor, team.workflow, {"new.md": "new\n"})
        await age(studio, proposal, 25)

        assert await expire(studio) == 1

        shown = (await team.viewer(LOOK, id=proposal))["proposal"]
        assert shown["status"] == "EXPIRED"
        assert shown["decision"] == {"by": None, "comment": None, "draftRevision": None}
        assert shown["mergePreview"] is None
        entry = {"action": "proposal.expire", "actor": None, "details": {"from": "COMPLETED"}}
        assert shown["workflow"]["auditLog"]["nodes"] == [entry]
        last = await studio.rows(
            "SELECT type, payload FROM events WHERE subject_id = :w ORDER BY sequence DESC LIMIT 1",
            w=key(team.workflow, "Workflow"),
        )
        assert last[0][0] == "ProposalStatusChanged"
        assert (last[0][1]["before"], last[0][1]["after"], last[0][1]["actor_id"]) == ("COMPLETED", "EXPIRED", None)

    async def test_its_thread_is_to_be_forgotten(self, studio: Studio, team: Team) -> None:
        proposal = await studio.completed(team.editor, team.workflow, {"new.md": "new\n"})
        await age(studio, proposal, 25)

        await expire(studio)

        states = await studio.rows("SELECT state FROM executions WHERE id = :id", id=key(proposal, "Proposal"))
        assert states[0][0] == "TO_FORGET"

    async def test_a_proposal_that_still_has_time_stays(self, studio: Studio, team: Team) -> None:
        proposal = await studio.completed(team.editor, team.workflow, {"new.md": "new\n"})
        await age(studio, proposal, 23)

        assert await expire(studio) == 0
        assert (await team.viewer(LOOK, id=proposal))["proposal"]["status"] == "COMPLETED"

    async def test_a_proposal_that_is_decided_or_still_running_stays(self, studio: Studio, team: Team) -> None:
        rejected = await studio.completed(team.editor, team.workflow, {"new.md": "new\n"})
        await age(studio, rejected, 25)
        await team.editor.do("rejectProposal", proposalId=rejected)
        pending = await studio.refine(team.editor, team.workflow)

        assert await expire(studio) == 0
        assert (await team.viewer(LOOK, id=rejected))["proposal"]["status"] == "REJECTED"
        assert (await team.viewer(LOOK, id=pending))["proposal"]["status"] == "PENDING"

    async def test_two_workers_at_once_expire_each_proposal_once(self, studio: Studio, team: Team) -> None:
        for number in range(5):
            await age(studio, await studio.completed(team.editor, team.workflow, {"new.md": f"{number}\n"}), 25)

        async with another(studio.database) as second:
            counts = await asyncio.gather(
                *(expire_undecided(database, studio.log, lifetime=LIFETIME) for database in (studio.database, second))
            )

        assert sum(counts) == 5
        events = await studio.rows(
            "SELECT count(*) FROM events WHERE subject_id = :w AND payload ->> 'after' = 'EXPIRED'",
            w=key(team.workflow, "Workflow"),
        )
        assert events[0][0] == 5


class TestRuntime:
    async def test_tells_how_the_runtime_is(self, studio: Studio, team: Team) -> None:
        status = (await team.viewer("{ runtime { name healthy circuit retryAt activeThreads } }"))["runtime"]

        threads = status.pop("activeThreads")
        assert status == {"name": "embedded-rules", "healthy": True, "circuit": "CLOSED", "retryAt": None}
        running = await studio.rows("SELECT count(*) FROM executions WHERE state = 'RUNNING'")
        assert threads == running[0][0]
