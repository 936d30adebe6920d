"""Plans: how the events of one operation become JSON."""

from typing import Any

from graphql.execution import Executor
from graphql.execution.collect_fields import collect_fields

from graphql_api.kit.batches import Batch
from graphql_api.kit.planning.cache import MAX_PLANS, KeptPlans
from graphql_api.kit.planning.code import NOTHING_LATER, Reader
from graphql_api.kit.planning.readers import Readers
from graphql_api.transport.delivery.batching import MAX_BATCH_BYTES
from graphql_api.transport.delivery.json import to_json

MAX_KEPT_PLANS, MAX_KEPT_BYTES = 4, 16 * 1024
"""How many operations an event keeps its JSON for, and how long that may be: events may be kept for a while."""

_WRITTEN = "_written_by_plans"


class Plan:
    """Writes events of one operation, each once for all who subscribed to it.

    What a plan writes depends on the event alone: everything that asks who the caller is has a resolver, and what has
    a resolver is not planned. So those who are given the same object get the same bytes, whoever they are; whether they
    may have it is decided where it comes from.

    Args:
        key: Of the subscription's field in the response.
        read: Reads the selection out of an event.
    """

    __slots__ = ("_before", "_read")

    def __init__(self, key: str, read: Reader) -> None:
        self._before = b'{"data":{' + to_json(key) + b":"
        self._read = read

    def write_from(self, events: Batch[object], start: int) -> Batch[bytes]:
        """Write the results of events, up to what is enough to send; none when only graphql-core knows the first.

        Args:
            events: That are there at once.
            start: Number of the first that is to be written.
        """
        kept: Batch[bytes] | None = events.kept((self, start))
        if kept is not None:
            return kept
        written, size = [], 0
        for event in events[start:]:
            message = self.write(event)
            if message is None:
                break
            written.append(message)
            size += len(message)
            if size >= MAX_BATCH_BYTES:
                break
        batch = Batch(written)
        # What is not kept beside its event is not kept beside a batch of them either.
        if written and max(map(len, written)) <= MAX_KEPT_BYTES:
            events.keep((self, start), batch)
        return batch

    def write(self, event: object) -> bytes | None:
        """Write the result of an event; None when only graphql-core knows what it is."""
        known: dict[Plan, bytes | None] | None = getattr(event, _WRITTEN, None)
        if known is not None and self in known:
            return known[self]
        written = self._written(event)
        if written is None or len(written) <= MAX_KEPT_BYTES:
            if known is not None and len(known) < MAX_KEPT_PLANS:
                known[self] = written
            else:
                self._begin_to_keep(event, written)
        return written

    def _begin_to_keep(self, event: object, written: bytes | None) -> None:
        try:  # as `suppress` would, in a fifth of the time
            # Beside the event's own attributes, so that its JSON lives exactly as long as the event.
            setattr(event, _WRITTEN, {self: written})
        except AttributeError:
            """It has no place for it."""

    def _written(self, event: object) -> bytes | None:
        try:
            return to_json(self._read(event, NOTHING_LATER), self._before, b"}}")
        except Exception:  # noqa: BLE001 - whatever went wrong, graphql-core meets it too, and reports it as it should
            return None


class Plans(KeptPlans[Plan]):
    """Plans of subscriptions; None for those whose events graphql-core has to execute.

    Args:
        max_plans: How many are kept.
    """

    def __init__(self, max_plans: int = MAX_PLANS) -> None:
        super().__init__(_plan, max_plans)


def _plan(executor: Executor[Any]) -> Plan | None:
    root = executor.schema.subscription_type
    if root is None:
        return None
    selection = collect_fields(
        executor.schema, executor.fragments, executor.variable_values, root, executor.operation
    ).grouped_field_set
    if len(selection) != 1:
        return None
    ((key, fields),) = selection.items()
    field = root.fields.get(fields[0].node.name.value)
    # Strawberry resolves the field of a subscription to the event itself.
    if field is None or field.subscribe is None:
        return None
    return Plan(key, Readers(executor).reader(field.type, fields))
