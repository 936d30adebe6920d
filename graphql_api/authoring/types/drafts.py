"""GraphQL type of drafts."""

import asyncio
from datetime import datetime
from typing import Self
from uuid import UUID

import strawberry

from graphql_api.authoring import definitions, models
from graphql_api.authoring.loaders import Loaders
from graphql_api.authoring.types import versions, workflows
from graphql_api.authoring.types.arguments import Path, Prefix
from graphql_api.authoring.types.definitions import Diagnostic, WorkflowDefinition, definition_text, read_definition
from graphql_api.authoring.types.enums import AccessRole, DraftStatus
from graphql_api.authoring.types.files import FileChange, SpecificationFile, listed
from graphql_api.authoring.types.info import Info
from graphql_api.authoring.types.lazy import LazyVersion, LazyWorkflow
from graphql_api.authoring.types.loading import loaded
from graphql_api.identity import models as identity
from graphql_api.identity.types import User
from graphql_api.kit.files import FileEntry
from graphql_api.kit.showing import show, shows_row
from graphql_api.kit.types import Node


@shows_row()
@strawberry.type(description="What is being edited. A workflow has at most one open draft.")
class Draft(Node):
    """What is being edited."""

    name: str = strawberry.field(description="The workflow's name when the draft was opened.")
    description: str | None = strawberry.field(description="The workflow's description when the draft was opened.")
    status: DraftStatus = strawberry.field(description="What the authors say of it.")
    revision: int = strawberry.field(description="Grows by one with every accepted change: the optimistic lock.")
    created_at: datetime = strawberry.field(description="When it was opened.")
    updated_at: datetime = strawberry.field(description="When it changed last.")
    row: strawberry.Private[models.Draft]

    @classmethod
    def of(cls, row: models.Draft) -> Self:
        """Show a draft."""
        return show(cls, row)

    @property
    def base_key(self) -> tuple[UUID, int] | None:
        """What finds the version that it started from."""
        number = self.row.based_on_version_number
        return None if number is None else (self.row.workflow_id, number)

    @strawberry.field(description="The workflow that it belongs to.")
    @loaded(lambda loaders: loaders.workflow, by=lambda part: part.row.workflow_id)
    def workflow(self, found: tuple[models.Workflow, AccessRole] | None) -> LazyWorkflow:
        """Show the workflow."""
        return workflows.Workflow.found(found)

    @strawberry.field(description="The version that it started from; null when nothing was published then.")
    @loaded(lambda loaders: loaders.numbered_version, by=lambda draft: draft.base_key)
    def based_on_version(self, found: models.Version | None) -> LazyVersion | None:
        """Show the version that it started from."""
        return None if found is None else versions.Version.of(found)

    @strawberry.field(description="How many files it has, at most 500.")
    @loaded(lambda loaders: loaders.draft_file_count, by=lambda draft: draft.row.id)
    def file_count(self, found: int | None) -> int:
        """Count the files."""
        return found or 0

    @strawberry.field(description="Its files in the order of their paths.")
    async def files(self, info: Info, prefix: Prefix = None) -> list[SpecificationFile]:
        """List the files."""
        return listed((await self._files(info)).values(), prefix)

    @strawberry.field(description="One file by its path; null when there is none.")
    async def file(self, info: Info, path: Path) -> SpecificationFile | None:
        """Show one file."""
        entry = (await self._files(info)).get(path)
        return None if entry is None else SpecificationFile.of(entry)

    @strawberry.field(description="What it changes against `basedOnVersion`, or against nothing.")
    async def changes(self, info: Info) -> list[FileChange]:
        """List the changes."""
        before, after = await asyncio.gather(self._base_files(info), self._files(info))
        return [FileChange.of(change) for change in await info.context.loader(Loaders).compare(before, after)]

    @strawberry.field(description="The agent graph of its `definition.json`; null when that is missing or unreadable.")
    async def definition(self, info: Info) -> WorkflowDefinition | None:
        """Show the agent graph."""
        return await read_definition(info, await self._files(info))

    @strawberry.field(
        description="What would stop `publishDraft` now (ERROR), and what is only worth knowing (WARNING)."
    )
    async def diagnostics(self, info: Info) -> list[Diagnostic]:
        """List what is to be said of the definition."""
        files = await self._files(info)
        found = definitions.diagnose(await definition_text(info, files), files.keys())
        return [Diagnostic.of(diagnostic) for diagnostic in found]

    @strawberry.field(description="Who opened it.")
    @loaded(lambda loaders: loaders.user, by=lambda draft: draft.row.created_by_id)
    def created_by(self, found: identity.User) -> User:
        """Show who opened it."""
        return User.of(found)

    async def _base_files(self, info: Info) -> dict[str, FileEntry]:
        loaders = info.context.loader(Loaders)
        base = await loaders.numbered_version.load(self.base_key) if self.base_key else None
        return await loaders.version_files.load(base.id) if base else {}

    async def _files(self, info: Info) -> dict[str, FileEntry]:
        return await info.context.loader(Loaders).draft_files.load(self.row.id)
