"""The files of an execution: what a snapshot changed, and what of it no file may be."""

import asyncio
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy
from sqlalchemy import BigInteger, Uuid
from sqlmodel import col, select

from graphql_api.events.models import Event
from graphql_api.events.records import NewEvent
from graphql_api.kit import contents
from graphql_api.kit.columns import among, columns_for, columns_of, lasts_at, listed, now, select_rows
from graphql_api.kit.database import Database, Session
from graphql_api.kit.files import (
    MAX_FILES,
    MAX_PATH_LENGTH,
    FileChange,
    FileEntry,
    InvalidFile,
    arrays_of,
    changed_digests,
    changes_between,
    checked_content,
    checked_path,
    entry_of,
)
from graphql_api.kit.statements import Rows
from graphql_api.runtimes.models import ExecutionFile
from graphql_api.runtimes.protocol import FilesSnapshot
from graphql_api.runtimes.storable import storable_text

MAX_REFUSALS = 100
"""Files of one execution that are told to be refused; those after are left out without a word."""

WRITE = """
    gone AS (
        UPDATE execution_files AS file SET to_sequence = head.base + gone.position
        FROM head, unnest(:gone::text[], :gone_at::bigint[]) AS gone (path, position)
        WHERE file.execution_id = :subject AND file.path = gone.path AND file.to_sequence IS NULL
        RETURNING file.path
    ),
    brought AS (
        INSERT INTO execution_files
            (execution_id, path, type, digest, size, updated_at, from_sequence, to_sequence)
        SELECT :subject, path, type, digest, size, updated_at, head.base + since, head.base + until
        FROM head, unnest(
            :file_paths::text[], :file_types::text[], :file_digests::text[], :file_sizes::int[],
            :file_times::timestamptz[], :since::bigint[], :until::bigint[]
        ) AS new (path, type, digest, size, updated_at, since, until)
        WHERE (SELECT count(*) FROM gone) >= 0  -- first those that they replace
    )
"""
"""Writes files in the statement that appends the events which brought them; see `Written`."""

_REFUSED = "file_refused"

_file, _moment = columns_of(ExecutionFile), listed("moments", execution=Uuid, sequence=BigInteger).c
_NOW = (
    select_rows(_file.execution_id, *columns_for(FileEntry, _file))
    .where(among(_file.execution_id), _file.to_sequence.is_(None))
    .order_by(_file.path)
)
_THEN = (
    select_rows(_moment.execution, _moment.sequence, *columns_for(FileEntry, _file))
    .where(_file.execution_id == _moment.execution, lasts_at(_moment.sequence, _file.from_sequence, _file.to_sequence))
    .order_by(_file.path)
)


@dataclass(frozen=True, slots=True)
class FilesRead:
    """What a snapshot holds once its bad files are left out.

    Attributes:
        entries: The valid files by path; one that was valid before and is not now stands as it was.
        changes: What differs from the files before.
        texts: The contents that the changes brought, by digest.
        refusals: Why files were left out, by path as it can be stored.
    """

    entries: dict[str, FileEntry]
    changes: list[FileChange]
    texts: dict[str, str]
    refusals: dict[str, str]


async def read_files(
    database: Database, before: Mapping[str, FileEntry], snapshot: FilesSnapshot, *, known: Mapping[str, str]
) -> FilesRead:
    """Take the files of a runtime that may stand in a draft, and compare them with those before.

    It is done before the transaction that stores them, and off the event loop: files may be many and large.

    Args:
        database: Where contents are.
        before: The files before, by path.
        snapshot: The files as the runtime has them.
        known: Contents by digest that are not stored yet.
    """
    entries, texts, refusals = await asyncio.to_thread(_check, snapshot, before, now())
    digests = changed_digests(before, entries)
    texts = {digest: text for digest, text in texts.items() if digest in digests}
    at_hand = {**known, **texts}
    if missing := digests - at_hand.keys():
        async with database.reading() as session:
            at_hand |= await contents.load(session, missing)
    changes = await asyncio.to_thread(changes_between, before, entries, at_hand)
    return FilesRead(entries, changes, texts, refusals)


def _check(
    snapshot: FilesSnapshot, before: Mapping[str, FileEntry], moment: datetime
) -> tuple[dict[str, FileEntry], dict[str, str], dict[str, str]]:
    """Give the entries, texts and refusals of a snapshot; what stood before is never crowded out by what is new."""
    files = snapshot.files
    entries = {path: entry for path, entry in before.items() if path not in files} if snapshot.is_partial else {}
    texts: dict[str, str] = {}
    refusals: dict[str, str] = {}
    for path in sorted((path for path in files if files[path] is not None), key=lambda path: path not in before):
        earlier = before.get(path)
        try:
            entry = _entry(path, files[path], moment, earlier, is_full=len(entries) >= MAX_FILES)
        except InvalidFile as error:
            refusals[storable_text(path[:MAX_PATH_LENGTH])] = str(error)
            if earlier is not None:
                entries[path] = earlier
        else:
            entries[path] = entry
            texts[entry.digest] = files[path]
    return entries, texts, refusals


