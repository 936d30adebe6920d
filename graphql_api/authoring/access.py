"""Who may see and do what. What is not visible is not found."""

from collections.abc import Collection, Sequence
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Select, alias, bindparam, literal, or_
from sqlmodel import col, select

from graphql_api.authoring.errors import Locked
from graphql_api.authoring.models import AccessRole, Proposal, Workflow, WorkflowMember
from graphql_api.events.log import event_head
from graphql_api.events.watches import Claim
from graphql_api.identity import users
from graphql_api.identity.actor import Actor
from graphql_api.identity.models import User
from graphql_api.identity.sessions import DISABLED
from graphql_api.kit.columns import among, columns_of, names_of, now, select_rows
from graphql_api.kit.database import Database, Session
from graphql_api.kit.errors import DomainError, Forbidden, Invalid, NotFound, Unauthenticated
from graphql_api.kit.statements import Statement, Transaction

RANKS = {AccessRole.VIEWER: 1, AccessRole.EDITOR: 2, AccessRole.OWNER: 3}

_workflow, _member, _user = columns_of(Workflow), columns_of(WorkflowMember), columns_of(User)
_WORKFLOW_PATH = ("input", "workflowId")

_LOCK = Statement(f"SELECT {names_of(Workflow)} FROM workflows WHERE id = :workflow FOR NO KEY UPDATE")  # noqa: S608 - names of columns
_ROLES = Statement("""
    SELECT workflow.id, member.role
    FROM workflows AS workflow
        LEFT JOIN workflow_members AS member ON member.workflow_id = workflow.id AND member.user_id = :user
    WHERE workflow.id = ANY(:workflows::uuid[]) AND workflow.deleted_at IS NULL
""")


@cache
def with_role(*, is_admin: bool) -> Select[Any]:
    """Select the columns of the workflows that somebody may see, their `event_head`, and the `viewer_role` in each.

    Args:
        is_admin: Whether they are an administrator, who sees all; of others, the parameter `user_id` is the key.
    """
    role = literal(AccessRole.OWNER, _member.role.type) if is_admin else _member.role
    query = select_rows(*_workflow, event_head(_workflow.id), role.label("viewer_role")).where(
        _workflow.deleted_at.is_(None)
    )
    if is_admin:
        return query
    return query.where(_member.workflow_id == _workflow.id, _member.user_id == bindparam("user_id"))


@cache
def seen(*, is_admin: bool) -> Select[Any]:
    """Select as `with_role` does, of the workflows whose keys the parameter `ids` has."""
    return with_role(is_admin=is_admin).where(among(_workflow.id))


async def roles_of(transaction: Transaction, actor: Actor, workflow_ids: Collection[UUID]) -> dict[UUID, AccessRole]:
    """Read somebody's roles in workflows; those that they may not see are left out."""
    rows = await transaction.fetch(_ROLES, workflows=list(workflow_ids), user=actor.user_id)
    if actor.is_admin:
        return {row.id: AccessRole.OWNER for row in rows}
    return {row.id: AccessRole(row.role) for row in rows if row.role is not None}


async def lost_access(database: Database, claims: Collection[Claim]) -> dict[Claim, DomainError]:
    """Pick the claims to workflows that do not hold any more, each with the reason."""
    people = {claim.actor.user_id for claim in claims}
    workflows = {claim.scope for claim in claims}
    there = select(Workflow.id).where(col(Workflow.id).in_(workflows), col(Workflow.deleted_at).is_(None))
    members = select(WorkflowMember.user_id, WorkflowMember.workflow_id).where(
        col(WorkflowMember.user_id).in_(people), col(WorkflowMember.workflow_id).in_(workflows)
    )
    async with database.reading() as session:
        admins = await users.able(session, people)
        seen = set((await session.exec(there)).all())
        memberships = set((await session.exec(members)).all())
    lost: dict[Claim, DomainError] = {}
    for claim in claims:
        user, workflow = claim.actor.user_id, claim.scope
        if user not in admins:
            lost[claim] = Unauthenticated(DISABLED)
        elif workflow not in seen or not (admins[user] or (user, workflow) in memberships):
            lost[claim] = Forbidden("You may not see this workflow any more.", subject_id=workflow)
    return lost


@cache
def seen_users(*, is_admin: bool) -> Select[Any]:
    """Select users, of those whose keys the parameter `ids` has, whom somebody may see.

    Args:
        is_admin: Whether they are an administrator, who sees all; others, of whom the parameter `user_id` is the key,
            see themselves and whom they share a workflow with.
    """
    if is_admin:
        return users.USERS
    workflows = with_role(is_admin=False).with_only_columns(_workflow.id)
    other = alias(_member.user_id.table, "other").c
    shared = select_rows(other.user_id).where(among(other.user_id), other.workflow_id.in_(workflows))
    return users.USERS.where(or_(_user.id == bindparam("user_id"), _user.id.in_(shared)))


