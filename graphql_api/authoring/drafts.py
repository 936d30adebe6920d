"""Drafts: opening and editing them. Each accepted change is one revision."""

from uuid import UUID

from sqlmodel import col, select

from graphql_api.authoring import access, filesets, journal
from graphql_api.authoring.errors import StaleRevision
from graphql_api.authoring.filesets import Edit, FileSet
from graphql_api.authoring.idempotency import Repeatable
from graphql_api.authoring.models import AccessRole, Draft, DraftStatus, Version, Workflow
from graphql_api.context import Context
from graphql_api.kit.columns import now
from graphql_api.kit.conflicts import tried_again
from graphql_api.kit.database import Session
from graphql_api.kit.errors import Invalid
from graphql_api.kit.files import FileChange, FileEntry
from graphql_api.runtimes.snapshots import change_payload


@tried_again
async def edit(
    context: Context,
    *,
    workflow_id: UUID | None,
    expected_revision: int | None,
    edit: Edit,
    status: DraftStatus | None,
    idempotency_key: str | None,
) -> Draft:
    """Change a draft's files or status; opens one from the latest version when there is none.

    Args:
        context: Who asks.
        workflow_id: Which workflow.
        expected_revision: The revision that the caller edited; None only when no draft is open.
        edit: What to write, delete and rename.
        status: What the authors say of it now.
        idempotency_key: Makes the call repeatable.

    Raises:
        NotFound, Forbidden, Locked, Invalid: See `access.hold`; it takes an editor.
        StaleRevision: When somebody else's change came first.
        IdempotencyMismatch: When the key was used for another input.
    """
    if status is DraftStatus.ABANDONED:
        raise Invalid("To abandon a draft, call discardDraft.", path=["input", "status"])
    if not (edit.write or edit.delete or edit.rename or status):
        raise Invalid("There is nothing to change: give write, delete, rename or status.", path=["input"])
    arguments = {
        "workflow": str(workflow_id),
        "revision": expected_revision,
        "write": [[file.path, file.content, file.type and file.type.value] for file in edit.write],
        "delete": list(edit.delete),
        "rename": [[rename.source, rename.target] for rename in edit.rename],
        "status": status and status.value,
    }
    repeatable = Repeatable(context.actor, idempotency_key, "editDraft", arguments)
    async with context.database.transaction() as session:
        earlier = await repeatable.first_result(session)
        if earlier is not None:
            first = await session.get_one(Draft, earlier)
            await access.check_seen(session, context.actor, first.workflow_id)
            return first
        workflow = await access.hold(session, context.actor, workflow_id, AccessRole.EDITOR)
        draft = await _expected(session, workflow, expected_revision)
        if draft is None:
            draft = await open_from_latest(session, context, workflow)
        before = await filesets.of_draft(session, draft.id)
        if status is not None:
            draft.status = status
        changes = await revise(session, context, workflow, draft, before, filesets.edited(before, edit))
        journal.audit(
            session,
            context,
            workflow.id,
            "draft.edit",
            subject=("Draft", draft.id),
            details={"revision": draft.revision, "paths": [change.path for change in changes]},
        )
        await repeatable.keep(session, draft.id)
    return draft


async def opened(session: Session, workflow_id: UUID) -> Draft | None:
    """Find the open draft of a workflow."""
    query = select(Draft).where(Draft.workflow_id == workflow_id, col(Draft.closed_at).is_(None))
    return (await session.exec(query)).first()


async def open_with(
    session: Session, context: Context, workflow: Workflow, files: FileSet, *, based_on: int | None = None
) -> Draft:
    """Open a draft with files, as its revision 1."""
    draft = Draft(
        workflow_id=workflow.id,
        name=workflow.name,
        description=workflow.description,
        revision=1,
        based_on_version_number=based_on,
        created_by_id=context.actor.user_id,
    )
    session.add(draft)
    await session.flush()
    changes = await filesets.store_revision(session, draft.id, 1, {}, files)
    await _tell(session, context, workflow, draft, changes)
    return draft


async def open_from_latest(session: Session, context: Context, workflow: Workflow) -> Draft:
    """Open a draft with the files of the latest version; an empty one when nothing is published yet."""
    query = select(Version).where(Version.workflow_id == workflow.id).order_by(col(Version.number).desc()).limit(1)
    latest = (await session.exec(query)).first()
    if latest is None:
        return await open_with(session, context, workflow, FileSet({}))
    files = FileSet(await filesets.of_version(session, latest.id))
    return await open_with(session, context, workflow, files, based_on=latest.number)


async def revise(
    session: Session,
    context: Context,
    workflow: Workflow,
    draft: Draft,
    before: dict[str, FileEntry],
    after: FileSet,
) -> list[FileChange]:
    """Write the next revision of a draft and tell of it; give what it changed."""
    draft.revision += 1
    draft.updated_at = now()
    session.add(draft)
    changes = await filesets.store_revision(session, draft.id, draft.revision, before, after)
    await _tell(session, context, workflow, draft, changes)
    return changes


async def _expected(session: Session, workflow: Workflow, expected_revision: int | None) -> Draft | None:
    draft = await opened(session, workflow.id)
    actual = draft.revision if draft else 0
    if expected_revision == (draft.revision if draft else None):
        return draft
    if draft is not None and expected_revision is None:
        message = f"A draft is open: give its revision, {actual}, as expectedRevision, so that no edit is overwritten."
        raise Invalid(message, path=["input", "expectedRevision"])
    raise StaleRevision(
        f"The draft is at revision {actual}. Read it again, and repeat the edit on what it is now.",
        expected=expected_revision or 0,
        actual=actual,
        path=["input", "expectedRevision"],
    )


async def _tell(
    session: Session, context: Context, workflow: Workflow, draft: Draft, changes: list[FileChange]
) -> None:
    await journal.tell(
        session,
        context.log,
        workflow,
        "DraftChanged",
        by=context.actor.user_id,
        draft_id=str(draft.id),
        revision=draft.revision,
        changes=[change_payload(change) for change in changes],
    )
