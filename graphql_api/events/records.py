"""What the log takes and gives."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self, TypeVar
from uuid import UUID

View = TypeVar("View")


@dataclass(slots=True)
class _Shared:
    """What many followers are handed at once: nobody changes it. To freeze it would cost a microsecond for each."""

    _made_by: object = field(init=False, repr=False, compare=False, default=None)
    _made: Any = field(init=False, repr=False, compare=False, default=None)

    def view(self, make: Callable[[Self], View]) -> View:
        """Give what a function makes of the event; it is made once for all who are handed the same event.

        All who follow a log make the same of its events: what another function made is forgotten.
        """
        if self._made_by is not make:
            self._made, self._made_by = make(self), make
        view: View = self._made
        return view


@dataclass(frozen=True, slots=True)
class NewEvent:
    """Something that happened and is to be stored.

    Attributes:
        type: Name of the event's GraphQL type, such as `ToolCallStarted`.
        payload: The type's own fields in snake case; JSON values only.
        is_terminal: Whether nothing may follow it: the log is closed with it.
    """

    type: str
    payload: Mapping[str, Any]
    is_terminal: bool = False


@dataclass(frozen=True, slots=True)
class NewLiveEvent:
    """Something for those who follow now; it is not stored.

    Attributes:
        type: Name of the event's GraphQL type, such as `AgentMessageDelta`.
        payload: The type's own fields in snake case; JSON values only.
    """

    type: str
    payload: Mapping[str, Any]


@dataclass(slots=True)
class StoredEvent(_Shared):
    """An event of a log.

    Attributes:
        subject: What the log is about.
        sequence: Position in the log: 1, 2, 3 … without a hole.
        type: Name of the event's GraphQL type.
        payload: The type's own fields in snake case.
        occurred_at: When it was appended, by the database's clock.
        is_terminal: Whether it is the last one.
    """

    subject: UUID
    sequence: int
    type: str
    payload: Mapping[str, Any]
    occurred_at: datetime
    is_terminal: bool


@dataclass(slots=True)
class LiveEvent(_Shared):
    """An event that is fanned out to whoever follows now, and not stored.

    Attributes:
        subject: What the log is about.
        sequence: Position of the stored event before it.
        type: Name of the event's GraphQL type.
        payload: The type's own fields in snake case.
        occurred_at: When it was published.
    """

    subject: UUID
    sequence: int
    type: str
    payload: Mapping[str, Any]
    occurred_at: datetime
