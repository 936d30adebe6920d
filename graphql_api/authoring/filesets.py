"""The files of drafts and versions, and edits of them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import Integer, Uuid, column, values
from sqlmodel import col, select, update

from graphql_api.authoring.models import DraftFile, VersionFile
from graphql_api.kit import contents
from graphql_api.kit.columns import now
from graphql_api.kit.database import Session
from graphql_api.kit.errors import Invalid
from graphql_api.kit.files import (
    MAX_FILES,
    FileChange,
    FileEntry,
    FileType,
    InvalidFile,
    changed_digests,
    changes_between,
    checked_content,
    checked_path,
    entry_of,
    type_of,
)


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file that somebody writes; its type follows the path unless one is given."""

    path: str
    content: str
    type: FileType | None = None


@dataclass(frozen=True, slots=True)
class Rename:
    """A file that somebody moves."""

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Edit:
    """What somebody wants done to a set of files: renames first, then deletions, then what is written."""

    write: Sequence[NewFile] = ()
    delete: Sequence[str] = ()
    rename: Sequence[Rename] = ()


@dataclass(frozen=True, slots=True)
class FileSet:
    """Files by path, with the contents that no one has stored yet.

    Attributes:
        entries: The files by path.
        texts: New contents by digest.
    """

    entries: Mapping[str, FileEntry]
    texts: Mapping[str, str] = field(default_factory=dict)


async def of_draft(session: Session, draft_id: UUID) -> dict[str, FileEntry]:
    """Read the files of a draft as they are now."""
    return (await of_drafts(session, [draft_id]))[draft_id]


async def of_drafts(session: Session, draft_ids: Collection[UUID]) -> dict[UUID, dict[str, FileEntry]]:
    """Read the files of several drafts as they are now."""
    query = (
        select(DraftFile)
        .where(col(DraftFile.draft_id).in_(draft_ids), col(DraftFile.to_revision).is_(None))
        .order_by(col(DraftFile.path))
    )
    files: dict[UUID, dict[str, FileEntry]] = {id_: {} for id_ in draft_ids}
    for row in await session.exec(query):
        files[row.draft_id][row.path] = _entry(row)
    return files


async def at_revisions(
    session: Session, keys: Collection[tuple[UUID, int]]
) -> dict[tuple[UUID, int], dict[str, FileEntry]]:
    """Read the files of several drafts at one revision each, or at more."""
    files: dict[tuple[UUID, int], dict[str, FileEntry]] = {key: {} for key in keys}
    if not keys:
        return files
    wanted = values(column("id", Uuid), column("revision", Integer), name="wanted").data(list(files))
    query = select(wanted.c.revision, DraftFile).where(
        col(DraftFile.draft_id) == wanted.c.id,
        col(DraftFile.from_revision) <= wanted.c.revision,
        col(DraftFile.to_revision).is_(None) | (col(DraftFile.to_revision) > wanted.c.revision),
    )
    for revision, row in await session.exec(query.order_by(col(DraftFile.path))):
        files[row.draft_id, revision][row.path] = _entry(row)
    return files


async def of_version(session: Session, version_id: UUID) -> dict[str, FileEntry]:
    """Read the files of a version."""
    return (await of_versions(session, [version_id]))[version_id]


async def of_versions(session: Session, version_ids: Collection[UUID]) -> dict[UUID, dict[str, FileEntry]]:
    """Read the files of several versions."""
    query = select(VersionFile).where(col(VersionFile.version_id).in_(version_ids)).order_by(col(VersionFile.path))
    files: dict[UUID, dict[str, FileEntry]] = {id_: {} for id_ in version_ids}
    for row in await session.exec(query):
        files[row.version_id][row.path] = _entry(row)
    return files


def edited(before: Mapping[str, FileEntry], edit: Edit) -> FileSet:
    """Apply an edit to a set of files.

    Raises:
        Invalid: With the argument at fault; the set is as it was.
    """
    moment = now()
    entries = dict(before)
    for index, rename in enumerate(edit.rename):
        _rename(entries, rename, ["input", "rename", str(index)], moment)
    for index, path in enumerate(edit.delete):
        if entries.pop(path, None) is None:
            raise Invalid(f"There is no file {path!r} to delete.", path=["input", "delete", str(index)])
    written = from_scratch(edit.write, path=["input", "write"])
    return joined(FileSet(entries), written, path=["input"])


