"""Plans: how the events of one operation become JSON."""

from collections import OrderedDict

from graphql import GraphQLObjectType, OperationDefinitionNode
from graphql.execution.collect_fields import collect_fields

from graphql_api.kit.execution import EventExecutor
from graphql_api.transport.delivery.code import Reader, Surprise
from graphql_api.transport.delivery.json import to_json
from graphql_api.transport.delivery.readers import Readers

MAX_PLANS = 256
"""Operations whose plans are kept; a further one costs a fraction of a millisecond."""

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

    __slots__ = ("_key", "_read")

    def __init__(self, key: str, read: Reader) -> None:
        self._key = key
        self._read = read

    def write(self, event: object) -> bytes | None:
        """Write the result of an event; None when only graphql-core knows what it is."""
        try:
            attributes = event.__dict__
        except AttributeError:
            return self._written(event)
        known: dict[Plan, bytes | None] | None = attributes.get(_WRITTEN)
        if known is None:
            # Beside the event's own attributes, so that its JSON lives exactly as long as the event.
            known = attributes[_WRITTEN] = {}
        elif self in known:
            return known[self]
        written = self._written(event)
        if written is None or len(written) <= MAX_KEPT_BYTES:
            if len(known) >= MAX_KEPT_PLANS:
                known.clear()
            known[self] = written
        return written

    def _written(self, event: object) -> bytes | None:
        try:
            return to_json({"data": {self._key: self._read(event)}})
        except Exception:  # noqa: BLE001 - whatever went wrong, graphql-core meets it too, and reports it as it should
            return None


class Plans:
    """Plans by operation; the least recently used ones are forgotten first.

    Two operations are the same when they come from the same parsed document, and the variables that decide what is
    selected have the same values.

    Args:
        max_plans: How many are kept.
    """

    def __init__(self, max_plans: int = MAX_PLANS) -> None:
        self._plans: OrderedDict[tuple[object, ...], tuple[OperationDefinitionNode, Plan | None]] = OrderedDict()
        self._max_plans = max_plans

    def __len__(self) -> int:
        """Count the operations."""
        return len(self._plans)

    def plan(self, executor: EventExecutor) -> Plan | None:
        """Give the plan of an operation; None when graphql-core has to execute all of its events."""
        operation = executor.operation
        # What `@skip` and `@include` take is a Boolean, so no other variable decides what is selected.
        deciding = (
            (name, value) for name, value in executor.variable_values.coerced.items() if value is True or value is False
        )
        key = (id(operation), id(executor.schema), *sorted(deciding))
        if key in self._plans:
            self._plans.move_to_end(key)
            return self._plans[key][1]
        plan = _plan(executor)
        # The operation is kept beside its plan, so that no other one gets its identity.
        self._plans[key] = (operation, plan)
        if len(self._plans) > self._max_plans:
            self._plans.popitem(last=False)
        return plan


def _plan(executor: EventExecutor) -> Plan | None:
    root = executor.schema.subscription_type
    middleware = executor.middleware_manager
    if root is None or (middleware is not None and middleware.middlewares):
        return None
    try:
        return _root_plan(executor, root)
    except Surprise:
        return None


def _root_plan(executor: EventExecutor, root: GraphQLObjectType) -> Plan | None:
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
