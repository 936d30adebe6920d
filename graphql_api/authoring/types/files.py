"""GraphQL types of specification files."""

import asyncio
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Self

import strawberry

from graphql_api.authoring.loaders import Loaders
from graphql_api.authoring.types.enums import FileChangeKind, FileType
from graphql_api.authoring.types.info import Info
from graphql_api.kit import files
from graphql_api.kit.files import FileEntry


@strawberry.type(description="A text file of a draft, version or proposal.")
class SpecificationFile:
    """A text file."""

    path: str = strawberry.field(
        description="Relative POSIX path of 1 to 500 characters in NFC, such as `THE_SPEC/requirements.md`."
    )
    type: FileType = strawberry.field(description="What the file holds.")
    size: int = strawberry.field(description="Bytes of UTF-8, at most 1048576.")
    digest: str = strawberry.field(description="SHA-256 of the content's UTF-8, hex.")
    updated_at: datetime = strawberry.field(description="When this content came to this path.")
    text: strawberry.Private[str | None] = None

    @strawberry.field(description="The whole text.")
    async def content(self, info: Info) -> str:
        """Read the text."""
        return self.text if self.text is not None else await info.context.loader(Loaders).content.load(self.digest)

    @classmethod
    def of(cls, entry: FileEntry, text: str | None = None) -> Self:
        """Show a file; its text is loaded when it is selected, unless it is given."""
        return cls(
            path=entry.path,
            type=entry.type,
            size=entry.size,
            digest=entry.digest,
            updated_at=entry.updated_at,
            text=text,
        )

    @classmethod
    def from_payload(cls, payload: dict[str, Any] | None) -> Self | None:
        """Show a file as an event stored it."""
        if payload is None:
            return None
        return cls(
            path=payload["path"],
            type=FileType(payload["type"]),
            size=payload["size"],
            digest=payload["digest"],
            updated_at=datetime.fromisoformat(payload["updated_at"]),
        )


def listed(entries: Iterable[FileEntry], prefix: str | None) -> list[SpecificationFile]:
    """Show files in the order of their paths, only those under a prefix when one is given."""
    return [SpecificationFile.of(entry) for entry in entries if prefix is None or entry.path.startswith(prefix)]


@strawberry.type(description="One file that differs between two sets of files.")
class FileChange:
    """One file that differs."""

    path: str = strawberry.field(description="Path of the file.")
    kind: FileChangeKind = strawberry.field(description="What happened to it.")
    additions: int = strawberry.field(description="Lines added.")
    deletions: int = strawberry.field(description="Lines deleted.")
    before: SpecificationFile | None = strawberry.field(description="The file before; null when it was added.")
    after: SpecificationFile | None = strawberry.field(description="The file after; null when it was deleted.")

    @strawberry.field(description="The change as a unified diff, with three lines of context.")
    async def unified_diff(self, info: Info) -> str:
        """Write the diff."""
        before, after = await asyncio.gather(_text(info, self.before), _text(info, self.after))
        return await asyncio.to_thread(files.diff, self.path, before, after)

    @classmethod
    def of(cls, change: files.FileChange, texts: Mapping[str, str] | None = None) -> Self:
        """Show a change; contents that are not stored yet are given by digest."""
        known = texts or {}
        return cls(
            path=change.path,
            kind=change.kind,
            additions=change.additions,
            deletions=change.deletions,
            before=None
            if change.before is None
            else SpecificationFile.of(change.before, known.get(change.before.digest)),
            after=None if change.after is None else SpecificationFile.of(change.after, known.get(change.after.digest)),
        )

    @classmethod
    def from_payload(cls, payload: dict[str, Any]) -> Self:
        """Show a change as an event stored it."""
        return cls(
            path=payload["path"],
            kind=FileChangeKind(payload["kind"]),
            additions=payload["additions"],
            deletions=payload["deletions"],
            before=SpecificationFile.from_payload(payload["before"]),
            after=SpecificationFile.from_payload(payload["after"]),
        )


async def _text(info: Info, file: SpecificationFile | None) -> str | None:
    return None if file is None else await file.content(info)
