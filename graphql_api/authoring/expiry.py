"""Expiry: a proposal that nobody decided about in time is closed."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlmodel import col, select

from graphql_api.authoring import journal
from graphql_api.authoring.models import AuditEntry, Proposal, ProposalStatus, Workflow
from graphql_api.events.log import EventLog
from graphql_api.kit.columns import now
from graphql_api.kit.database import Database
from graphql_api.kit.ids import to_global_id
from graphql_api.runtimes import executions

BATCH = 100
"""Proposals that are closed in one round."""

UNDECIDED = (ProposalStatus.COMPLETED, ProposalStatus.FAILED)


async def expire_undecided(database: Database, log: EventLog, *, lifetime: timedelta) -> int:
    """Close the proposals that ended longer ago than their lifetime, and have their threads forgotten.

    Any number of workers may call it at once: each proposal is closed by one of them.

    Args:
        database: Where proposals are.
        log: Where their workflows' events go.
        lifetime: How long a proposal waits for a decision after it ended.

    Returns:
        How many were closed.
    """
    limit = now() - lifetime
    due = (
        select(Proposal.id)
        .where(col(Proposal.status).in_(UNDECIDED), col(Proposal.completed_at) < limit)
        .order_by(col(Proposal.completed_at))
        .limit(BATCH)
    )
    async with database.transaction() as session:
        ids = (await session.exec(due)).all()
    closed = [await _expire(database, log, proposal_id, limit) for proposal_id in ids]
    return sum(closed)


async def _expire(database: Database, log: EventLog, proposal_id: UUID, limit: datetime) -> bool:
    async with database.transaction() as session:
        seen = await session.get_one(Proposal, proposal_id)
        workflow = await session.get_one(Workflow, seen.workflow_id, with_for_update={"key_share": True})
        proposal = await session.get_one(Proposal, proposal_id, with_for_update=True, populate_existing=True)
        before = proposal.status
        if before not in UNDECIDED or proposal.completed_at is None or proposal.completed_at >= limit:
            return False
        proposal.status = ProposalStatus.EXPIRED
        proposal.decided_at = now()
        session.add(proposal)
        await session.flush()
        await executions.stop(session, log, proposal.id)
        await journal.tell_status(session, log, workflow, proposal, before=before, by=None)
        session.add(
            AuditEntry(
                workflow_id=workflow.id,
                action="proposal.expire",
                subject=to_global_id("Proposal", proposal.id),
                details={"from": before.value},
            )
        )
    return True
