"""Who acts."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody who is signed in.

    Attributes:
        user_id: Key of the user.
        is_admin: Whether they may act as an owner of every workflow.
    """

    user_id: UUID
    is_admin: bool = False
