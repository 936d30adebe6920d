"""What the log of an execution knows already, for a worker that takes it over."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import sqlalchemy
from sqlmodel import col

from graphql_api.events.models import Event
from graphql_api.kit.database import Session
from graphql_api.runtimes.lines import Link
from graphql_api.runtimes.progress import TOLD_ONCE

LINK_CHANGED = "RuntimeLinkChanged"

_NAMES = ("message_id", "tool_call_id", "state", "items")


@dataclass
class Recollection:
    """What earlier workers stored.

    Attributes:
        told: Messages, tool calls, results and costs, as in `Progress`.
        plan: Items of the newest plan.
        has_files: Whether the runtime changed files.
        is_link_lost: Whether the link to the runtime was lost when it was last heard of.
    """

    told: set[tuple[str, str]] = field(default_factory=set)
    plan: list[Any] = field(default_factory=list)
    has_files: bool = False
    is_link_lost: bool = False


async def recollect(session: Session, execution_id: UUID) -> Recollection:
    """Read what the log of an execution tells once."""
    fields = [col(Event.payload)[name] for name in _NAMES]
    query = (
        sqlalchemy.select(col(Event.type), *fields)
        .where(
            col(Event.subject_id) == execution_id,
            col(Event.type).in_([*TOLD_ONCE, "PlanUpdated", "FilesChanged", LINK_CHANGED]),
        )
        .order_by(col(Event.sequence))
    )
    recollection = Recollection()
    for type_, *values in await session.execute(query):
        named = dict(zip(_NAMES, values, strict=True))
        if type_ in TOLD_ONCE:
            name = named[TOLD_ONCE[type_]]
            recollection.told |= set() if name is None else {(type_, name)}
        elif type_ == "PlanUpdated":
            recollection.plan = named["items"]
        elif type_ == "FilesChanged":
            recollection.has_files = True
        else:
            recollection.is_link_lost = named["state"] == Link.LOST.value
    return recollection
