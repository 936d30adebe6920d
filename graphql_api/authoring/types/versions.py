"""GraphQL type of versions."""

import asyncio
from datetime import datetime
from typing import Annotated, Self

import strawberry

from graphql_api.authoring import models
from graphql_api.authoring.loaders import Loaders
from graphql_api.authoring.types import workflows
from graphql_api.authoring.types.arguments import Path, Prefix
from graphql_api.authoring.types.definitions import WorkflowDefinition, read_definition
from graphql_api.authoring.types.enums import AccessRole, VersionStatus
from graphql_api.authoring.types.files import FileChange, SpecificationFile, listed
from graphql_api.authoring.types.info import Info
from graphql_api.authoring.types.lazy import LazyWorkflow
from graphql_api.authoring.types.loading import loaded
from graphql_api.identity import models as identity
from graphql_api.identity.types import User
from graphql_api.kit.errors import Invalid
from graphql_api.kit.files import FileEntry
from graphql_api.kit.showing import show, shows_row
from graphql_api.kit.types import Node


@shows_row()
@strawberry.type(description="An immutable published snapshot of a workflow's files.")
class Version(Node):
    """An immutable published snapshot."""

    number: int = strawberry.field(description="1, 2, 3 … within the workflow.")
    status: VersionStatus = strawberry.field(description="Whether it is still recommended.")
    notes: str | None = strawberry.field(description="What its publisher wrote about it.")
    published_at: datetime = strawberry.field(description="When it was published.")
    row: strawberry.Private[models.Version]

    @classmethod
    def of(cls, row: models.Version) -> Self:
        """Show a version."""
        return show(cls, row)

    @strawberry.field(description="The workflow that it belongs to.")
    @loaded(lambda loaders: loaders.workflow, by=lambda part: part.row.workflow_id)
    def workflow(self, found: tuple[models.Workflow, AccessRole] | None) -> LazyWorkflow:
        """Show the workflow."""
        return workflows.Workflow.found(found)

    @strawberry.field(description="Whether it is the one that is deployed.")
    @loaded(lambda loaders: loaders.workflow, by=lambda version: version.row.workflow_id)
    def is_production(self, found: tuple[models.Workflow, AccessRole] | None) -> bool:
        """Tell whether it is deployed."""
        return workflows.Workflow.found(found).row.production_version_number == self.row.number

    @strawberry.field(description="How many files it has, at most 500.")
    @loaded(lambda loaders: loaders.version_file_count, by=lambda version: version.row.id)
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

    @strawberry.field(description="The agent graph of its `definition.json`; null when it has none.")
    async def definition(self, info: Info) -> WorkflowDefinition | None:
        """Show the agent graph."""
        return await read_definition(info, await self._files(info))

    @strawberry.field(description="What it changes against another version of the same workflow.")
    async def changes(
        self,
        info: Info,
        since: Annotated[
            int | None,
            strawberry.argument(description="Number of the other version; the previous one when null, or nothing."),
        ] = None,
    ) -> list[FileChange]:
        """List the changes."""
        before, after = await asyncio.gather(self._files_before(info, since), self._files(info))
        return [FileChange.of(change) for change in await info.context.loader(Loaders).compare(before, after)]

    @strawberry.field(description="Who published it.")
    @loaded(lambda loaders: loaders.user, by=lambda version: version.row.published_by_id)
    def published_by(self, found: identity.User) -> User:
        """Show who published it."""
        return User.of(found)

    async def _files_before(self, info: Info, since: int | None) -> dict[str, FileEntry]:
        loaders = info.context.loader(Loaders)
        number = self.row.number - 1 if since is None else since
        base = await loaders.numbered_version.load((self.row.workflow_id, number))
        if base is None and since is not None:
            raise Invalid(f"This workflow has no version {since}.", path=["since"])
        return await loaders.version_files.load(base.id) if base else {}

    async def _files(self, info: Info) -> dict[str, FileEntry]:
        return await info.context.loader(Loaders).version_files.load(self.row.id)
