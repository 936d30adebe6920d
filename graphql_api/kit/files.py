"""Text files by path and content: what is valid, and what changed between two sets of them."""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import PurePosixPath
from typing import Any

from patiencediff import unified_diff

from graphql_api.kit.matching import LineMatcher

MAX_PATH_LENGTH = 500
"""Characters of a path."""

MAX_FILE_BYTES = 1024 * 1024
"""Bytes of UTF-8 in one file."""

MAX_FILES = 500
"""Files in one set."""


class FileType(Enum):
    """What a file holds, as editors need to know it."""

    MARKDOWN = "MARKDOWN"
    JSON = "JSON"
    YAML = "YAML"
    TEXT = "TEXT"


_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_TYPES = {
    ".md": FileType.MARKDOWN,
    ".markdown": FileType.MARKDOWN,
    ".json": FileType.JSON,
    ".yaml": FileType.YAML,
    ".yml": FileType.YAML,
}


class FileChangeKind(Enum):
    """What happened to a file between two sets."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


class InvalidFile(ValueError):
    """A path or a content that no file may have; the message says why."""


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file without its content.

    Attributes:
        path: Relative POSIX path.
        type: What the file holds.
        digest: SHA-256 of the content, hex: the key of the content store.
        size: Bytes of UTF-8.
        updated_at: When this content came to this path.
    """

    path: str
    type: FileType
    digest: str
    size: int
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class FileChange:
    """One file that differs between two sets; lines are counted as in a unified diff."""

    path: str
    kind: FileChangeKind
    additions: int
    deletions: int
    before: FileEntry | None
    after: FileEntry | None


def checked_path(path: str) -> str:
    """Return the path if a file may have it.

    Args:
        path: Relative POSIX path of 1 to 500 characters in NFC, without `.`, `..` or empty segments, control
            characters or backslashes.

    Raises:
        InvalidFile: With the rule that the path breaks.
    """
    if not path or len(path) > MAX_PATH_LENGTH:
        raise InvalidFile(f"A path has 1 to {MAX_PATH_LENGTH} characters.")
    if path.startswith("/"):
        raise InvalidFile("A path is relative: remove the leading slash.")
    if "\\" in path:
        raise InvalidFile("A path uses forward slashes.")
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in path):
        raise InvalidFile("A path has no control characters.")
    if any(segment in {"", ".", ".."} for segment in path.split("/")):
        raise InvalidFile('A path has no empty, "." or ".." segment.')
    if not unicodedata.is_normalized("NFC", path):
        raise InvalidFile("A path is in Unicode normal form NFC.")
    return path


def checked_content(content: str) -> str:
    """Return the content if a file may have it: UTF-8 without NUL, at most 1 MiB.

    Raises:
        InvalidFile: With the rule that the content breaks.
    """
    if "\x00" in content:
        raise InvalidFile("A file has no NUL character.")
    try:
        size = len(content.encode())
    except UnicodeEncodeError as error:
        raise InvalidFile("A file is valid Unicode: it has a lone surrogate.") from error
    if size > MAX_FILE_BYTES:
        raise InvalidFile(f"A file has at most {MAX_FILE_BYTES} bytes; this one has {size}.")
    return content


def type_of(path: str) -> FileType:
    """Tell the type of a file by the ending of its path."""
    return _TYPES.get(PurePosixPath(path).suffix.lower(), FileType.TEXT)


def digest_of(content: str) -> str:
    """Return the SHA-256 of the content's UTF-8, hex."""
    return hashlib.sha256(content.encode()).hexdigest()


def entry_of(path: str, content: str, updated_at: datetime, type_: FileType | None = None) -> FileEntry:
    """Describe a file by its path and content; the type follows the path unless one is given."""
    encoded = content.encode()
    return FileEntry(path, type_ or type_of(path), hashlib.sha256(encoded).hexdigest(), len(encoded), updated_at)


def arrays_of(files: Sequence[FileEntry]) -> dict[str, list[Any]]:
    """Give files as a statement's arguments: an array of each attribute."""
    return {
        "file_paths": [file.path for file in files],
        "file_types": [file.type.value for file in files],
        "file_digests": [file.digest for file in files],
        "file_sizes": [file.size for file in files],
        "file_times": [file.updated_at for file in files],
    }


def changes_between(
    before: Mapping[str, FileEntry], after: Mapping[str, FileEntry], contents: Mapping[str, str]
) -> list[FileChange]:
    """List what differs between two sets of files, by path.

    Args:
        before: The earlier set, by path.
        after: The later set, by path.
        contents: The content of every digest that `changed_digests` names for these sets.
    """
    return [
        _change(path, before.get(path), after.get(path), contents) for path in sorted(_changed_paths(before, after))
    ]


def changed_digests(before: Mapping[str, FileEntry], after: Mapping[str, FileEntry]) -> set[str]:
    """Name the contents that `changes_between` reads for these sets."""
    entries = (files.get(path) for path in _changed_paths(before, after) for files in (before, after))
    return {entry.digest for entry in entries if entry is not None}


def diff(path: str, before: str | None, after: str | None) -> str:
    """Write the unified diff of one file, with three lines of context; None is a file that is not there."""
    lines = unified_diff(
        lines_of(before),
        lines_of(after),
        fromfile="/dev/null" if before is None else f"a/{path}",
        tofile="/dev/null" if after is None else f"b/{path}",
        sequencematcher=LineMatcher,
    )
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def lines_of(content: str | None) -> list[str]:
    """Split a file into lines with their ends; only a line feed ends a line."""
    return [] if not content else _LINE.findall(content)


def _changed_paths(before: Mapping[str, FileEntry], after: Mapping[str, FileEntry]) -> set[str]:
    paths: Iterable[str] = before.keys() | after.keys()
    return {path for path in paths if _identity(before.get(path)) != _identity(after.get(path))}


def _identity(entry: FileEntry | None) -> tuple[str, FileType] | None:
    return None if entry is None else (entry.digest, entry.type)


def _change(path: str, before: FileEntry | None, after: FileEntry | None, contents: Mapping[str, str]) -> FileChange:
    old = lines_of(None if before is None else contents[before.digest])
    new = lines_of(None if after is None else contents[after.digest])
    additions = deletions = 0
    for tag, old_start, old_end, new_start, new_end in LineMatcher(None, old, new).get_opcodes():
        if tag != "equal":
            deletions += old_end - old_start
            additions += new_end - new_start
    kind = (
        FileChangeKind.ADDED if before is None else FileChangeKind.DELETED if after is None else FileChangeKind.MODIFIED
    )
    return FileChange(path, kind, additions, deletions, before, after)
