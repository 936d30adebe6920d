"""Proposals: asking an agent for changes, and deciding against what it made. Approval is in `approval.py`."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

from sqlmodel import col, func, select

from graphql_api.authoring import access, drafts, filesets, journal
from graphql_api.authoring.errors import proposal_transition
from graphql_api.authoring.idempotency import Repeatable
from graphql_api.authoring.journal import Entry
from graphql_api.authoring.models import AccessRole, Draft, Proposal, ProposalStatus, Workflow
from graphql_api.context import Context
from graphql_api.events.records import NewEvent
from graphql_api.kit.columns import now
from graphql_api.kit.conflicts import tried_again
from graphql_api.kit.database import Session
from graphql_api.kit.errors import Invalid, QuotaExceeded
from graphql_api.kit.texts import checked_text
from graphql_api.runtimes import executions

MAX_PROMPT_LENGTH = 100_000
MAX_SELECTION_LENGTH = 100_000
MAX_COMMENT_LENGTH = 10_000


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What an agent is asked for."""

    prompt: str
    context_file_path: str | None
    context_selection: str | None
    retry_of_id: UUID | None = None


RUNNING = (ProposalStatus.PENDING, ProposalStatus.PROCESSING)
"""An agent works on it, or will."""

TRANSITIONS = {
    ProposalStatus.PENDING: (
        ProposalStatus.PROCESSING,
        ProposalStatus.FAILED,
        ProposalStatus.CANCELLED,
        ProposalStatus.REJECTED,
    ),
    ProposalStatus.PROCESSING: (
        ProposalStatus.COMPLETED,
        ProposalStatus.FAILED,
        ProposalStatus.CANCELLED,
        ProposalStatus.REJECTED,
    ),
    ProposalStatus.COMPLETED: (
        ProposalStatus.APPROVED,
        ProposalStatus.REJECTED,
        ProposalStatus.SUPERSEDED,
        ProposalStatus.EXPIRED,
    ),
    ProposalStatus.FAILED: (ProposalStatus.REJECTED, ProposalStatus.EXPIRED),
}
"""Where a proposal can go from a status; from the others, nowhere."""


@tried_again
async def refine(
    context: Context,
    *,
    workflow_id: UUID | None,
    prompt: str,
    context_file_path: str | None,
    context_selection: str | None,
    idempotency_key: str | None,
) -> Proposal:
    """Order an agent to change the draft; returns at once, whether or not the runtime answers.

    The proposal, the order to run it and its first event are one transaction. A draft is opened when there is none.

    Raises:
        NotFound, Forbidden, Locked, Invalid: See `access.hold`; it takes an editor.
        QuotaExceeded: When the caller has as many running as they may.
        RuntimeUnavailable: When the runtime's circuit is open.
        IdempotencyMismatch: When the key was used for another input.
    """
    arguments = {
        "workflow": str(workflow_id),
        "prompt": prompt,
        "path": context_file_path,
        "selection": context_selection,
    }
    repeatable = Repeatable(context.actor, idempotency_key, "refineWorkflow", arguments)
    wanted = _Wanted(
        prompt=checked_text(prompt, path=["input", "prompt"], minimum=1, maximum=MAX_PROMPT_LENGTH),
        context_file_path=context_file_path,
        context_selection=_checked_selection(context_selection),
    )
    unavailable = await context.engines.circuit.refusal()
    async with context.database.transaction() as session:
        earlier = await repeatable.first_result(session)
        if earlier is not None:
            first = await session.get_one(Proposal, earlier)
            await access.check_seen(session, context.actor, first.workflow_id)
            return first
        if unavailable is not None:
            raise unavailable
        workflow = await access.hold(session, context.actor, workflow_id, AccessRole.EDITOR)
        proposal = await _order(session, context, workflow, wanted, action="proposal.refine")
        await repeatable.keep(session, proposal.id)
    return proposal