async def hold(
    transaction: Transaction,
    actor: Actor,
    workflow_id: UUID | None,
    at_least: AccessRole,
    *,
    path: Sequence[str] = _WORKFLOW_PATH,
    respects_lock: bool = True,
    takes_archived: bool = False,
) -> Workflow:
    """Take the row lock of a workflow for a change that somebody may make; give its row, which is not to be changed.

    Everything that changes a workflow begins here, so that changes come one after the other and never deadlock.

    Args:
        transaction: Of the change.
        actor: Who wants it.
        workflow_id: None when the caller's id was no id of a workflow.
        at_least: The least role that may.
        path: The argument that named the workflow.
        respects_lock: Whether somebody else's lock stands in the way.
        takes_archived: Whether an archived workflow may be changed so.

    Raises:
        NotFound: When there is no such workflow, or it is not theirs to see.
        Forbidden: When their role is too low.
        Invalid: When it is archived.
        Locked: When somebody else holds the lock.
    """
    locked: Sequence[Workflow] = () if workflow_id is None else await transaction.fetch(_LOCK, workflow=workflow_id)
    # Only with the lock: somebody else's change may have ended the access.
    role = (await roles_of(transaction, actor, [locked[0].id])).get(locked[0].id) if locked else None
    if role is None:
        raise NotFound("There is no such workflow.", path=path)
    workflow = locked[0]
    if RANKS[role] < RANKS[at_least]:
        raise Forbidden(
            f"Your role in this workflow is {role.value}; this takes {at_least.value}.",
            path=path,
            required_role=at_least.value,
            subject_id=workflow.id,
        )
    if workflow.is_archived and not takes_archived:
        raise Invalid("This workflow is archived. Restore it with updateWorkflow(isArchived: false) first.", path=path)
    if respects_lock:
        _check_lock(workflow, actor, path)
    return workflow


async def hold_to_change(
    session: Session,
    actor: Actor,
    workflow_id: UUID | None,
    at_least: AccessRole,
    *,
    respects_lock: bool = True,
    takes_archived: bool = False,
) -> Workflow:
    """Take the row lock of a workflow as `hold` does; give the workflow, whose attributes can be changed."""
    held = await hold(session, actor, workflow_id, at_least, respects_lock=respects_lock, takes_archived=takes_archived)
    return await session.get_one(Workflow, held.id)


async def hold_proposal(
    session: Session, actor: Actor, proposal_id: UUID | None, at_least: AccessRole
) -> tuple[Workflow, Proposal]:
    """Take the row locks of a proposal and its workflow for a change that somebody may make.

    Raises:
        NotFound: When there is no such proposal, or it is not theirs to see.
        Forbidden: When their role is too low.
        Locked: When somebody else holds the workflow's lock.
    """
    path = ("input", "proposalId")
    query = select(Proposal.workflow_id).where(Proposal.id == proposal_id)
    workflow_id = (await session.exec(query)).first() if proposal_id else None
    try:
        workflow = await hold(session, actor, workflow_id, at_least, path=path)
    except NotFound as error:
        raise NotFound("There is no such proposal.", path=path) from error
    locked = select(Proposal).where(Proposal.id == proposal_id).with_for_update()
    return workflow, (await session.exec(locked)).one()


async def check_seen(
    transaction: Transaction, actor: Actor, workflow_id: UUID, *, path: Sequence[str] = _WORKFLOW_PATH
) -> None:
    """Refuse to tell an earlier result to somebody whose access has ended since.

    Raises:
        NotFound: When the workflow is not theirs to see.
    """
    if workflow_id not in await roles_of(transaction, actor, [workflow_id]):
        raise NotFound("What this call once gave is not there any more.", path=path)


def lock_holder(workflow: Workflow) -> UUID | None:
    """Tell who holds the lock now; None when it is free or has expired."""
    is_held = workflow.lock_expires_at is not None and workflow.lock_expires_at > now()
    return workflow.lock_holder_id if is_held else None


def _check_lock(workflow: Workflow, actor: Actor, path: Sequence[str]) -> None:
    holder, acquired_at, expires_at = lock_holder(workflow), workflow.lock_acquired_at, workflow.lock_expires_at
    if holder is None or acquired_at is None or expires_at is None:
        return
    if holder != actor.user_id:
        raise Locked(holder_id=holder, acquired_at=acquired_at, expires_at=expires_at, path=path)
