"""Workflows: making, changing, sharing, locking and deleting them."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlmodel import col, func, select

from graphql_api.authoring import access, drafts, filesets, journal, proposals, templates
from graphql_api.authoring.filesets import NewFile
from graphql_api.authoring.idempotency import Repeatable
from graphql_api.authoring.journal import Entry
from graphql_api.authoring.models import AccessRole, Workflow, WorkflowMember
from graphql_api.context import Context
from graphql_api.identity import users
from graphql_api.kit.columns import now
from graphql_api.kit.conflicts import tried_again
from graphql_api.kit.database import Session
from graphql_api.kit.errors import Forbidden, Invalid, NotFound
from graphql_api.kit.texts import checked_text

MAX_NAME_LENGTH = 200
MAX_DESCRIPTION_LENGTH = 10_000
MIN_LOCK_SECONDS = 30
MAX_LOCK_SECONDS = 3600
DEFAULT_LOCK_SECONDS = 900

_NAME = ("input", "name")
_DESCRIPTION = ("input", "description")


@tried_again
async def create(
    context: Context,
    *,
    name: str,
    description: str | None,
    template_slug: str | None,
    customization: object | None,
    files: Sequence[NewFile],
    idempotency_key: str | None,
) -> Workflow:
    """Make a workflow that belongs to the caller: empty, from files, from a template, or from both.

    Raises:
        Invalid: When an argument breaks its rule.
        NotFound: When there is no such template.
        IdempotencyMismatch: When the key was used for another input.
    """
    actor = context.actor
    arguments = {
        "name": name,
        "description": description,
        "template": template_slug,
        "customization": customization,
        "files": [[file.path, file.content, file.type and file.type.value] for file in files],
    }
    repeatable = Repeatable(actor, idempotency_key, "createWorkflow", arguments)
    workflow = Workflow(
        id=uuid4(),
        name=checked_text(name, path=_NAME, minimum=1, maximum=MAX_NAME_LENGTH, is_multiline=False),
        description=_checked_description(description),
    )
    given = filesets.from_scratch(files, path=["input", "files"])
    start = _from_template(template_slug, customization)
    both = filesets.joined(start, given, path=["input", "files"])
    async with context.database.transaction() as session:
        earlier = await repeatable.first_result(session)
        if earlier is not None:
            await access.check_seen(session, actor, earlier, path=["input", "idempotencyKey"])
            return await session.get_one(Workflow, earlier)
        await context.log.open(session, workflow.id)
        session.add(workflow)
        await session.flush()
        session.add(WorkflowMember(workflow_id=workflow.id, user_id=actor.user_id, role=AccessRole.OWNER))
        entry = Entry(context, "workflow.create", ("Workflow", workflow.id))
        await journal.tell(session, context.log, workflow, "WorkflowCreated", by=actor.user_id, entry=entry)
        if both.entries:
            await drafts.open_with(session, context, workflow, both)
        await repeatable.keep(session, workflow.id)
    return workflow


@tried_again
async def change(
    context: Context,
    *,
    workflow_id: UUID | None,
    name: str | None,
    description: str | None,
    clears_description: bool,
    is_archived: bool | None,
) -> Workflow:
    """Rename, describe, archive or restore a workflow; what stays as it is is not recorded.

    Raises:
        NotFound, Forbidden, Locked, Invalid: See `access.hold`; archiving takes an owner.
    """
    needed = AccessRole.EDITOR if is_archived is None else AccessRole.OWNER
    changed: dict[str, Any] = {}
    if name is not None:
        changed["name"] = checked_text(name, path=_NAME, minimum=1, maximum=MAX_NAME_LENGTH, is_multiline=False)
    if description is not None or clears_description:
        changed["description"] = _checked_description(description)
    if is_archived is not None:
        changed["is_archived"] = is_archived
    async with context.database.transaction() as session:
        workflow = await access.hold_to_change(session, context.actor, workflow_id, needed, takes_archived=True)
        if workflow.is_archived and is_archived is not False:
            raise Invalid("This workflow is archived. Restore it with isArchived: false first.", path=["input"])
        changed = {name: value for name, value in changed.items() if getattr(workflow, name) != value}
        if not changed:
            return workflow
        workflow.sqlmodel_update(changed)
        entry = Entry(context, "workflow.update", ("Workflow", workflow.id), {"changed": sorted(changed)})
        await journal.tell(session, context.log, workflow, "WorkflowUpdated", by=context.actor.user_id, entry=entry)
    return workflow


@tried_again
async def delete(context: Context, *, workflow_id: UUID | None) -> UUID:
    """Take a workflow out of everybody's sight; its versions, proposals and logs stay for the record.

    What agents still do for it is stopped: nobody could do so afterwards.

    Raises:
        NotFound, Forbidden, Locked: See `access.hold`; it takes an owner.
    """
    async with context.database.transaction() as session:
        workflow = await access.hold_to_change(
            session, context.actor, workflow_id, AccessRole.OWNER, takes_archived=True
        )
        await proposals.cancel_running(session, context, workflow)
        entry = Entry(context, "workflow.delete", ("Workflow", workflow.id))
        await journal.tell(session, context.log, workflow, "WorkflowUpdated", by=context.actor.user_id, entry=entry)
        workflow.deleted_at = now()
    return workflow.id


@tried_again
async def set_member(context: Context, *, workflow_id: UUID | None, email: str, role: AccessRole | None) -> Workflow:
    """Give somebody a role in a workflow, or take their access away; giving what they have changes nothing.

    Raises:
        NotFound, Forbidden, Locked: See `access.hold`; it takes an owner, but anybody may leave.
        Invalid: When the last owner would be gone.
    """
    async with context.database.transaction() as session:
        user = await users.by_email(session, email)
        leaves = user is not None and user.id == context.actor.user_id and role is None
        needed = AccessRole.VIEWER if leaves else AccessRole.OWNER
        workflow = await access.hold_to_change(session, context.actor, workflow_id, needed, takes_archived=True)
        if user is None or user.disabled_at:
            raise NotFound("There is no user with this e-mail address.", path=["input", "email"])
        member = await session.get(WorkflowMember, (workflow.id, user.id))
        if role == (member.role if member else None):
            return workflow
        if member is not None and member.role is AccessRole.OWNER and role is not AccessRole.OWNER:
            await _keep_an_owner(session, workflow)
        if role is None and member is not None:
            await session.delete(member)
        elif role is not None:
            await session.merge(WorkflowMember(workflow_id=workflow.id, user_id=user.id, role=role))
        given = role.value if role else None
        await journal.tell(
            session,
            context.log,
            workflow,
            "WorkflowMembersChanged",
            by=context.actor.user_id,
            entry=Entry(context, "workflow.share", ("User", user.id), {"role": given}),
            member_id=str(user.id),
            role=given,
        )
    return workflow


@tried_again
async def lock(context: Context, *, workflow_id: UUID | None, seconds: int) -> Workflow:
    """Take the lock of a workflow, or renew the caller's own.

    Args:
        context: Who asks.
        workflow_id: Which workflow.
        seconds: 30 to 3600.

    Raises:
        NotFound, Forbidden, Locked: See `access.hold`; it takes an editor.
        Invalid: When the time is out of range.
    """
    if not MIN_LOCK_SECONDS <= seconds <= MAX_LOCK_SECONDS:
        raise Invalid(f"ttl is {MIN_LOCK_SECONDS} to {MAX_LOCK_SECONDS} seconds.", path=["input", "ttl"])
    actor = context.actor
    async with context.database.transaction() as session:
        workflow = await access.hold_to_change(session, actor, workflow_id, AccessRole.EDITOR)
        moment = now()
        if access.lock_holder(workflow) != actor.user_id:
            workflow.lock_acquired_at = moment
        workflow.lock_holder_id = actor.user_id
        workflow.lock_expires_at = moment + timedelta(seconds=seconds)
        await _tell_lock(session, context, workflow, "workflow.lock")
    return workflow


@tried_again
async def unlock(context: Context, *, workflow_id: UUID | None, force: bool) -> Workflow:
    """Give the caller's lock back, or as an owner break somebody else's. A free workflow stays free.

    Raises:
        NotFound, Forbidden, Locked: See `access.hold`; breaking a lock takes an owner.
    """
    async with context.database.transaction() as session:
        workflow = await access.hold_to_change(
            session, context.actor, workflow_id, AccessRole.EDITOR, respects_lock=not force, takes_archived=True
        )
        holder = access.lock_holder(workflow)
        is_own = holder in {None, context.actor.user_id}
        role = (await access.roles_of(session, context.actor, [workflow.id]))[workflow.id]
        if not is_own and role is not AccessRole.OWNER:
            raise Forbidden(
                "Only an owner may break somebody else's lock.",
                path=["input", "force"],
                required_role=AccessRole.OWNER.value,
                subject_id=workflow.id,
            )
        if holder is not None:
            workflow.lock_holder_id = workflow.lock_acquired_at = workflow.lock_expires_at = None
            await _tell_lock(session, context, workflow, "workflow.unlock")
    return workflow


async def _tell_lock(session: Session, context: Context, workflow: Workflow, action: str) -> None:
    holder, acquired_at, expires_at = workflow.lock_holder_id, workflow.lock_acquired_at, workflow.lock_expires_at
    held = None
    if holder and acquired_at and expires_at:
        held = {
            "holder_id": str(holder),
            "acquired_at": acquired_at.isoformat(),
            "expires_at": expires_at.isoformat(),
        }
    entry, by = Entry(context, action, ("Workflow", workflow.id), {"lock": held}), context.actor.user_id
    await journal.tell(session, context.log, workflow, "WorkflowLockChanged", by=by, entry=entry, lock=held)


async def _keep_an_owner(session: Session, workflow: Workflow) -> None:
    owners = select(func.count()).where(
        WorkflowMember.workflow_id == workflow.id, col(WorkflowMember.role) == AccessRole.OWNER
    )
    if (await session.exec(owners)).one() < 2:  # noqa: PLR2004 - the one who goes, and one who stays
        raise Invalid("A workflow keeps at least one owner. Make somebody else an owner first.", path=["input", "role"])


def _from_template(slug: str | None, customization: object | None) -> filesets.FileSet:
    if slug is None:
        if customization is not None:
            raise Invalid("A customization needs a templateSlug.", path=["input", "customization"])
        return filesets.FileSet({})
    template = templates.find(slug)
    if template is None:
        raise NotFound(f"There is no template {slug!r}.", path=["input", "templateSlug"])
    if customization is not None and not isinstance(customization, Mapping):
        raise Invalid("A customization is an object.", path=["input", "customization"])
    rendered = template.render(customization)
    new = [NewFile(path, content) for path, content in rendered.items()]
    return filesets.from_scratch(new, path=["input", "templateSlug"])


def _checked_description(description: str | None) -> str | None:
    if description is None:
        return None
    return checked_text(description, path=_DESCRIPTION, maximum=MAX_DESCRIPTION_LENGTH)