@tried_again
async def retry(context: Context, *, proposal_id: UUID | None, prompt: str | None) -> Proposal:
    """Ask again what an ended proposal asked, of the draft as it is now.

    Raises:
        NotFound, Forbidden, Locked, Invalid: See `access.hold_proposal`; it takes an editor.
        InvalidTransition: When the proposal has not ended.
        QuotaExceeded: When the caller has as many running as they may.
        RuntimeUnavailable: When the runtime's circuit is open.
    """
    unavailable = await context.engines.circuit.refusal()
    if unavailable is not None:
        raise unavailable
    async with context.database.transaction() as session:
        workflow, earlier = await access.hold_proposal(session, context.actor, proposal_id, AccessRole.EDITOR)
        if earlier.status in RUNNING:
            raise proposal_transition(
                earlier.status,
                ProposalStatus.PENDING,
                TRANSITIONS[earlier.status],
                "This proposal is still being worked on. Wait for its end, or cancel it first.",
            )
        wanted = _Wanted(
            prompt=earlier.prompt
            if prompt is None
            else checked_text(prompt, path=["input", "prompt"], minimum=1, maximum=MAX_PROMPT_LENGTH),
            context_file_path=earlier.context_file_path,
            context_selection=earlier.context_selection,
            retry_of_id=earlier.id,
        )
        return await _order(session, context, workflow, wanted, action="proposal.retry")


@tried_again
async def cancel(context: Context, *, proposal_id: UUID | None, reason: str | None) -> Proposal:
    """Stop a proposal that is being worked on, upstream too where the runtime can.

    Raises:
        NotFound, Forbidden, Locked, Invalid: See `access.hold_proposal`; it takes an editor.
        InvalidTransition: When it has ended.
    """
    comment = _checked_comment(reason, ["input", "reason"])
    async with context.database.transaction() as session:
        workflow, proposal = await access.hold_proposal(session, context.actor, proposal_id, AccessRole.EDITOR)
        await move(session, context, workflow, proposal, ProposalStatus.CANCELLED, comment=comment)
    return proposal


@tried_again
async def reject(context: Context, *, proposal_id: UUID | None, comment: str | None) -> Proposal:
    """Decide against a proposal; one that is being worked on is stopped.

    Raises:
        NotFound, Forbidden, Locked, Invalid: See `access.hold_proposal`; it takes an editor.
        InvalidTransition: When it has a decision already.
    """
    checked = _checked_comment(comment, ["input", "comment"])
    async with context.database.transaction() as session:
        workflow, proposal = await access.hold_proposal(session, context.actor, proposal_id, AccessRole.EDITOR)
        await move(session, context, workflow, proposal, ProposalStatus.REJECTED, comment=checked)
    return proposal


async def cancel_running(session: Session, context: Context, workflow: Workflow) -> None:
    """Stop what agents work on for a workflow that is not there any more."""
    running = (
        select(Proposal)
        .where(Proposal.workflow_id == workflow.id, col(Proposal.status).in_(RUNNING))
        .order_by(col(Proposal.id))
        .with_for_update()
    )
    for proposal in (await session.exec(running)).all():
        await move(session, context, workflow, proposal, ProposalStatus.CANCELLED)


async def supersede_waiting(session: Session, context: Context, workflow: Workflow, draft: Draft) -> None:
    """Close the proposals that wait for a decision on a draft that is not there any more."""
    waiting = (
        select(Proposal)
        .where(Proposal.draft_id == draft.id, col(Proposal.status) == ProposalStatus.COMPLETED)
        .order_by(col(Proposal.id))
        .with_for_update()
    )
    for proposal in (await session.exec(waiting)).all():
        await move(session, context, workflow, proposal, ProposalStatus.SUPERSEDED)


