"""The files of drafts and versions, and edits of them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Integer, Uuid

from graphql_api.authoring.models import DraftFile, VersionFile
from graphql_api.kit import contents
from graphql_api.kit.columns import among, columns_for, columns_of, lasts_at, listed, now, select_rows
from graphql_api.kit.errors import Invalid
from graphql_api.kit.files import (
    MAX_FILES,
    FileChange,
    FileEntry,
    FileType,
    InvalidFile,
    arrays_of,
    changed_digests,
    changes_between,
    checked_content,
    checked_path,
    entry_of,
    type_of,
)
from graphql_api.kit.statements import Rows, Statement, Transaction

_OF_DRAFT = Statement("""
    SELECT path, type, digest, size, updated_at,
           CASE WHEN path = ANY(:reading::text[])
               THEN (SELECT content FROM contents WHERE digest = draft_files.digest) END AS text
    FROM draft_files WHERE draft_id = :draft AND to_revision IS NULL ORDER BY path
""")
_draft_file, _version_file = columns_of(DraftFile), columns_of(VersionFile)
_OF_DRAFTS = (
    select_rows(_draft_file.draft_id, *columns_for(FileEntry, _draft_file))
    .where(among(_draft_file.draft_id), _draft_file.to_revision.is_(None))
    .order_by(_draft_file.path)
)
_OF_VERSIONS = (
    select_rows(_version_file.version_id, *columns_for(FileEntry, _version_file))
    .where(among(_version_file.version_id))
    .order_by(_version_file.path)
)
_revision = listed("wanted", draft=Uuid, revision=Integer).c
_AT_REVISIONS = (
    select_rows(_revision.draft, _revision.revision, *columns_for(FileEntry, _draft_file))
    .where(
        _draft_file.draft_id == _revision.draft,
        lasts_at(_revision.revision, _draft_file.from_revision, _draft_file.to_revision),
    )
    .order_by(_draft_file.path)
)
WRITE = f"""
    texts AS ({contents.STORE.format(condition="WHERE EXISTS (SELECT FROM head)")}),
    gone AS (
        UPDATE draft_files SET to_revision = :revision
        WHERE draft_id = :draft AND path = ANY(:gone::text[]) AND to_revision IS NULL AND EXISTS (SELECT FROM head)
        RETURNING path
    ),
    brought AS (
        INSERT INTO draft_files (draft_id, path, from_revision, type, digest, size, updated_at)
        SELECT :draft, path, :revision, type, digest, size, updated_at
        FROM head, unnest(
            :file_paths::text[], :file_types::text[], :file_digests::text[], :file_sizes::int[],
            :file_times::timestamptz[]
        ) AS new (path, type, digest, size, updated_at)
        WHERE (SELECT count(*) FROM gone) >= 0  -- first those that they replace
    )
"""  # noqa: S608 - what is put in is a constant
"""Writes the files of a draft's new revision in the statement that appends the event of it; see `Revision`."""


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

    @property
    def paths(self) -> list[str]:
        """The files that it may change or take away; nobody has checked them yet, so only what can be looked for."""
        named = [*(file.path for file in self.write), *self.delete, *(rename.source for rename in self.rename)]
        return [path for path in named if path.isprintable()]  # no NUL and no lone surrogate, which no text holds


@dataclass(frozen=True, slots=True)
class FileSet:
    """Files by path, with the contents that are at hand: of files that are to be stored, all that are new.

    Attributes:
        entries: The files by path.
        texts: Contents by digest.
    """

    entries: Mapping[str, FileEntry]
    texts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Revision:
    """What a new revision of a draft changes.

    Attributes:
        changes: By path.
        texts: New contents by digest.
    """

    changes: list[FileChange]
    texts: Mapping[str, str]

    def arguments(self) -> dict[str, list[Any]]:
        """Give the arguments of `WRITE` beside `draft` and `revision`."""
        return {
            **contents.arguments(self.texts.values()),
            **arrays_of([change.after for change in self.changes if change.after is not None]),
            "gone": [change.path for change in self.changes if change.before is not None],
        }


async def of_draft(transaction: Transaction, draft_id: UUID, *, reading: Collection[str] = ()) -> FileSet:
    """Read the files of a draft as they are now.

    Args:
        transaction: The transaction.
        draft_id: Which draft.
        reading: The paths of the files whose contents are wanted.
    """
    entries, texts = {}, {}
    rows = await transaction.fetch(_OF_DRAFT, draft=draft_id, reading=list(reading))
    for path, type_, digest, size, updated_at, text in rows:
        entries[path] = FileEntry(path, FileType(type_), digest, size, updated_at)
        if text is not None:
            texts[digest] = text
    return FileSet(entries, texts)


async def of_drafts(reader: Rows, draft_ids: Collection[UUID]) -> dict[UUID, dict[str, FileEntry]]:
    """Read the files of several drafts as they are now."""
    return _by_owner(draft_ids, await reader.rows(_OF_DRAFTS, ids=list(draft_ids)))


async def at_revisions(
    reader: Rows, keys: Collection[tuple[UUID, int]]
) -> dict[tuple[UUID, int], dict[str, FileEntry]]:
    """Read the files of several drafts at one revision each, or at more."""
    files: dict[tuple[UUID, int], dict[str, FileEntry]] = {key: {} for key in keys}
    drafts, revisions = [each for each, _ in files], [revision for _, revision in files]
    for draft_id, revision, path, *entry in await reader.rows(_AT_REVISIONS, draft=drafts, revision=revisions):
        files[draft_id, revision][path] = FileEntry(path, *entry)
    return files


async def of_version(reader: Rows, version_id: UUID) -> dict[str, FileEntry]:
    """Read the files of a version."""
    return (await of_versions(reader, [version_id]))[version_id]


async def of_versions(reader: Rows, version_ids: Collection[UUID]) -> dict[UUID, dict[str, FileEntry]]:
    """Read the files of several versions."""
    return _by_owner(version_ids, await reader.rows(_OF_VERSIONS, ids=list(version_ids)))


def edited(before: FileSet, edit: Edit) -> FileSet:
    """Apply an edit to a set of files.

    Raises:
        Invalid: With the argument at fault; the set is as it was.
    """
    moment = now()
    entries = dict(before.entries)
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


async def revision(transaction: Transaction, before: FileSet, after: FileSet) -> Revision:
    """Find out what a new revision of a draft changes."""
    texts = {**before.texts, **after.texts}
    texts |= await contents.load(transaction, changed_digests(before.entries, after.entries) - texts.keys())
    return Revision(changes_between(before.entries, after.entries, texts), after.texts)


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


def _by_owner(owners: Collection[UUID], rows: Sequence[Any]) -> dict[UUID, dict[str, FileEntry]]:
    """Give files by the draft or version that they belong to, and by path."""
    files: dict[UUID, dict[str, FileEntry]] = {owner: {} for owner in owners}
    for owner, path, *entry in rows:
        files[owner][path] = FileEntry(path, *entry)
    return files
