"""Three-way merge of sets of text files: the base, the draft as it is (ours), the proposal (theirs).

Content is merged line by line. What only one side changed is taken from that side; what both changed in the same
lines is a conflict, which a `Resolution` settles for the whole file.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from graphql_api.authoring.strict_json import read_json
from graphql_api.authoring.text_merging import merge_text
from graphql_api.kit.errors import Invalid
from graphql_api.kit.files import FileEntry, FileType, InvalidFile, checked_content

_Identity = tuple[str, FileType]


class MergeStatus(Enum):
    """How a merge went."""

    FAST_FORWARD = "FAST_FORWARD"
    """The draft did not move since the base."""
    CLEAN = "CLEAN"
    """Both moved; they merge."""
    CONFLICTED = "CONFLICTED"
    """Both changed the same lines of a file, and no resolution says what it shall be."""


class ConflictSide(Enum):
    """Whose file to take."""

    OURS = "OURS"
    """The draft's."""
    THEIRS = "THEIRS"
    """The proposal's."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a file in conflict shall be.

    Attributes:
        path: A file in conflict.
        side: The side to take it from, deleted or not. Exactly one of `side` and `content` is given.
        content: The whole text that it shall have.
    """

    path: str
    side: ConflictSide | None = None
    content: str | None = None


@dataclass(frozen=True, slots=True)
class Conflict:
    """A file that both sides changed in ways that do not go together.

    Attributes:
        path: Where it is on all sides.
        base: As both started from; None when both added it.
        ours: As in the draft; None when the draft deleted it.
        theirs: As in the proposal; None when the proposal deleted it.
        merged: With conflict markers around the lines in question. None when a side deleted the file. Without
            markers when the lines merge but what they make is broken JSON or too large.
    """

    path: str
    base: FileEntry | None
    ours: FileEntry | None
    theirs: FileEntry | None
    merged: str | None


@dataclass(frozen=True, slots=True)
class MergedFile:
    """A file of the result. Exactly one of `content` and `entry` is given.

    Attributes:
        path: Where it is.
        type: What it holds.
        content: Text that no side has: to be hashed and stored.
        entry: The file as a side has it, content stored already. Its type is the result's.
    """

    path: str
    type: FileType
    content: str | None
    entry: FileEntry | None


@dataclass(frozen=True, slots=True)
class Merge:
    """What approving would do.

    Attributes:
        status: How it went.
        files: Every file of the result, by path. A file in conflict stands as in the draft.
        conflicts: What no resolution settles, by path.
        digest: See `digest_of_sides`.
    """

    status: MergeStatus
    files: Mapping[str, MergedFile]
    conflicts: list[Conflict]
    digest: str


def digest_of_sides(
    base: Mapping[str, FileEntry], ours: Mapping[str, FileEntry], theirs: Mapping[str, FileEntry]
) -> str:
    """Return the SHA-256, hex, of the three sets of files that a merge starts from.

    A merge follows from its sides alone, and a proposal's base and files never change: so this is the same exactly
    as long as the draft's files are, and with them the outcome. Paths and resolutions are not part of it, for a
    caller reads it from a preview, which has none, and hands it back with them.
    """
    rows = [
        [[path, files[path].type.value, files[path].digest] for path in sorted(files)] for files in (base, ours, theirs)
    ]
    return hashlib.sha256(json.dumps(rows, separators=(",", ":")).encode()).hexdigest()


def needed_digests(
    base: Mapping[str, FileEntry],
    ours: Mapping[str, FileEntry],
    theirs: Mapping[str, FileEntry],
    paths: Collection[str] | None = None,
) -> set[str]:
    """Name the contents that `merge` reads: those of the files whose text both sides changed."""
    taken = _changed_paths(base, theirs) if paths is None else set(paths)
    sides = ((base.get(path), ours.get(path), theirs.get(path)) for path in taken)
    return {entry.digest for files in sides if _both_changed_text(*files) for entry in files if entry is not None}


def merge(
    base: Mapping[str, FileEntry],
    ours: Mapping[str, FileEntry],
    theirs: Mapping[str, FileEntry],
    contents: Mapping[str, str],
    *,
    resolutions: Sequence[Resolution] = (),
    paths: Collection[str] | None = None,
) -> Merge:
    """Bring what the proposal changed since the base into the draft.

    Args:
        base: The draft that the proposal started from, by path.
        ours: The draft as it is.
        theirs: The proposal.
        contents: The content of every digest that `needed_digests` names for these sides.
        resolutions: One for each conflict that is settled.
        paths: Take only these files of the proposal; all that it changed when None.

    Raises:
        Invalid: When a path is not one that the proposal changed, or a resolution is not of a conflict, is the second
            for its file, or says both, neither or a text that no file may have.
    """
    changed = _changed_paths(base, theirs)
    taken = changed if paths is None else _checked_paths(paths, changed)
    files = {path: _as_is(entry) for path, entry in ours.items()}
    conflicts: dict[str, Conflict] = {}
    for path in sorted(taken):
        outcome = _merge_file(path, base.get(path), ours.get(path), theirs.get(path), contents)
        if isinstance(outcome, Conflict):
            conflicts[path] = outcome
        else:
            _put(files, path, outcome)
    for path, resolution in _checked_resolutions(resolutions, conflicts).items():
        _put(files, path, _resolved(conflicts.pop(path), resolution))
    return Merge(
        status=_status(base, ours, conflicts),
        files=dict(sorted(files.items())),
        conflicts=list(conflicts.values()),
        digest=digest_of_sides(base, ours, theirs),
    )


