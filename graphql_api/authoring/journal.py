"""The record of a workflow: its events for those who watch, its audit entries for those who ask later."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import orjson
from sqlalchemy.orm.attributes import set_committed_value
from sqlmodel import col, func

from graphql_api.authoring.models import AuditEntry, Proposal, ProposalStatus, Workflow
from graphql_api.context import Context
from graphql_api.events.log import Companion, EventLog
from graphql_api.events.records import NewEvent
from graphql_api.kit import metrics
from graphql_api.kit.clearing import clear
from graphql_api.kit.columns import now
from graphql_api.kit.database import Database
from graphql_api.kit.ids import to_global_id
from graphql_api.kit.statements import Statement, Transaction

SHORTEST_AUDIT = timedelta(days=30)
"""What every policy keeps: a trigger refuses to delete anything younger, whoever asks."""

_RECORD = """
    INSERT INTO audit_entries (id, workflow_id, at, actor_id, action, subject, details, request_id)
    SELECT :entry::uuid, :subject::uuid, :moment::timestamptz, :actor::uuid, :action, :object, :details::text::jsonb,
           :request
"""
_AUDIT = Statement(_RECORD)
WRITES = (
    "moved AS (UPDATE workflows SET updated_at = :moment WHERE id = :subject AND EXISTS (SELECT FROM head))",
    f"recorded AS ({_RECORD} FROM head WHERE :entry::uuid IS NOT NULL)",
)
"""Write what `tell` writes beside the event, in the statement that appends it."""

_TOLD = Companion(*WRITES)

_MOVES = metrics.counter("proposal_moves", "Proposals that came to a status.", ["status"])
_REFINEMENT_SECONDS = metrics.histogram(
    "refinement_duration_seconds",
    "From the order to the end of the agent's work, by the status that it ended in.",
    ["status"],
    buckets=metrics.SLOW,
)


@dataclass(frozen=True, slots=True)
class Entry:
    """An audit entry.

    Args:
        context: Who acts, and in which request.
        action: What was done, such as `draft.edit`.
        subject: Type and key of what it was done to.
        details: What else is worth knowing; JSON values, no contents and no secrets.
    """

    context: Context
    action: str
    subject: tuple[str, UUID]
    details: Mapping[str, Any] = field(default_factory=dict)

    def arguments(self) -> dict[str, object]:
        """Give what `WRITES` write of it."""
        return {
            "entry": uuid4(),
            "actor": self.context.actor.user_id,
            "action": self.action,
            "object": to_global_id(*self.subject),
            "details": orjson.dumps(self.details).decode(),
            "request": self.context.request_id,
        }


_NO_ENTRY = dict.fromkeys(("entry", "actor", "action", "object", "details", "request"))


async def tell(
    transaction: Transaction,
    log: EventLog,
    workflow: Workflow,
    type_: str,
    *,
    by: UUID | None,
    entry: Entry | None = None,
    along: tuple[Companion, Mapping[str, object]] = (_TOLD, {}),
    **payload: object,
) -> None:
    """Append a workflow event in the change's own transaction, and move the workflow's `updated_at`.

    Args:
        transaction: The transaction.
        log: The event log.
        workflow: Whose event.
        type_: Of the event.
        by: Who caused it; None when nobody did.
        entry: The audit entry of the change.
        along: `WRITES` with what else is written in the same statement, and the arguments of that.
        **payload: The event's own fields.
    """
    moment = now()
    event = NewEvent(type_, {"actor_id": str(by) if by else None, **payload})
    companion, more = along
    recorded = _NO_ENTRY if entry is None else entry.arguments()
    values = {"moment": moment, **recorded, **more}
    await log.append(transaction, workflow.id, [event], companion=companion, values=values)
    if isinstance(workflow, Workflow):  # and not a row
        set_committed_value(workflow, "updated_at", moment)


async def tell_status(
    transaction: Transaction,
    log: EventLog,
    workflow: Workflow,
    proposal: Proposal,
    *,
    before: ProposalStatus | None,
    by: UUID | None,
    entry: Entry | None = None,
) -> None:
    """Append the workflow event of a proposal's move to the status that it has now; it counts once committed."""
    transaction.after_commit.append(partial(_count, proposal, before, proposal.status))
    await tell(
        transaction,
        log,
        workflow,
        "ProposalStatusChanged",
        by=by,
        entry=entry,
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


async def audit(transaction: Transaction, workflow_id: UUID, entry: Entry) -> None:
    """Add an audit entry of what is no event."""
    await transaction.fetch(_AUDIT, subject=workflow_id, moment=now(), **entry.arguments())


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
