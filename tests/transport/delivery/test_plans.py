import gc
import weakref
from collections.abc import AsyncGenerator
from types import MappingProxyType
from typing import Any

import orjson
import pytest
import strawberry
from graphql import DocumentNode, build_schema, parse
from strawberry.extensions import SchemaExtension
from strawberry.schema.config import StrawberryConfig
from support.happenings import EVERYTHING, Item, Source, make_schema, noted

from graphql_api.kit.batches import Batch
from graphql_api.kit.execution import EventExecutor
from graphql_api.transport.delivery.batching import MAX_BATCH_BYTES
from graphql_api.transport.delivery.plans import MAX_KEPT_BYTES, MAX_KEPT_PLANS, Plan, Plans

_SCHEMA = make_schema(Source())


class Caller:
    """Somebody's context."""


def executor_of(
    document: str | DocumentNode,
    variables: dict[str, Any] | None = None,
    *,
    schema: strawberry.Schema = _SCHEMA,
    caller: Caller | None = None,
) -> EventExecutor:
    parsed = parse(document) if isinstance(document, str) else document
    built = EventExecutor.build(schema._schema, parsed, None, caller, variables, operation_extensions=None)
    assert isinstance(built, EventExecutor)
    return built


def plan_of(document: str) -> Plan:
    plan = Plans().plan(executor_of(document))
    assert plan is not None
    return plan


@strawberry.type
class Nothing:
    nothing: int


@strawberry.type
class Pet:
    name: str


@strawberry.type
class Cat:
    lives: int


@strawberry.type
class Person:
    name: str


@strawberry.type
class Pets:
    @strawberry.subscription
    async def pets(self) -> AsyncGenerator[Pet]:
        yield Pet(name="a")


@strawberry.type
class Beings:
    @strawberry.subscription
    async def beings(self) -> AsyncGenerator[Cat | Person]:
        yield Cat(lives=9)


class TestPlan:
    def test_plain_fields_are_written(self) -> None:
        written = plan_of(EVERYTHING).write(noted(text="hello"))
        assert written is not None
        assert orjson.loads(written)["data"]["happenings"]["text"] == "hello"

    def test_an_event_is_written_once_for_all(self) -> None:
        plan, event = plan_of(EVERYTHING), noted()
        assert plan.write(event) is plan.write(event)

    def test_an_event_of_two_plans_is_written_by_each(self) -> None:
        event = noted(sequence=7)
        assert (
            plan_of("subscription { happenings { sequence } }").write(event)
            == b'{"data":{"happenings":{"sequence":7}}}'
        )
        assert plan_of("subscription { it: happenings { n: sequence } }").write(event) == b'{"data":{"it":{"n":7}}}'

    def test_an_event_keeps_what_a_few_operations_write_and_nothing_large(self) -> None:
        event, large = noted(), noted(text="x" * MAX_KEPT_BYTES)
        for number in range(20):
            assert plan_of(f"subscription {{ a{number}: happenings {{ sequence }} }}").write(event)
        assert plan_of(EVERYTHING).write(large)

        assert 0 < len(event.__dict__["_written_by_plans"]) <= MAX_KEPT_PLANS
        assert "_written_by_plans" not in large.__dict__

    def test_a_batch_is_written_once_for_all_up_to_a_surprise_or_to_what_is_enough(self) -> None:
        # Held, since the reader of a class is made when the first of it comes, if its operation is still there.
        executors = executor_of(EVERYTHING), executor_of("subscription { happenings { sequence } }")
        plan, other = map(Plans().plan, executors)
        assert plan is not None
        assert other is not None
        events = Batch([noted(), noted(text=None), noted(text="x" * MAX_BATCH_BYTES), noted()])
        first = plan.write_from(events, 0)
        assert first == (plan.write(events[0]),)
        assert plan.write_from(events, 0) is first
        assert plan.write_from(events, 1) == ()
        assert plan.write_from(events, 2) == (plan.write(events[2]),)
        assert plan.write_from(events, 3) == (plan.write(events[3]),)
        assert len(other.write_from(events, 0)) == len(events)

    def test_a_batch_keeps_nothing_large(self) -> None:
        for length in (2 * MAX_BATCH_BYTES, MAX_KEPT_BYTES):
            plan, events = plan_of(EVERYTHING), Batch([noted(), noted(text="x" * length)])
            assert plan.write_from(events, 0) is not plan.write_from(events, 0)

    def test_a_surprise_is_remembered_too(self) -> None:
        plan, event = plan_of(EVERYTHING), noted(text=None)
        assert plan.write(event) is None
        assert plan.write(event) is None

    def test_what_has_no_attributes_is_written_as_well(self) -> None:
        plan = plan_of("subscription { items { name } }")
        assert plan.write([Item(name="a", mood=None, children=[])]) == b'{"data":{"items":[{"name":"a"}]}}'

    def test_any_mapping_is_an_object(self) -> None:
        plan = plan_of("subscription { happenings { ... on Noted { extra } } }")
        written = plan.write(noted(extra={"a": MappingProxyType({"b": 1})}))
        assert written == b'{"data":{"happenings":{"extra":{"a":{"b":1}}}}}'

    def test_what_json_can_not_say_is_a_surprise(self) -> None:
        assert plan_of(EVERYTHING).write(noted(extra={"a": b"x"})) is None

    def test_an_object_that_was_cast_is_not_written(self) -> None:
        assert plan_of(EVERYTHING).write(strawberry.cast(Item, noted())) is None

    @pytest.mark.parametrize(
        "selection",
        ['echo(text: "a")', "later", "broken", "... on Noted { item { owner { name } } }"],
    )
    def test_nothing_with_a_resolver_is_written(self, selection: str) -> None:
        assert plan_of(f"subscription {{ happenings {{ {selection} }} }}").write(noted()) is None

    def test_types_without_resolvers_are_written_beside_types_with(self) -> None:
        plan = plan_of("subscription { happenings { sequence ... on Ended { later } } }")
        assert plan.write(noted(sequence=1)) == b'{"data":{"happenings":{"sequence":1}}}'


