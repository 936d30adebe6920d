"""Versions: publishing, deploying and deprecating them."""

from uuid import UUID

from sqlmodel import col, func, insert, literal, select

from graphql_api.authoring import access, drafts, filesets, journal, proposals
from graphql_api.authoring.definitions import DEFINITION_PATH, Severity, diagnose
from graphql_api.authoring.errors import DefinitionInvalid, InvalidTransition, StaleRevision
from graphql_api.authoring.idempotency import Repeatable
from graphql_api.authoring.journal import Entry
from graphql_api.authoring.models import (
    AccessRole,
    Draft,
    DraftFile,
    Version,
    VersionFile,
    VersionStatus,
    Workflow,
)
from graphql_api.context import Context
from graphql_api.kit.conflicts import tried_again
from graphql_api.kit.database import Session
from graphql_api.kit.errors import Invalid, NotFound
from graphql_api.kit.texts import checked_text

MAX_NOTES_LENGTH = 10_000


@tried_again
async def publish(
    context: Context,
    *,
    workflow_id: UUID | None,
    expected_revision: int | None,
    notes: str | None,
    idempotency_key: str | None,
) -> Version:
    """Make the open draft the next version, and close it; proposals that wait on it are superseded.

    Raises:
        NotFound, Forbidden, Locked, Invalid: See `access.hold`; it takes an editor, and an open draft with files.
        StaleRevision: When the draft moved.
        DefinitionInvalid: When its definition has errors.
        IdempotencyMismatch: When the key was used for another input.
    """
    kept_notes = checked_text(notes, path=["input", "notes"], maximum=MAX_NOTES_LENGTH) if notes is not None else None
    arguments = {"workflow": str(workflow_id), "revision": expected_revision, "notes": kept_notes}
    repeatable = Repeatable(context.actor, idempotency_key, "publishDraft", arguments)
    async with context.database.transaction() as session:
        earlier = await repeatable.first_result(session)
        if earlier is not None:
            first = await session.get_one(Version, earlier)
            await access.check_seen(session, context.actor, first.workflow_id)
            return first
        workflow = await access.hold(session, context.actor, workflow_id, AccessRole.EDITOR)
        draft = await _publishable(session, workflow, expected_revision)
        version = await _store(session, context, workflow, draft, kept_notes)
        await proposals.supersede_waiting(session, context, workflow, draft)
        details = {"number": version.number, "revision": draft.revision}
        await journal.tell(
            session,
            context.log,
            workflow,
            "VersionPublished",
            by=context.actor.user_id,
            entry=Entry(context, "draft.publish", ("Version", version.id), details),
            version_id=str(version.id),
        )
        await repeatable.keep(session, version.id)
    return version


@tried_again
async def deploy(context: Context, *, workflow_id: UUID | None, number: int) -> tuple[Workflow, Version]:
    """Move the production pointer to a version, forwards or back; deploying what is deployed changes nothing.

    Raises:
        NotFound, Forbidden, Locked, Invalid: See `access.hold`; it takes an owner, and a version of this workflow.
        InvalidTransition: When the version is deprecated.
    """
    async with context.database.transaction() as session:
        workflow = await access.hold_to_change(session, context.actor, workflow_id, AccessRole.OWNER)
        version = await _numbered(session, workflow, number)
        if version.status is VersionStatus.DEPRECATED:
            raise InvalidTransition(
                f"Version {number} is deprecated. Publish a new one, or deploy another.",
                from_=version.status.value,
                to="PRODUCTION",
                allowed=[],
                path=["input", "number"],
            )
        previous = workflow.production_version_number
        if previous != number:
            workflow.production_version_number = number
            details = {"number": number, "previous": previous}
            await journal.tell(
                session,
                context.log,
                workflow,
                "VersionDeployed",
                by=context.actor.user_id,
                entry=Entry(context, "version.deploy", ("Version", version.id), details),
                version_id=str(version.id),
                previous_number=previous,
            )
    return workflow, version


@tried_again
async def deprecate(context: Context, *, workflow_id: UUID | None, number: int) -> Version:
    """Mark a version as not to be used any more; doing so twice changes nothing.

    Raises:
        NotFound, Forbidden, Locked, Invalid: See `access.hold`; it takes an owner, and a version of this workflow.
        InvalidTransition: When the version is in production.
    """
    async with context.database.transaction() as session:
        workflow = await access.hold(session, context.actor, workflow_id, AccessRole.OWNER)
        version = await _numbered(session, workflow, number)
        if workflow.production_version_number == number:
            raise InvalidTransition(
                f"Version {number} is in production. Deploy another version first.",
                from_="PRODUCTION",
                to=VersionStatus.DEPRECATED.value,
                allowed=[],
                path=["input", "number"],
            )
        if version.status is not VersionStatus.DEPRECATED:
            version.status = VersionStatus.DEPRECATED
            session.add(version)
            await journal.tell(
                session,
                context.log,
                workflow,
                "VersionDeprecated",
                by=context.actor.user_id,
                entry=Entry(context, "version.deprecate", ("Version", version.id), {"number": number}),
                version_id=str(version.id),
            )
    return version


async def _publishable(session: Session, workflow: Workflow, expected_revision: int | None) -> Draft:
    draft = await drafts.opened(session, workflow.id)
    if draft is None:
        raise NotFound("This workflow has no open draft to publish.", path=["input", "workflowId"])
    if expected_revision is not None and expected_revision != draft.revision:
        raise StaleRevision(
            f"The draft is at revision {draft.revision}. Look at what changed before you publish it.",
            expected=expected_revision,
            actual=draft.revision,
            path=["input", "expectedRevision"],
        )
    files = await filesets.of_draft(session, draft.id, reading=[DEFINITION_PATH])
    if not files.entries:
        raise Invalid("The draft has no files: there is nothing to publish.", path=["input", "workflowId"])
    entry = files.entries.get(DEFINITION_PATH)
    diagnostics = diagnose(files.texts[entry.digest] if entry else None, files.entries.keys())
    errors = [diagnostic for diagnostic in diagnostics if diagnostic.severity is Severity.ERROR]
    if errors:
        raise DefinitionInvalid(
            f"The definition has {len(errors)} error(s): {errors[0].message}", diagnostics=diagnostics
        )
    return draft


async def _store(session: Session, context: Context, workflow: Workflow, draft: Draft, notes: str | None) -> Version:
    newest = (await session.exec(select(func.max(Version.number)).where(Version.workflow_id == workflow.id))).one()
    version = Version(
        workflow_id=workflow.id,
        number=(newest or 0) + 1,
        draft_id=draft.id,
        notes=notes,
        published_by_id=context.actor.user_id,
    )
    await drafts.close(session, draft, draft.status)
    session.add(version)
    await session.flush()
    columns = ("path", "type", "digest", "size", "updated_at")
    files = select(literal(version.id), *(getattr(DraftFile, column) for column in columns)).where(
        DraftFile.draft_id == draft.id, col(DraftFile.to_revision).is_(None)
    )
    await session.execute(insert(VersionFile).from_select(["version_id", *columns], files))
    return version


async def _numbered(session: Session, workflow: Workflow, number: int) -> Version:
    query = select(Version).where(Version.workflow_id == workflow.id, Version.number == number)
    version = (await session.exec(query)).first()
    if version is None:
        raise NotFound(f"This workflow has no version {number}.", path=["input", "number"])
    return version
