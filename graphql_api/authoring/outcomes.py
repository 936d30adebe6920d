"""What becomes of a proposal when its execution starts and ends: status and events in one transaction."""

from graphql_api.authoring import journal
from graphql_api.authoring.models import Draft, Proposal, ProposalStatus, Workflow
from graphql_api.events.log import EventLog
from graphql_api.events.records import NewEvent
from graphql_api.kit.columns import now
from graphql_api.kit.database import Session
from graphql_api.runtimes import executions
from graphql_api.runtimes.executions import Claim, LeaseLost, Outcome
from graphql_api.runtimes.protocol import ThreadRef


class ProposalOutcomes:
    """Hears of executions, and writes what they mean for proposals.

    Args:
        log: The event log.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log

    async def started(self, session: Session, claim: Claim, *, thread: ThreadRef, runtime: str) -> None:
        """Record that the runtime accepted the work: PENDING to PROCESSING.

        Raises:
            LeaseLost: When the claim is over.
        """
        workflow, proposal = await self._hold(session, claim)
        await executions.begin(session, claim, thread=thread, runtime=runtime)
        if proposal.status is not ProposalStatus.PENDING:
            raise LeaseLost("The proposal was started already, or decided.")
        proposal.status = ProposalStatus.PROCESSING
        proposal.started_at = now()
        event = NewEvent("ProposalStarted", {"thread_id": thread.thread_id, "runtime": runtime})
        await self._record(session, claim, workflow, proposal, event, before=ProposalStatus.PENDING)

    async def ended(self, session: Session, claim: Claim, outcome: Outcome) -> None:
        """Record how it ended: COMPLETED or FAILED, and SUPERSEDED when the draft is not open any more.

        Raises:
            LeaseLost: When the claim is over.
        """
        workflow, proposal = await self._hold(session, claim)
        await executions.end(session, claim)
        before = proposal.status
        proposal.completed_at = now()
        proposal.impact_analysis = outcome.summary
        if outcome.failure is None:
            proposal.status = ProposalStatus.COMPLETED
            event = NewEvent("ProposalCompleted", {}, is_terminal=True)
        else:
            failure = outcome.failure
            proposal.status = ProposalStatus.FAILED
            proposal.failure_code = failure.code
            proposal.failure_message = failure.message
            proposal.failure_is_retryable = failure.is_retryable
            payload = {"code": failure.code.value, "message": failure.message, "retryable": failure.is_retryable}
            event = NewEvent("ProposalFailed", {"failure": payload}, is_terminal=True)
        await self._record(session, claim, workflow, proposal, event, before=before)
        await self._supersede_if_late(session, workflow, proposal)

    async def _record(
        self,
        session: Session,
        claim: Claim,
        workflow: Workflow,
        proposal: Proposal,
        event: NewEvent,
        *,
        before: ProposalStatus,
    ) -> None:
        session.add(proposal)
        await session.flush()
        await self._log.append(session, proposal.id, [event], epoch=claim.epoch)
        await journal.tell_status(session, self._log, workflow, proposal, before=before, by=None)

    async def _supersede_if_late(self, session: Session, workflow: Workflow, proposal: Proposal) -> None:
        draft = await session.get_one(Draft, proposal.draft_id)
        if draft.closed_at is None or proposal.status is not ProposalStatus.COMPLETED:
            return
        proposal.status = ProposalStatus.SUPERSEDED
        proposal.decided_at = now()
        session.add(proposal)
        await session.flush()
        await executions.stop(session, self._log, proposal.id)
        await journal.tell_status(session, self._log, workflow, proposal, before=ProposalStatus.COMPLETED, by=None)

    async def _hold(self, session: Session, claim: Claim) -> tuple[Workflow, Proposal]:
        """Take the row locks in the order that everybody takes them in: workflow, proposal, execution, logs."""
        seen = await session.get_one(Proposal, claim.execution_id)
        workflow = await session.get_one(Workflow, seen.workflow_id, with_for_update={"key_share": True})
        proposal = await session.get_one(Proposal, claim.execution_id, with_for_update=True, populate_existing=True)
        return workflow, proposal
