"""Drafts: opening and editing them. Each accepted change is one revision."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

from graphql_api.authoring import access, filesets, journal
from graphql_api.authoring.errors import StaleRevision
from graphql_api.authoring.filesets import Edit, FileSet, Revision
from graphql_api.authoring.idempotency import Repeatable
from graphql_api.authoring.journal import Entry
from graphql_api.authoring.models import AccessRole, Draft, DraftStatus, Workflow
from graphql_api.context import Context
from graphql_api.events.log import Companion
from graphql_api.kit.columns import columns_of, names_of, now
from graphql_api.kit.conflicts import tried_again
from graphql_api.kit.errors import Invalid
from graphql_api.kit.files import FileChange
from graphql_api.kit.statements import Statement, Transaction
from graphql_api.runtimes.snapshots import change_payload

_NAMES = tuple(columns_of(Draft).keys())
_DRAFT = f"SELECT {names_of(Draft)} FROM drafts"  # noqa: S608 - names of columns
_OF_KEY = Statement(f"{_DRAFT} WHERE id = :draft")
_OPEN = Statement(f"{_DRAFT} WHERE workflow_id = :workflow AND closed_at IS NULL")
_OPENED = Companion(
    *journal.WRITES,
    filesets.WRITE,
    lock="""
        INSERT INTO drafts (id, workflow_id, name, description, status, revision, based_on_version_number,
                            created_by_id, created_at, updated_at)
        VALUES (:draft, :subject, :name, :description, :status, :revision, :based_on, :by, :draft_moment, :draft_moment)
        RETURNING id
    """,
)
_REVISED = Companion(
    *journal.WRITES,
    filesets.WRITE,
    lock="UPDATE drafts SET revision = :revision, status = :status, updated_at = :draft_moment WHERE id = :draft"
    " RETURNING id",
)
_CLOSE = Statement("UPDATE drafts SET status = :status, closed_at = :moment WHERE id = :draft")
_LATEST = Statement("SELECT id, number FROM versions WHERE workflow_id = :workflow ORDER BY number DESC LIMIT 1")


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
    async with context.database.plain_transaction() as transaction:
        earlier = await repeatable.first_result(transaction)
        if earlier is not None:
            first = await of_key(transaction, earlier)
            await access.check_seen(transaction, context.actor, first.workflow_id)
            return first
        workflow = await access.hold(transaction, context.actor, workflow_id, AccessRole.EDITOR)
        draft = await _expected(transaction, workflow, expected_revision)
        if draft is None:
            draft = await open_from_latest(transaction, context, workflow)
        before = await filesets.of_draft(transaction, draft.id, reading=edit.paths)
        draft.status = status or draft.status
        after = filesets.edited(before, edit)
        await revise(transaction, context, workflow, draft, before, after, action="draft.edit")
        await repeatable.keep(transaction, draft.id)
    return draft


async def of_key(transaction: Transaction, draft_id: UUID) -> Draft:
    """Read a draft.

    It reads like the object of its model, for a twentieth of the cost; what changes it here writes that down as well.
    """
    return _draft((await transaction.fetch(_OF_KEY, draft=draft_id))[0])


async def opened(transaction: Transaction, workflow_id: UUID) -> Draft | None:
    """Find the open draft of a workflow."""
    rows = await transaction.fetch(_OPEN, workflow=workflow_id)
    return _draft(rows[0]) if rows else None


async def open_with(
    transaction: Transaction, context: Context, workflow: Workflow, files: FileSet, *, based_on: int | None = None
) -> Draft:
    """Open a draft with files, as its revision 1."""
    moment = now()
    draft = Draft(
        workflow_id=workflow.id,
        name=workflow.name,
        description=workflow.description,
        based_on_version_number=based_on,
        created_by_id=context.actor.user_id,
        created_at=moment,
        updated_at=moment,
    )
    opening = {
        "name": draft.name,
        "description": draft.description,
        "based_on": draft.based_on_version_number,
        "by": draft.created_by_id,
    }
    revision = await filesets.revision(transaction, FileSet({}), files)
    await _write(transaction, context, workflow, draft, revision, (_OPENED, opening))
    return draft


async def open_from_latest(transaction: Transaction, context: Context, workflow: Workflow) -> Draft:
    """Open a draft with the files of the latest version; an empty one when nothing is published yet."""
    latest = await transaction.fetch(_LATEST, workflow=workflow.id)
    if not latest:
        return await open_with(transaction, context, workflow, FileSet({}))
    files = FileSet(await filesets.of_version(transaction, latest[0].id))
    return await open_with(transaction, context, workflow, files, based_on=latest[0].number)


async def revise(
    transaction: Transaction,
    context: Context,
    workflow: Workflow,
    draft: Draft,
    before: FileSet,
    after: FileSet,
    *,
    action: str | None = None,
) -> list[FileChange]:
    """Write the next revision of a draft and tell of it; give what it changed.

    Args:
        transaction: The transaction.
        context: Who revises it.
        workflow: Whose draft it is.
        draft: What is revised; its status is written too.
        before: Its files.
        after: Its files from now on.
        action: What the audit entry says; None when another one tells of this.
    """
    draft.revision += 1
    draft.updated_at = now()
    revision = await filesets.revision(transaction, before, after)
    details = {"revision": draft.revision, "paths": [change.path for change in revision.changes]}
    entry = None if action is None else Entry(context, action, ("Draft", draft.id), details)
    await _write(transaction, context, workflow, draft, revision, (_REVISED, {}), entry=entry)
    return revision.changes


async def close(transaction: Transaction, draft: Draft, status: DraftStatus) -> None:
    """Let a draft be edited no more."""
    await transaction.fetch(_CLOSE, draft=draft.id, status=status.value, moment=now())


async def _expected(transaction: Transaction, workflow: Workflow, expected_revision: int | None) -> Draft | None:
    draft = await opened(transaction, workflow.id)
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


async def _write(
    transaction: Transaction,
    context: Context,
    workflow: Workflow,
    draft: Draft,
    revision: Revision,
    along: tuple[Companion, Mapping[str, object]],
    *,
    entry: Entry | None = None,
) -> None:
    """Write a draft with its new revision, and tell of it, in one statement."""
    companion, values = along
    written = {
        **values,
        **revision.arguments(),
        "draft": draft.id,
        "revision": draft.revision,
        "status": draft.status.value,
        "draft_moment": draft.updated_at,
    }
    await journal.tell(
        transaction,
        context.log,
        workflow,
        "DraftChanged",
        by=context.actor.user_id,
        entry=entry,
        along=(companion, written),
        draft_id=str(draft.id),
        revision=draft.revision,
        changes=[change_payload(change) for change in revision.changes],
    )


def _draft(row: Any) -> Draft:  # noqa: ANN401 - a row
    values = {name: getattr(row, name) for name in _NAMES}
    return cast("Draft", SimpleNamespace(**{**values, "status": DraftStatus(row.status)}))