class TestPlans:
    def test_a_document_is_planned_once(self) -> None:
        plans, document = Plans(), parse(EVERYTHING)
        assert plans.plan(executor_of(document)) is plans.plan(executor_of(document))
        assert len(plans) == 1

    def test_variables_that_choose_fields_have_plans_of_their_own(self) -> None:
        plans = Plans()
        document = parse("subscription($a: Boolean!) { happenings { sequence @skip(if: $a) __typename } }")
        with_it, without = (
            plans.plan(executor_of(document, {"a": False})),
            plans.plan(executor_of(document, {"a": True})),
        )
        assert with_it is not None
        assert without is not None
        event = noted(sequence=3)
        assert with_it.write(event) == b'{"data":{"happenings":{"sequence":3,"__typename":"Noted"}}}'
        assert without.write(event) == b'{"data":{"happenings":{"__typename":"Noted"}}}'

    def test_the_ones_that_were_not_used_for_longest_are_forgotten(self) -> None:
        plans, documents = Plans(max_plans=2), [parse(EVERYTHING) for _ in range(3)]
        first = plans.plan(executor_of(documents[0]))
        plans.plan(executor_of(documents[1]))
        assert plans.plan(executor_of(documents[0])) is first
        plans.plan(executor_of(documents[2]))
        assert len(plans) == 2
        assert plans.plan(executor_of(documents[0])) is first

    def test_a_plan_keeps_nothing_of_the_caller_who_came_first(self) -> None:
        caller = Caller()
        reference = weakref.ref(caller)
        plan = Plans().plan(executor_of(EVERYTHING, caller=caller))
        del caller
        gc.collect()
        assert plan is not None
        assert reference() is None

    def test_middleware_is_not_passed_by(self) -> None:
        class Shouting(SchemaExtension):
            def resolve(self, _next: Any, root: Any, info: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - Strawberry's
                return _next(root, info, *args, **kwargs)

        executor = executor_of(EVERYTHING)
        executor.middleware_manager = _SCHEMA._get_middleware_manager([Shouting()])
        assert Plans().plan(executor) is None

    def test_a_document_with_two_fields_is_left_to_graphql_core(self) -> None:
        both = "subscription { happenings { sequence } items { name } }"
        assert Plans().plan(executor_of(both)) is None

    def test_a_schema_with_its_own_way_to_attributes_is_left_to_graphql_core(self) -> None:
        schema = strawberry.Schema(
            Nothing, subscription=Pets, config=StrawberryConfig(default_resolver=lambda source, name: source[name])
        )
        assert Plans().plan(executor_of("subscription { pets { name } }", schema=schema)) is None

    def test_a_union_is_left_to_graphql_core(self) -> None:
        schema = strawberry.Schema(Nothing, subscription=Beings)
        assert Plans().plan(executor_of("subscription { beings { ... on Cat { lives } } }", schema=schema)) is None

    def test_a_schema_that_is_not_strawberrys_is_left_to_graphql_core(self) -> None:
        schema = build_schema("type Query { a: Int } type Subscription { cat: Cat } type Cat { lives: Int }")
        executor = EventExecutor.build(schema, parse("subscription { cat { lives } }"), operation_extensions=None)
        assert isinstance(executor, EventExecutor)
        assert Plans().plan(executor) is None
