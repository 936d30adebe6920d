"""Column types that SQLModel does not have."""

from datetime import UTC, datetime
from enum import Enum
from typing import Any

from sqlalchemy import DateTime, Dialect, Text, TypeDecorator
from sqlmodel import Field


class EnumText(TypeDecorator[Enum]):
    """An enumeration stored as text: a new value needs no `ALTER TYPE`, a check constraint guards the column."""

    impl = Text
    cache_ok = True

    def __init__(self, enum: type[Enum]) -> None:
        super().__init__()
        self.enum = enum

    def process_bind_param(self, value: Enum | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - the signature is SQLAlchemy's
        """Store the member's value."""
        return None if value is None else str(value.value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Enum | None:  # noqa: ARG002 - the signature is SQLAlchemy's
        """Read a member by its value."""
        return None if value is None else self.enum(value)


def now() -> datetime:
    """Tell the time with its zone."""
    return datetime.now(UTC)


def timestamp(**options: Any) -> Any:  # noqa: ANN401 - passes Field's own options on
    """Declare a column for a moment in time, with its zone; now unless a default is given."""
    if "default" not in options:
        options.setdefault("default_factory", now)
    return Field(sa_type=DateTime(timezone=True), **options)


def enumeration(enum: type[Enum], **options: Any) -> Any:  # noqa: ANN401 - passes Field's own options on
    """Declare a column for a member of an enumeration."""
    return Field(sa_type=EnumText(enum), **options)