def _entry(path: str, content: object, moment: datetime, earlier: FileEntry | None, *, is_full: bool) -> FileEntry:
    if not isinstance(content, str):
        raise InvalidFile("A file is text.")
    if is_full and earlier is None:
        raise InvalidFile(f"There are at most {MAX_FILES} files.")
    entry = entry_of(checked_path(path), checked_content(content), moment, earlier.type if earlier else None)
    return earlier if earlier is not None and earlier.digest == entry.digest else entry


async def refused_paths(session: Session, execution_id: UUID) -> set[str]:
    """Read which files of an execution were told to be refused."""
    query = select(Event.payload).where(
        Event.subject_id == execution_id,
        col(Event.type) == "RuntimeEventReceived",
        col(Event.payload)["event_type"].as_string() == _REFUSED,
    )
    return {payload["data"]["path"] for payload in (await session.exec(query)).all()}


def refusal(path: str, reason: str) -> NewEvent:
    """Make the event of a file that was left out."""
    return NewEvent("RuntimeEventReceived", {"event_type": _REFUSED, "data": {"path": path, "reason": reason}})


def files_changed(changes: list[FileChange]) -> NewEvent:
    """Make the event of files that changed; contents are not in it, but found by digest."""
    return NewEvent("FilesChanged", {"changes": [change_payload(change) for change in changes]})


@dataclass
class Written:
    """The files that events of one append brought, replaced or deleted.

    Attributes:
        texts: Contents that are not stored yet.
    """

    texts: Collection[str] = ()
    _gone: dict[str, int] = field(default_factory=dict)
    _rows: list[tuple[FileEntry, int]] = field(default_factory=list)
    _until: dict[int, int] = field(default_factory=dict)
    _standing: dict[str, int] = field(default_factory=dict)

    def add(self, changes: Iterable[FileChange], position: int) -> None:
        """Take what an event changed that is the first, the second and so on of those that are stored."""
        for change in changes:
            if change.before is not None:
                standing = self._standing.pop(change.path, None)
                if standing is None:
                    self._gone[change.path] = position
                else:
                    self._until[standing] = position
            if change.after is not None:
                self._standing[change.path] = len(self._rows)
                self._rows.append((change.after, position))

    def arguments(self) -> dict[str, list[Any]]:
        """Give the arguments of `contents.STORE` and of `WRITE`."""
        files = [file for file, _ in self._rows]
        return {
            **contents.arguments(self.texts),
            **arrays_of(files),
            "gone": list(self._gone.keys()),
            "gone_at": list(self._gone.values()),
            "since": [position for _, position in self._rows],
            "until": [self._until.get(index) for index in range(len(files))],
        }


async def insert(session: Session, execution_id: UUID, sequence: int, files: Iterable[FileEntry]) -> None:
    """Write files that stand from an event on."""
    rows = [
        {
            "execution_id": execution_id,
            "path": file.path,
            "from_sequence": sequence,
            "type": file.type,
            "digest": file.digest,
            "size": file.size,
            "updated_at": file.updated_at,
        }
        for file in files
    ]
    if rows:
        await session.execute(sqlalchemy.insert(ExecutionFile), rows)


async def files_at(reader: Rows, execution_id: UUID, sequence: int | None = None) -> dict[str, FileEntry]:
    """Read the files as the agent had left them right after an event; as they are now when None."""
    if sequence is None:
        return (await files_now(reader, [execution_id]))[execution_id]
    return (await files_then(reader, [(execution_id, sequence)]))[execution_id, sequence]


async def files_now(reader: Rows, execution_ids: Collection[UUID]) -> dict[UUID, dict[str, FileEntry]]:
    """Read the files of several executions as they are now."""
    files: dict[UUID, dict[str, FileEntry]] = {execution_id: {} for execution_id in execution_ids}
    for execution_id, path, *entry in await reader.rows(_NOW, ids=list(files)):
        files[execution_id][path] = FileEntry(path, *entry)
    return files


async def files_then(
    reader: Rows, moments: Collection[tuple[UUID, int]]
) -> dict[tuple[UUID, int], dict[str, FileEntry]]:
    """Read the files of several executions as they were right after an event of each."""
    files: dict[tuple[UUID, int], dict[str, FileEntry]] = {moment: {} for moment in moments}
    executions, sequences = [each for each, _ in files], [sequence for _, sequence in files]
    for execution_id, sequence, path, *entry in await reader.rows(_THEN, execution=executions, sequence=sequences):
        files[execution_id, sequence][path] = FileEntry(path, *entry)
    return files


def change_payload(change: FileChange) -> dict[str, Any]:
    """Write a change as an event stores it: without contents, which are found by digest."""
    return {
        "path": change.path,
        "kind": change.kind.value,
        "additions": change.additions,
        "deletions": change.deletions,
        "before": _entry_payload(change.before),
        "after": _entry_payload(change.after),
    }


def _entry_payload(entry: FileEntry | None) -> dict[str, Any] | None:
    if entry is None:
        return None
    return {
        "path": entry.path,
        "type": entry.type.value,
        "digest": entry.digest,
        "size": entry.size,
        "updated_at": entry.updated_at.isoformat(),
    }
