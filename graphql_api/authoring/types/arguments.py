"""Arguments that lists share."""

from typing import Annotated

import strawberry

from graphql_api.kit.types import EventCursor

First = Annotated[
    int | None,
    strawberry.argument(
        description="Items from the start, or after `after`: 1 to 100, and 25 when neither this nor `last` is given."
    ),
]
After = Annotated[str | None, strawberry.argument(description="Cursor of the item before the first wanted one.")]
Last = Annotated[int | None, strawberry.argument(description="Items up to the end, or before `before`: 1 to 100.")]
Before = Annotated[str | None, strawberry.argument(description="Cursor of the item after the last wanted one.")]
AfterEvent = Annotated[
    EventCursor | None, strawberry.argument(description="Cursor of the event before the first wanted one.")
]
Prefix = Annotated[str | None, strawberry.argument(description="Only files whose path begins so, such as `THE_CAST/`.")]
Path = Annotated[str, strawberry.argument(description="Path of the file.")]
