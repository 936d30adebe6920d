import gc
import sys

from graphql import DocumentNode, GraphQLError, parse
from support.happenings import Source, make_schema

from graphql_api.kit.execution import EventExecutor
from graphql_api.kit.planning.cache import KeptPlans
from graphql_api.kit.planning.levels import levels

_SCHEMA = make_schema(Source())


def executor_of(document: DocumentNode) -> EventExecutor:
    built = EventExecutor.build(_SCHEMA._schema, document, None, None, None, operation_extensions=None)
    assert isinstance(built, EventExecutor)
    return built


class TestKeptPlans:
    def test_what_comes_once_is_not_planned(self) -> None:
        plans, document = KeptPlans(levels, planned_from=2), parse("{ happenings { later } }")
        first, second, third = (plans.plan(executor_of(document)) for _ in range(3))
        assert first is None
        assert second is not None
        assert third is second

    def test_what_can_t_be_planned_is_left_to_graphql_core(self) -> None:
        def broken(_executor: object) -> None:
            raise GraphQLError("no")

        assert KeptPlans(broken).plan(executor_of(parse("{ __typename }"))) is None

    def test_a_plan_keeps_nothing_of_the_variables_of_who_came_first(self) -> None:
        plans = KeptPlans(levels)
        document = parse("query ($s: String!, $a: Boolean!) { happenings { echo(text: $s) later @include(if: $a) } }")
        secret = f"secret {id(document)}"
        variables, held = {"s": secret, "a": True}, sys.getrefcount(secret)
        built = EventExecutor.build(_SCHEMA._schema, document, None, None, variables, operation_extensions=None)
        assert isinstance(built, EventExecutor)
        assert plans.plan(built) is not None
        del built, variables
        gc.collect()
        assert sys.getrefcount(secret) == held - 1  # that of `variables`

    def test_a_plan_is_forgotten_with_its_document(self) -> None:
        plans, document = KeptPlans(levels), parse("{ happenings { later ... on Noted { items { owner { name } } } } }")
        assert plans.plan(executor_of(document)) is not None
        assert len(plans) == 1
        del document
        gc.collect()
        assert len(plans) == 0
