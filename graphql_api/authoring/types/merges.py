"""GraphQL types of merges."""

from collections.abc import Mapping
from typing import Self

import strawberry

from graphql_api.authoring import merging
from graphql_api.authoring.previews import Preview
from graphql_api.authoring.types.enums import MergeStatus
from graphql_api.authoring.types.files import FileChange, SpecificationFile
from graphql_api.kit.files import FileEntry


@strawberry.type(description="A file that the draft and the proposal changed in ways that do not go together.")
class MergeConflict:
    """A file in conflict."""

    path: str = strawberry.field(description="Path of the file.")
    base: SpecificationFile | None = strawberry.field(description="As both started from; null when both added it.")
    ours: SpecificationFile | None = strawberry.field(description="As in the draft; null when it was deleted there.")
    theirs: SpecificationFile | None = strawberry.field(
        description="As in the proposal; null when it was deleted there."
    )
    merged: str | None = strawberry.field(
        description="With conflict markers around the lines in question; null when a side deleted the file."
    )

    @classmethod
    def of(cls, conflict: merging.Conflict) -> Self:
        """Show a conflict."""
        return cls(
            path=conflict.path,
            base=_shown(conflict.base),
            ours=_shown(conflict.ours),
            theirs=_shown(conflict.theirs),
            merged=conflict.merged,
        )


@strawberry.type(description="Three-way merge of the base, the draft as it is (ours) and the proposal (theirs).")
class MergePreview:
    """What approving would do."""

    status: MergeStatus = strawberry.field(description="How the merge goes.")
    draft_revision: int = strawberry.field(description="The draft's revision that was merged with.")
    changes: list[FileChange] = strawberry.field(
        description="What approving would change in the draft. Files in conflict are not among them."
    )
    conflicts: list[MergeConflict] = strawberry.field(description="What needs resolutions.")
    digest: str = strawberry.field(
        description="Hand back in `approveProposal` to approve exactly what was shown. Stays the same as long as the "
        "draft's files do."
    )

    @classmethod
    def of(cls, preview: Preview) -> Self:
        """Show a merge."""
        texts: Mapping[str, str] = preview.texts
        return cls(
            status=preview.merge.status,
            draft_revision=preview.draft_revision,
            changes=[FileChange.of(change, texts) for change in preview.changes],
            conflicts=[MergeConflict.of(conflict) for conflict in preview.merge.conflicts],
            digest=preview.merge.digest,
        )


def _shown(entry: FileEntry | None) -> SpecificationFile | None:
    return None if entry is None else SpecificationFile.of(entry)
