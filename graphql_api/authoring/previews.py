"""What approving a proposal would do, as it is shown."""

from collections.abc import Mapping
from dataclasses import dataclass

from graphql_api.authoring.merging import Merge
from graphql_api.kit.files import FileChange


@dataclass(frozen=True, slots=True)
class Preview:
    """What approving a proposal now would do.

    Attributes:
        merge: The merge, without resolutions.
        draft_revision: The revision of the draft that it would change. Not the row, which a refusal's rollback expires.
        changes: What it would change in it.
        texts: Contents that only the merge has, by digest.
    """

    merge: Merge
    draft_revision: int
    changes: list[FileChange]
    texts: Mapping[str, str]