async def move(
    session: Session,
    context: Context,
    workflow: Workflow,
    proposal: Proposal,
    status: ProposalStatus,
    *,
    comment: str | None = None,
    draft_revision: int | None = None,
    applied_paths: Sequence[str] = (),
) -> None:
    """Write a final decision: status, event, audit entry, and the order to forget the thread.

    Raises:
        InvalidTransition: When the proposal can't go there.
    """
    before = proposal.status
    allowed = TRANSITIONS.get(before, ())
    if status not in allowed:
        raise proposal_transition(
            before, status, allowed, f"A proposal that is {before.value} can't become {status.value}."
        )
    proposal.status = status
    proposal.decided_by_id = context.actor.user_id
    proposal.decided_at = now()
    proposal.decision_comment = comment
    proposal.decision_draft_revision = draft_revision
    proposal.applied_paths = list(applied_paths)
    proposal.completed_at = proposal.completed_at or proposal.decided_at
    session.add(proposal)
    await session.flush()
    await executions.stop(session, context.log, proposal.id)
    if before in RUNNING:
        payload = {"by_id": str(context.actor.user_id), "reason": comment}
        await context.log.append(session, proposal.id, [NewEvent("ProposalCancelled", payload, is_terminal=True)])
    entry = Entry(
        context,
        f"proposal.{status.value.lower()}",
        ("Proposal", proposal.id),
        {"from": before.value, "paths": list(applied_paths)},
    )
    by = context.actor.user_id
    await journal.tell_status(session, context.log, workflow, proposal, before=before, by=by, entry=entry)


async def _order(session: Session, context: Context, workflow: Workflow, wanted: _Wanted, *, action: str) -> Proposal:
    """Store a proposal with the order to run it."""
    await _check_quota(session, context)
    draft = await drafts.opened(session, workflow.id) or await drafts.open_from_latest(session, context, workflow)
    files = (await filesets.of_draft(session, draft.id)).entries
    if wanted.context_file_path is not None and wanted.context_file_path not in files:
        argument = "contextFilePath" if wanted.retry_of_id is None else "proposalId"
        raise Invalid(f"The draft has no file {wanted.context_file_path!r}.", path=["input", argument])
    request = {
        "prompt": wanted.prompt,
        "context_file_path": wanted.context_file_path,
        "context_selection": wanted.context_selection,
    }
    proposal = Proposal(
        id=uuid4(),
        workflow_id=workflow.id,
        draft_id=draft.id,
        base_revision=draft.revision,
        created_by_id=context.actor.user_id,
        retry_of_id=wanted.retry_of_id,
        prompt=wanted.prompt,
        context_file_path=wanted.context_file_path,
        context_selection=wanted.context_selection,
    )
    await context.log.open(session, proposal.id)
    await executions.order(session, context.log, proposal.id, request, list(files.values()))
    session.add(proposal)
    await session.flush()
    await context.log.append(session, proposal.id, [NewEvent("ProposalQueued", {})])
    entry, by = Entry(context, action, ("Proposal", proposal.id)), context.actor.user_id
    await journal.tell_status(session, context.log, workflow, proposal, before=None, by=by, entry=entry)
    return proposal


async def _check_quota(session: Session, context: Context) -> None:
    """Count what the caller has running, one call at a time, so that two at once can't both be the last allowed."""
    user_id, limit = context.actor.user_id, context.engines.limits.concurrent_refinements
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"quota {user_id}", 0))))
    query = select(func.count()).where(Proposal.created_by_id == user_id, col(Proposal.status).in_(RUNNING))
    if (await session.exec(query)).one() >= limit:
        raise QuotaExceeded(
            f"You have {limit} refinements running, as many as are allowed. Wait for one to end, or cancel one.",
            limit=limit,
            path=["input"],
        )


def _checked_comment(comment: str | None, path: Sequence[str]) -> str | None:
    return None if comment is None else checked_text(comment, path=path, maximum=MAX_COMMENT_LENGTH)


def _checked_selection(selection: str | None) -> str | None:
    if selection is None:
        return None
    return checked_text(selection, path=["input", "contextSelection"], maximum=MAX_SELECTION_LENGTH)
