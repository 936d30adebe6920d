"""How operations run: graphql-core's executor, without its leak, and with subscriptions that can be taken over.

Seams, checked with graphql-core 3.3.2 and strawberry-graphql 0.341: `Executor.execute_collected_root_fields`,
`Executor.cancellable_iterable` and `Executor.build_per_event_executor`, which only subscriptions call on their source;
`operation_extensions` reaches the executor as it was given to `Schema.stream`.
"""

from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from contextlib import aclosing
from inspect import isawaitable
from typing import Any, cast

from graphql import GraphQLObjectType, MiddlewareManager, OperationType
from graphql.execution.collect_fields import DeferUsage, GroupedFieldSet
from graphql.pyutils import AwaitableOrValue
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from graphql_api.kit.batches import Batched
from graphql_api.kit.planning.cache import KeptPlans
from graphql_api.kit.planning.introspection import MAX_ANSWERS, asks_for_schema, introspection
from graphql_api.kit.planning.levels import Levels, Resolved, levels

Source = AsyncGenerator[object, None] | Batched[object]
"""Where the events of a subscription come from."""

_KEY = "takeover"

_LEVELS = KeptPlans(levels, planned_from=2)
"""Plans of what clients sent more than once."""

_INTROSPECTIONS = KeptPlans(introspection, MAX_ANSWERS)
"""What the schema's own descriptions are."""


class Takeover:
    """A subscription whose events are taken from their source, and not from the stream of results.

    Once `Schema.stream` gave its first result, `is_offered` tells whether there is a source to take events from. What
    is handed back runs through the executor like every event of a subscription that nobody took over, and its result
    is the next one of the stream; so does an exception of the source.
    """

    __slots__ = ("_back", "_is_started", "executor", "source")

    def __init__(self) -> None:
        self.executor: EventExecutor | None = None
        self.source: Source | None = None
        self._back: list[object] = []
        self._is_started = False

    def as_extensions(self) -> dict[str, Any]:
        """Give what `Schema.stream` takes as `operation_extensions`; no client can send the like of it in JSON."""
        return {_KEY: self}

    @staticmethod
    def of(extensions: dict[str, Any] | None) -> "Takeover | None":
        """Find the takeover that an operation was started with."""
        found = extensions.get(_KEY) if extensions else None
        return found if isinstance(found, Takeover) else None

    @property
    def is_offered(self) -> bool:
        """Tell whether the operation is a subscription that began."""
        return self._is_started

    def hand_back(self, event: object) -> None:
        """Let the executor run an event, or raise the exception that the source raised."""
        self._back.append(event)

    async def offer(self, source: AsyncIterable[object], executor: "EventExecutor") -> AsyncGenerator[object, None]:
        """Give the takeover itself, and then what is handed back."""
        self.executor, self.source = executor, cast("Source", source)
        async with aclosing(self.source):
            self._is_started = True
            yield self
            while self._back:
                event = self._back.pop()
                if isinstance(event, Exception):
                    raise event
                yield event


class EventExecutor(StrawberryGraphQLCoreExecutionContext):
    """Graphql-core's executor, which knows that all events of a subscription have the same selection.

    Graphql-core collects the root selection anew for each event and keeps what it collected below it for as long as the
    subscription lives, by the identity of lists that never come again: 2.6 KB an event.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - whatever graphql-core's takes
        super().__init__(*args, **kwargs)
        # Shared with the executors of the events, which are shallow copies.
        self._root_selection: list[GroupedFieldSet] = []

    def execute_collected_root_fields(
        self,
        root_type: GraphQLObjectType,
        root_value: object,
        grouped_field_set: GroupedFieldSet,
        serially: bool,  # noqa: FBT001 - the signature is graphql-core's
        new_defer_usages: Sequence[DeferUsage],
    ) -> AwaitableOrValue[dict[str, Any]]:
        """Execute the root fields; from the second event on with the selection of the first."""
        if isinstance(root_value, Takeover):
            return {}
        if not new_defer_usages:
            if not self._root_selection:
                self._root_selection.append(grouped_field_set)
            grouped_field_set = self._root_selection[0]
            plan = _LEVELS.plan(self)
            if plan is not None:
                return plan.constant or self._run(plan, root_type, root_value, grouped_field_set, serially)
        known = _INTROSPECTIONS.plan(self) if asks_for_schema(grouped_field_set) else None
        if known is not None and known.data is not None:
            return known.data
        data = super().execute_collected_root_fields(
            root_type, root_value, grouped_field_set, serially, new_defer_usages
        )
        if known is not None and not isawaitable(data) and not self.collected_errors.errors:
            known.data = data
        return data

    async def _run(
        self,
        plan: Levels,
        root_type: GraphQLObjectType,
        root_value: object,
        grouped_field_set: GroupedFieldSet,
        serially: bool,  # noqa: FBT001 - as above
    ) -> dict[str, Any]:
        """Run the plan of the operation, and let graphql-core finish what the plan has no words for."""
        resolved = Resolved()
        try:
            return await plan.run(self, root_value, resolved)
        except Exception:  # noqa: BLE001 - whatever went wrong, graphql-core meets it too, and reports it as it should
            self.middleware_manager = cast("MiddlewareManager", resolved.middleware())
        data = super().execute_collected_root_fields(root_type, root_value, grouped_field_set, serially, ())
        return await data if isawaitable(data) else data

    def cancellable_iterable(self, iterable: AsyncIterable[Any]) -> AsyncIterable[Any]:
        """Take the source of a subscription; it is offered to whoever wants to take it over."""
        iterable = super().cancellable_iterable(iterable)
        takeover = Takeover.of(self.operation_extensions)
        if takeover is None or takeover.executor is not None:
            return iterable
        if self.operation.operation is not OperationType.SUBSCRIPTION:
            return iterable
        return takeover.offer(iterable, self)