def _status(base: Mapping[str, FileEntry], ours: Mapping[str, FileEntry], conflicts: Collection[str]) -> MergeStatus:
    if conflicts:
        return MergeStatus.CONFLICTED
    return MergeStatus.CLEAN if _changed_paths(base, ours) else MergeStatus.FAST_FORWARD


def _changed_paths(before: Mapping[str, FileEntry], after: Mapping[str, FileEntry]) -> set[str]:
    return {path for path in before.keys() | after.keys() if _identity(before.get(path)) != _identity(after.get(path))}


def _identity(entry: FileEntry | None) -> _Identity | None:
    return None if entry is None else (entry.digest, entry.type)


def _as_is(entry: FileEntry, type_: FileType | None = None) -> MergedFile:
    typed = entry if type_ in {None, entry.type} else replace(entry, type=type_)
    return MergedFile(entry.path, typed.type, None, typed)


def _put(files: dict[str, MergedFile], path: str, file: MergedFile | None) -> None:
    if file is None:
        files.pop(path, None)
    else:
        files[path] = file


def _both_changed_text(base: FileEntry | None, ours: FileEntry | None, theirs: FileEntry | None) -> bool:
    if ours is None or theirs is None:
        return False
    return ours.digest != theirs.digest and (base is None or base.digest not in {ours.digest, theirs.digest})


def _merge_file(
    path: str, base: FileEntry | None, ours: FileEntry | None, theirs: FileEntry | None, contents: Mapping[str, str]
) -> MergedFile | Conflict | None:
    if _identity(ours) == _identity(theirs):
        return None if ours is None else _as_is(ours)
    if _identity(ours) == _identity(base):
        return None if theirs is None else _as_is(theirs)
    if ours is None or theirs is None:
        return Conflict(path, base, ours, theirs, merged=None)
    type_ = _merged_type(base, ours, theirs)
    if not _both_changed_text(base, ours, theirs):
        return _as_is(theirs if base is not None and ours.digest == base.digest else ours, type_)
    texts = ["" if entry is None else contents[entry.digest] for entry in (base, ours, theirs)]
    merged, is_clean = merge_text(*texts)
    if is_clean and _may_stand(merged, type_, texts if base is not None else texts[1:]):
        return MergedFile(path, type_, merged, None)
    return Conflict(path, base, ours, theirs, merged)


def _merged_type(base: FileEntry | None, ours: FileEntry, theirs: FileEntry) -> FileType:
    return theirs.type if base is not None and ours.type == base.type else ours.type


def _may_stand(merged: str, type_: FileType, texts: Iterable[str]) -> bool:
    """Tell whether lines that merge also make a file that works as well as the ones they come from."""
    try:
        checked_content(merged)
    except InvalidFile:
        return False
    return (
        type_ is not FileType.JSON or not read_json(merged).problems or any(read_json(text).problems for text in texts)
    )


def _checked_paths(paths: Collection[str], changed: Collection[str]) -> set[str]:
    for index, path in enumerate(paths):
        if path not in changed:
            raise Invalid(
                f'The proposal does not change "{path}". It changes {_listed(changed)}.',
                path=["input", "paths", str(index)],
            )
    return set(paths)


def _checked_resolutions(resolutions: Sequence[Resolution], conflicts: Collection[str]) -> dict[str, Resolution]:
    checked: dict[str, Resolution] = {}
    for index, resolution in enumerate(resolutions):
        at = ["input", "resolutions", str(index)]
        if resolution.path not in conflicts:
            raise Invalid(
                f'"{resolution.path}" is not in conflict. In conflict: {_listed(conflicts)}.', path=[*at, "path"]
            )
        if resolution.path in checked:
            raise Invalid(f'"{resolution.path}" is resolved twice: keep one of the two.', path=[*at, "path"])
        if (resolution.side is None) == (resolution.content is None):
            raise Invalid("A resolution has either a side or a content.", path=at)
        if resolution.content is not None:
            try:
                checked_content(resolution.content)
            except InvalidFile as error:
                raise Invalid(f'"{resolution.path}": {error}', path=[*at, "content"]) from error
        checked[resolution.path] = resolution
    return checked


_LISTED = 10


def _listed(paths: Collection[str]) -> str:
    first = ", ".join(f'"{path}"' for path in sorted(paths)[:_LISTED])
    more = len(paths) - _LISTED
    return f"{first} and {more} more" if more > 0 else first or "nothing"


def _resolved(conflict: Conflict, resolution: Resolution) -> MergedFile | None:
    if resolution.content is not None:
        return MergedFile(conflict.path, _resolved_type(conflict), resolution.content, None)
    entry = conflict.ours if resolution.side is ConflictSide.OURS else conflict.theirs
    return None if entry is None else _as_is(entry)


def _resolved_type(conflict: Conflict) -> FileType:
    if conflict.ours is not None and conflict.theirs is not None:
        return _merged_type(conflict.base, conflict.ours, conflict.theirs)
    return next(entry.type for entry in (conflict.ours, conflict.theirs) if entry is not None)
