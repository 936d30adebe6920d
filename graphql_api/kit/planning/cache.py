"""Plans of operations, kept for as long as clients send the same ones."""

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, TypeVar
from weakref import ref

from graphql import OperationDefinitionNode
from graphql.execution import Executor

from graphql_api.kit.planning.readers import deciding

MAX_PLANS = 256
"""Operations whose plans are kept; a further one costs a fraction of a millisecond."""

Plan = TypeVar("Plan")


class KeptPlans(Generic[Plan]):
    """Plans by operation; the least recently used ones are forgotten first.

    Two operations are the same when they come from the same parsed document, and the variables that decide what is
    selected have the same values. A plan is forgotten with its document, which takes far more memory than its text:
    how many documents are kept is not decided here.

    Args:
        make: Makes the plan of an operation; raises, or gives None, when graphql-core has to execute it.
        max_plans: How many are kept.
        planned_from: The how manyth time an operation comes before a plan is made: what comes once is executed sooner
            than planned.
    """

    def __init__(
        self, make: Callable[[Executor[Any]], Plan | None], max_plans: int = MAX_PLANS, *, planned_from: int = 1
    ) -> None:
        self._make = make
        self._plans: OrderedDict[tuple[object, ...], _Kept[Plan]] = OrderedDict()
        self._max_plans = max_plans
        self._planned_from = planned_from

    def __len__(self) -> int:
        """Count the operations."""
        return len(self._plans)

    def plan(self, executor: Executor[Any]) -> Plan | None:
        """Give the plan of an operation; None when graphql-core has to execute it."""
        operation = executor.operation
        key = (id(operation), id(executor.schema), *sorted(deciding(executor.variable_values).coerced.items()))
        kept = self._plans.get(key)
        if kept is None:
            kept = self._plans[key] = _Kept(operation, partial(self._forget, key))
            if len(self._plans) > self._max_plans:
                self._plans.popitem(last=False)
        else:
            self._plans.move_to_end(key)
        if kept.times < self._planned_from:
            kept.times += 1
            if kept.times == self._planned_from:
                kept.plan = self._made(executor)
        return kept.plan

    def _forget(self, key: tuple[object, ...], _reference: object) -> None:
        self._plans.pop(key, None)

    def _made(self, executor: Executor[Any]) -> Plan | None:
        middleware = executor.middleware_manager
        if middleware is not None and middleware.middlewares:
            return None
        try:
            return self._make(executor)
        except Exception:  # noqa: BLE001 - whatever it is, graphql-core meets it too, and reports it as it should
            return None


class _Kept(Generic[Plan]):
    """A plan, and how often its operation came until it was made.

    Args:
        operation: Whose plan it is.
        forget: Called when the operation is gone, before another one can get its identity.
    """

    __slots__ = ("operation", "plan", "times")

    def __init__(self, operation: OperationDefinitionNode, forget: Callable[[object], None]) -> None:
        self.operation = ref(operation, forget)
        self.plan: Plan | None = None
        self.times = 0
