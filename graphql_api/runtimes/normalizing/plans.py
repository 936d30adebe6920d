"""Plans as deepagents keeps them: a list of things to do."""

from collections.abc import Iterator
from typing import Any

from graphql_api.events.records import NewEvent
from graphql_api.runtimes.normalizing.texts import list_of, mapping_of, text_of

_STATUSES = {
    "pending": "PENDING",
    "todo": "PENDING",
    "in_progress": "IN_PROGRESS",
    "in-progress": "IN_PROGRESS",
    "completed": "COMPLETED",
    "done": "COMPLETED",
}


class Plan:
    """The plan of one thread, told when it changed."""

    def __init__(self) -> None:
        self._items: list[dict[str, str]] = []

    def update(self, todos: Any) -> Iterator[NewEvent]:  # noqa: ANN401 - any JSON value
        """Give the event of a list of things to do, unless nothing is new in it."""
        items = [_item(todo) for todo in list_of(todos)]
        if items != self._items:
            self._items = items
            yield NewEvent("PlanUpdated", {"items": items})


def _item(todo: Any) -> dict[str, str]:  # noqa: ANN401 - any JSON value
    fields = mapping_of(todo)
    content = text_of(todo if isinstance(todo, str) else fields.get("content") or fields.get("description"))
    return {"content": content, "status": _STATUSES.get(str(fields.get("status")).lower(), "PENDING")}
