import pytest
from support.proposals import FAILURE, execution, read_proposal, types
from support.studio import Studio, Team

from graphql_api.events.log import AppendRefused
from graphql_api.events.records import NewEvent
from graphql_api.runtimes.executions import Failure, LeaseLost

pytestmark = pytest.mark.anyio


class TestStopping:
    """Cancelling and rejecting what is running."""

    @pytest.mark.parametrize("is_started", [False, True])
    @pytest.mark.parametrize(
        ("name", "argument", "status"),
        [("cancelProposal", "reason", "CANCELLED"), ("rejectProposal", "comment", "REJECTED")],
    )
    async def test_ends_the_log_and_stops_the_execution(
        self, team: Team, studio: Studio, *, is_started: bool, name: str, argument: str, status: str
    ) -> None:
        proposal = await studio.refine(team.editor, team.workflow)
        if is_started:
            await studio.start(proposal)
        before = len(await studio.events(team.viewer, team.workflow))
        _, epoch = await execution(studio, proposal)
        payload = await team.owner.do(name, proposalId=proposal, **{argument: " No. "})
        assert payload == {"proposal": {"id": proposal, "status": status}}
        found = await read_proposal(team.viewer, proposal)
        assert found["events"]["nodes"][-1] == {
            "__typename": "ProposalCancelled",
            "cursor": found["eventHead"],
            "sequence": 3 if is_started else 2,
            "reason": "No.",
            "by": {"id": team.owner.user_id},
        }
        assert found["completedAt"] == found["decision"].pop("at")
        assert found["decision"] == {
            "by": {"id": team.owner.user_id},
            "comment": "No.",
            "draftRevision": None,
            "appliedPaths": [],
        }
        assert await studio.events(team.viewer, team.workflow, before) == ["ProposalStatusChanged"]
        assert (await studio.actions(team.workflow))[-1] == f"proposal.{status.lower()}"
        assert await execution(studio, proposal) == ("TO_FORGET", epoch + 1)
        if is_started:
            before_late = await studio.fingerprint(team.workflow)
            for late in (
                studio.tell(proposal, NewEvent("ProposalProgressed", {"message": "late"})),
                studio.change(proposal, {"late.md": "late\n"}),
                studio.end(proposal),
            ):
                with pytest.raises((AppendRefused, LeaseLost)):
                    await late
            assert await studio.fingerprint(team.workflow) == before_late
        for again in ("cancelProposal", "rejectProposal"):
            error = await team.owner.refused(again, proposalId=proposal)
            assert (error["code"], error["from"], error["allowed"]) == ("INVALID_TRANSITION", status, [])
        assert (await types(team.viewer, proposal)).count("ProposalCancelled") == 1

    @pytest.mark.parametrize("failure", [None, FAILURE])
    async def test_rejecting_what_has_ended_adds_no_second_end(
        self, team: Team, studio: Studio, failure: Failure | None
    ) -> None:
        proposal = await studio.refine(team.editor, team.workflow)
        await studio.start(proposal)
        await studio.end(proposal, failure)
        events = await types(team.viewer, proposal)
        await team.editor.do("rejectProposal", proposalId=proposal, comment="No.")
        assert await types(team.viewer, proposal) == events
        assert (await read_proposal(team.viewer, proposal))["status"] == "REJECTED"
        assert (await execution(studio, proposal))[0] == "TO_FORGET"

    @pytest.mark.parametrize("text", ["\0", "\ud800", "a" * 10_001])
    async def test_refuses_bad_comments(self, team: Team, studio: Studio, text: str) -> None:
        proposal = await studio.refine(team.editor, team.workflow)
        before = await studio.fingerprint(team.workflow)
        for name, argument in (
            ("cancelProposal", "reason"),
            ("rejectProposal", "comment"),
            ("approveProposal", "comment"),
        ):
            error = await team.editor.refused(name, proposalId=proposal, **{argument: text})
            assert error == {"__typename": "ValidationError", "code": "VALIDATION_FAILED", "path": ["input", argument]}
        assert await studio.fingerprint(team.workflow) == before

    async def test_what_was_not_started_does_not_start_after_its_end(self, team: Team, studio: Studio) -> None:
        proposal = await studio.refine(team.editor, team.workflow)
        await studio.start(proposal)
        before = await studio.fingerprint(team.workflow)
        with pytest.raises(LeaseLost):
            await studio.restart(proposal)
        assert await studio.fingerprint(team.workflow) == before
