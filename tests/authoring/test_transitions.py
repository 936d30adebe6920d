"""Where a proposal can go from each of its states, and that it goes nowhere else."""

from datetime import timedelta

import pytest
from support.api import key
from support.proposals import FAILURE, execution, read_proposal
from support.studio import Studio, Team

from graphql_api.authoring.expiry import expire_undecided
from graphql_api.authoring.models import ProposalStatus

pytestmark = pytest.mark.anyio

MOVES = {
    "PENDING": ["PROCESSING", "FAILED", "CANCELLED", "REJECTED"],
    "PROCESSING": ["COMPLETED", "FAILED", "CANCELLED", "REJECTED"],
    "COMPLETED": ["APPROVED", "REJECTED", "SUPERSEDED", "EXPIRED"],
    "FAILED": ["REJECTED", "EXPIRED"],
}
"""What the contract allows; the other states are final."""

STATES = [status.value for status in ProposalStatus]
FINAL = [state for state in STATES if state not in MOVES]
DECISIONS = {"approveProposal": "APPROVED", "rejectProposal": "REJECTED", "cancelProposal": "CANCELLED"}


async def in_state(team: Team, studio: Studio, state: str) -> str:
    """Make a proposal and bring it to a state."""
    proposal = await studio.refine(team.editor, team.workflow)
    if state != "PENDING":
        await studio.start(proposal)
    if state == "FAILED":
        await studio.end(proposal, FAILURE)
    elif state not in {"PENDING", "PROCESSING", "CANCELLED"}:
        await studio.change(proposal, {"new.md": "new\n"})
        await studio.end(proposal)
    if state == "SUPERSEDED":
        await team.editor.do("discardDraft", workflowId=team.workflow)
    elif state == "EXPIRED":
        await expire(studio, proposal)
    for name, decision in DECISIONS.items():
        if decision == state:
            await team.editor.do(name, proposalId=proposal)
    return proposal


async def expire(studio: Studio, proposal: str) -> int:
    """Let a proposal's time pass; tell how many have expired."""
    await studio.run(
        "UPDATE proposals SET completed_at = completed_at - interval '25 hours' WHERE id = :p",
        p=key(proposal, "Proposal"),
    )
    return await expire_undecided(studio.database, studio.log, lifetime=timedelta(hours=24))


class TestDecisions:
    @pytest.mark.parametrize("state", STATES)
    async def test_what_is_not_allowed_is_refused_and_changes_nothing(
        self, team: Team, studio: Studio, state: str
    ) -> None:
        proposal = await in_state(team, studio, state)
        before = await studio.fingerprint(team.workflow)
        for name, target in DECISIONS.items():
            if target not in MOVES.get(state, []):
                assert await team.owner.refused(name, proposalId=proposal) == {
                    "__typename": "InvalidTransitionError",
                    "code": "INVALID_TRANSITION",
                    "path": ["input", "proposalId"],
                    "from": state,
                    "to": target,
                    "allowed": MOVES.get(state, []),
                }
        assert await studio.fingerprint(team.workflow) == before

    @pytest.mark.parametrize(
        ("state", "name"),
        [(state, name) for state, targets in MOVES.items() for name, target in DECISIONS.items() if target in targets],
    )
    async def test_what_is_allowed_is_done(self, team: Team, studio: Studio, state: str, name: str) -> None:
        proposal = await in_state(team, studio, state)
        payload = await team.owner.do(name, "proposal { status }", proposalId=proposal)
        assert payload == {"proposal": {"status": DECISIONS[name]}}


class TestTime:
    @pytest.mark.parametrize("state", STATES)
    async def test_what_ended_without_a_decision_expires_and_nothing_else(
        self, team: Team, studio: Studio, state: str
    ) -> None:
        proposal = await in_state(team, studio, state)
        expires = "EXPIRED" in MOVES.get(state, [])
        assert await expire(studio, proposal) == expires
        assert (await read_proposal(team.viewer, proposal))["status"] == ("EXPIRED" if expires else state)


class TestFinal:
    @pytest.mark.parametrize("state", FINAL)
    async def test_the_thread_is_to_be_forgotten_and_everything_stays_readable(
        self, team: Team, studio: Studio, state: str
    ) -> None:
        proposal = await in_state(team, studio, state)
        assert (await execution(studio, proposal))[0] == "TO_FORGET"
        found = await read_proposal(team.viewer, proposal)
        assert found["status"] == state
        is_stopped = state == "CANCELLED"
        assert [node["__typename"] for node in found["events"]["nodes"]] == [
            "ProposalQueued",
            "ProposalStarted",
            *(["ProposalCancelled"] if is_stopped else ["FilesChanged", "ProposalCompleted"]),
        ]
        files = {file["path"] for file in found["generatedFiles"]}
        assert files == {"THE_SPEC/plan.md", "definition.json"} | (set() if is_stopped else {"new.md"})
        assert [change["path"] for change in found["changes"]] == ([] if is_stopped else ["new.md"])

    async def test_what_completes_on_a_draft_that_is_gone_is_forgotten_too(self, team: Team, studio: Studio) -> None:
        proposal = await in_state(team, studio, "PROCESSING")
        await team.owner.do("publishDraft", workflowId=team.workflow)
        await studio.end(proposal)
        assert (await read_proposal(team.viewer, proposal))["status"] == "SUPERSEDED"
        assert (await execution(studio, proposal))[0] == "TO_FORGET"
