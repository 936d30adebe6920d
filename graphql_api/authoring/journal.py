"""The record of a workflow: its events for those who watch, its audit entries for those who ask later."""

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from sqlmodel import col, func

from graphql_api.authoring.models import AuditEntry, Proposal, ProposalStatus, Workflow
from graphql_api.context import Context
from graphql_api.events.log import EventLog
from graphql_api.events.records import NewEvent
from graphql_api.kit import metrics
from graphql_api.kit.clearing import clear
from graphql_api.kit.columns import now
from graphql_api.kit.database import Database, Session
from graphql_api.kit.ids import to_global_id

SHORTEST_AUDIT = timedelta(days=30)
"""What every policy keeps: a trigger refuses to delete anything younger, whoever asks."""

_MOVES = metrics.counter("proposal_moves", "Proposals that came to a status.", ["status"])
_REFINEMENT_SECONDS = metrics.histogram(
    "refinement_duration_seconds",
    "From the order to the end of the agent's work, by the status that it ended in.",
    ["status"],
    buckets=metrics.SLOW,
)


async def tell(
    session: Session, log: EventLog, workflow: Workflow, type_: str, *, by: UUID | None, **payload: object
) -> None:
    """Append a workflow event in the change's own transaction, and move the workflow's `updated_at`."""
    workflow.updated_at = now()
    session.add(workflow)
    await session.flush()
    await log.append(session, workflow.id, [NewEvent(type_, {"actor_id": str(by) if by else None, **payload})])


async def tell_status(
    session: Session,
    log: EventLog,
    workflow: Workflow,
    proposal: Proposal,
    *,
    before: ProposalStatus | None,
    by: UUID | None,
) -> None:
    """Append the workflow event of a proposal's move to the status that it has now; it counts once committed."""
    session.after_commit.append(partial(_count, proposal, before, proposal.status))
    await tell(
        session,
        log,
        workflow,
        "ProposalStatusChanged",
        by=by,
        proposal_id=str(proposal.id),
        before=before.value if before else None,
        after=proposal.status.value,
    )


def _count(proposal: Proposal, before: ProposalStatus | None, after: ProposalStatus) -> None:
    _MOVES.labels(after.value.lower()).inc()
    has_run = before in {ProposalStatus.PENDING, ProposalStatus.PROCESSING} and after is not ProposalStatus.PROCESSING
    if has_run and proposal.completed_at is not None:
        seconds = (proposal.completed_at - proposal.created_at).total_seconds()
        _REFINEMENT_SECONDS.labels(after.value.lower()).observe(seconds)


def audit(
    session: Session,
    context: Context,
    workflow_id: UUID,
    action: str,
    *,
    subject: tuple[str, UUID],
    details: Mapping[str, Any] | None = None,
) -> None:
    """Add the audit entry of a change, in its own transaction.

    Args:
        session: The transaction.
        context: Who acts, and in which request.
        workflow_id: Where.
        action: What was done, such as `draft.edit`.
        subject: Type and key of what it was done to.
        details: What else is worth knowing; JSON values, no contents and no secrets.
    """
    session.add(
        AuditEntry(
            workflow_id=workflow_id,
            actor_id=context.actor.user_id,
            action=action,
            subject=to_global_id(*subject),
            details=dict(details or {}),
            request_id=context.request_id,
        )
    )


async def prune_audit(database: Database, *, lifetime: timedelta) -> int:
    """Delete the audit entries that have outlived the policy, by the one way that the database leaves open.

    Args:
        database: Where they are.
        lifetime: How long each is kept; the database keeps it for 30 days at least.

    Returns:
        How many there were.
    """
    lifetime = max(lifetime, SHORTEST_AUDIT)
    settings = {"orchestrator.audit_lifetime": f"{lifetime.total_seconds()} seconds"}
    return await clear(database, AuditEntry, col(AuditEntry.at) < func.now() - lifetime, settings=settings)
