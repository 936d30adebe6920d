"""The files of an execution: what a snapshot changed, and what of it no file may be."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlmodel import col, update

from graphql_api.events.records import NewEvent
from graphql_api.kit import contents
from graphql_api.kit.database import Session
from graphql_api.kit.files import (
    MAX_FILES,
    FileChange,
    FileEntry,
    InvalidFile,
    changed_digests,
    changes_between,
    checked_content,
    checked_path,
    entry_of,
)
from graphql_api.runtimes.models import ExecutionFile


@dataclass(frozen=True, slots=True)
class FilesRead:
    """What a snapshot holds once its bad files are left out.

    Attributes:
        entries: The valid files by path.
        texts: Their contents by digest.
        refusals: One event for each file that was left out.
    """

    entries: dict[str, FileEntry]
    texts: dict[str, str]
    refusals: list[NewEvent]


def read_files(files: Mapping[str, str], moment: datetime) -> FilesRead:
    """Take the files of a runtime that may stand in a draft; a refused one becomes an event, and the run goes on."""
    entries: dict[str, FileEntry] = {}
    texts: dict[str, str] = {}
    refusals = []
    for path, content in files.items():
        try:
            entry = entry_of(checked_path(path), checked_content(content), moment)
        except InvalidFile as error:
            refusals.append(_refusal(path, str(error)))
            continue
        if len(entries) >= MAX_FILES:
            refusals.append(_refusal(path, f"There are at most {MAX_FILES} files."))
        else:
            entries[path] = entry
            texts[entry.digest] = content
    return FilesRead(entries, texts, refusals)


async def compare(session: Session, before: Mapping[str, FileEntry], read: FilesRead) -> list[FileChange]:
    """List what a snapshot changed against the files before it."""
    missing = changed_digests(before, read.entries) - read.texts.keys()
    return changes_between(before, read.entries, {**await contents.load(session, missing), **read.texts})


async def record(session: Session, execution_id: UUID, sequence: int, changes: list[FileChange]) -> None:
    """Write the files that an event brought, replaced or deleted."""
    await session.execute(
        update(ExecutionFile)
        .where(
            col(ExecutionFile.execution_id) == execution_id,
            col(ExecutionFile.to_sequence).is_(None),
            col(ExecutionFile.path).in_([change.path for change in changes if change.before is not None]),
        )
        .values(to_sequence=sequence)
    )
    session.add_all(
        ExecutionFile(
            execution_id=execution_id,
            path=file.path,
            from_sequence=sequence,
            type=file.type,
            digest=file.digest,
            size=file.size,
            updated_at=file.updated_at,
        )
        for file in (change.after for change in changes)
        if file is not None
    )
    await session.flush()


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


def _refusal(path: str, reason: str) -> NewEvent:
    return NewEvent("RuntimeEventReceived", {"event_type": "file_refused", "data": {"path": path, "reason": reason}})