def joined(first: FileSet, second: FileSet, *, path: Sequence[str]) -> FileSet:
    """Put two sets of files together; where both have a file, the second wins.

    Raises:
        Invalid: When there are too many.
    """
    entries = {**first.entries, **second.entries}
    check_count(first.entries, entries, path=path)
    return FileSet(entries, {**first.texts, **second.texts})


def check_count(before: Mapping[str, FileEntry], after: Mapping[str, FileEntry], *, path: Sequence[str]) -> None:
    """Refuse a set that is too large, by the first file that is too much.

    Raises:
        Invalid: When there are too many files.
    """
    excess = len(after) - MAX_FILES
    if excess > 0:
        first = [name for name in after if name not in before][-excess]
        raise Invalid(
            f"A draft has at most {MAX_FILES} files; this would make {len(after)}: {first!r} is one too many.",
            path=path,
        )


def from_scratch(files: Sequence[NewFile], *, path: Sequence[str]) -> FileSet:
    """Make a set of files.

    Args:
        files: Each path once.
        path: Of the argument, for errors.

    Raises:
        Invalid: With the file at fault.
    """
    moment = now()
    entries: dict[str, FileEntry] = {}
    texts = {}
    for index, file in enumerate(files):
        entry = _written(file, [*path, str(index)], moment)
        if entry.path in entries:
            raise Invalid(f"{entry.path!r} is given twice.", path=[*path, str(index), "path"])
        entries[entry.path] = entry
        texts[entry.digest] = file.content
    return joined(FileSet({}), FileSet(entries, texts), path=path)


async def store_revision(
    session: Session, draft_id: UUID, revision: int, before: Mapping[str, FileEntry], after: FileSet
) -> list[FileChange]:
    """Write the files of a draft's new revision; give what it changed."""
    await contents.store(session, after.texts.values())
    changes = await compare(session, before, after.entries)
    gone = [change.path for change in changes if change.before is not None]
    current = (col(DraftFile.draft_id) == draft_id, col(DraftFile.to_revision).is_(None))
    await session.execute(update(DraftFile).where(*current, col(DraftFile.path).in_(gone)).values(to_revision=revision))
    session.add_all(
        DraftFile(
            draft_id=draft_id,
            path=file.path,
            from_revision=revision,
            type=file.type,
            digest=file.digest,
            size=file.size,
            updated_at=file.updated_at,
        )
        for file in (change.after for change in changes)
        if file is not None
    )
    await session.flush()
    return changes


async def compare(
    session: Session, before: Mapping[str, FileEntry], after: Mapping[str, FileEntry]
) -> list[FileChange]:
    """List what differs between two stored sets of files."""
    return changes_between(before, after, await contents.load(session, changed_digests(before, after)))


def _rename(entries: dict[str, FileEntry], rename: Rename, path: list[str], moment: datetime) -> None:
    source = entries.pop(rename.source, None)
    if source is None:
        raise Invalid(f"There is no file {rename.source!r} to rename.", path=[*path, "from"])
    if rename.target in entries:
        raise Invalid(f"There is a file {rename.target!r} already.", path=[*path, "to"])
    try:
        target = checked_path(rename.target)
    except InvalidFile as error:
        raise Invalid(f"{rename.target!r}: {error}", path=[*path, "to"]) from error
    # A type that somebody chose stays; one that followed from the path follows the new one.
    type_ = type_of(target) if source.type is type_of(source.path) else source.type
    entries[target] = FileEntry(target, type_, source.digest, source.size, moment)


def _written(file: NewFile, path: list[str], moment: datetime) -> FileEntry:
    try:
        checked_path(file.path)
    except InvalidFile as error:
        raise Invalid(f"{file.path!r}: {error}", path=[*path, "path"]) from error
    try:
        checked_content(file.content)
    except InvalidFile as error:
        raise Invalid(f"{file.path!r}: {error}", path=[*path, "content"]) from error
    return entry_of(file.path, file.content, moment, file.type)


def _entry(row: DraftFile | VersionFile) -> FileEntry:
    return FileEntry(row.path, row.type, row.digest, row.size, row.updated_at)
