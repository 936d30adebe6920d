"""GraphQL types of all events."""

from datetime import datetime

import strawberry

from graphql_api.kit.types import EventCursor


@strawberry.interface(description="Something that happened, at a position of a log.")
class Event:
    """Something that happened."""

    cursor: EventCursor = strawberry.field(
        description="Position of the event: hand it back in `after` to get what came later. Of an event that is not "
        "stored, the position of the stored one before it."
    )
    sequence: int = strawberry.field(
        description="1, 2, 3 … within the log, without a hole. Of an event that is not stored, that of the stored one "
        "before it."
    )
    occurred_at: datetime = strawberry.field(description="When it happened, by the server's clock.")
