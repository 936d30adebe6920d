from functools import partial
from typing import Any

import pytest
import strawberry
from strawberry.types import ExecutionResult

from graphql_api.kit.admission import MAX_COMMENTS, MAX_COMPARISONS, Admission
from graphql_api.kit.bounds import Bounds, Caller, Charge, Kind
from graphql_api.kit.documents import MAX_SIZES, Documents
from graphql_api.kit.errors import DomainError, RateLimited, TooComplex, Unauthenticated

pytestmark = pytest.mark.anyio


@strawberry.type
class Thing:
    name: str = "thing"

    @strawberry.field
    def thing(self) -> "Thing":
        return Thing()


@strawberry.type
class Query:
    @strawberry.field
    def thing(self, id_: int = 0) -> Thing:
        return Thing()

    @strawberry.field
    def nodes(self, ids: list[int]) -> list[Thing]:
        return [Thing() for _ in ids]


@strawberry.type
class Mutation:
    @strawberry.mutation
    def change(self) -> int:
        return 1


class Somebody(Caller):
    """Somebody who may ask for so much, and keeps the bills.

    Args:
        refusal: What they are told instead of being charged.
        bounds: What their operations may be.
    """

    def __init__(self, refusal: DomainError | None = None, *, wants_cost: bool = False, **bounds: Any) -> None:  # noqa: ANN401 - those of Bounds
        self.wants_cost = wants_cost
        self._bounds = Bounds(**bounds)
        self._refusal = refusal
        self.charges: list[Charge] = []

    @property
    def bounds(self) -> Bounds:
        return self._bounds

    async def charge(self, charge: Charge) -> None:
        if self._refusal is not None:
            raise self._refusal
        self.charges.append(charge)


@pytest.fixture
def documents() -> Documents:
    return Documents()


@pytest.fixture
def schema(documents: Documents) -> strawberry.Schema:
    return strawberry.Schema(Query, Mutation, extensions=[partial(Admission, documents, {})])


def refusal_of(result: ExecutionResult) -> DomainError:
    assert result.data is None
    (error,) = result.errors or []
    assert isinstance(error.original_error, DomainError), error
    assert error.message == error.original_error.message
    return error.original_error


class TestBounds:
    @pytest.mark.parametrize(
        ("text", "variables", "bounds", "told"),
        [
            ("{ thing { name } }", {}, {"tokens": 5}, ("tokens", 6, 5)),
            (
                "{" + "#\n" * (MAX_COMMENTS + 1) + "thing { name } }",
                {},
                {},
                ("comments", MAX_COMMENTS + 1, MAX_COMMENTS),
            ),
            ("{ thing " * 250 + "}" * 250, {}, {}, ("nesting", 201, 200)),
            ("{ thing { thing { name } } }", {}, {"depth": 2}, ("depth", 3, 2)),
            ("{ a: thing { b: name } }", {}, {"aliases": 1}, ("aliases", 2, 1)),
            ("{ thing @skip(if: true) { name } }", {}, {"directives": 0}, ("directives", 1, 0)),
            ("{ thing { name } }", {}, {"fields": 1}, ("fields", 2, 1)),
            ("query($i: [Int!]!) { nodes(ids: $i) { name } }", {"i": [1, 2]}, {"cost": 2}, ("cost", 3, 2)),
            ("query($i: [Int!]!) { nodes(ids: $i) { name } }", {"i": [1, 2]}, {"variables": 2}, ("variables", 3, 2)),
            ("{ thing { name } }", {"x": [[1]]}, {"variable_depth": 2}, ("variable depth", 3, 2)),
        ],
    )
    async def test_what_is_larger_is_refused_with_the_figure(
        self,
        schema: strawberry.Schema,
        text: str,
        variables: dict[str, Any],
        bounds: dict[str, int],
        told: tuple[str, int, int],
    ) -> None:
        caller = Somebody(**bounds)
        refusal = refusal_of(await schema.execute(text, variable_values=variables, context_value=caller))

        assert isinstance(refusal, TooComplex)
        assert (refusal.what, refusal.figure, refusal.limit) == told
        assert caller.charges == []

    async def test_a_known_document_is_checked_for_each_caller_and_for_each_size(
        self, schema: strawberry.Schema, documents: Documents
    ) -> None:
        text = "query($i: [Int!]!) { nodes(ids: $i) { name } }"

        async def run(cost: int, *ids: int) -> ExecutionResult:
            return await schema.execute(text, variable_values={"i": list(ids)}, context_value=Somebody(cost=cost))

        assert (await run(10, 1)).errors is None
        assert len(documents) == 1
        assert refusal_of(await run(1, 1))
        assert refusal_of(await run(10, *range(10)))
        for size in range(MAX_SIZES + 5):
            assert (await run(1000, *range(size))).errors is None
        assert (await run(10, 1)).errors is None

    async def test_validation_takes_bounded_time(self, schema: strawberry.Schema) -> None:
        text = "{" + "thing { name } " * 900 + "}"

        refusal = refusal_of(await schema.execute(text, context_value=Somebody()))

        assert isinstance(refusal, TooComplex)
        assert (refusal.what, refusal.limit) == ("overlap of fields", MAX_COMPARISONS)

    async def test_validation_ends_after_some_errors(self, schema: strawberry.Schema) -> None:
        text = "{" + "".join(f"unknown{number} " for number in range(100)) + "}"

        errors = (await schema.execute(text, context_value=Somebody())).errors or []

        assert (len(errors), "Too many validation errors" in errors[-1].message) == (26, True)

    async def test_a_trailing_syntax_error_is_one(self, schema: strawberry.Schema) -> None:
        (error,) = (await schema.execute("{ thing", context_value=Somebody())).errors or []

        assert error.original_error is None


class TestIntrospection:
    @pytest.mark.parametrize(
        "text", ["{ __schema { types { name } } }", '{ ...F } fragment F on Query { __type(name: "A") { name } }']
    )
    async def test_it_may_be_off(self, schema: strawberry.Schema, text: str) -> None:
        refused = await schema.execute(text, context_value=Somebody(introspection=False))

        assert isinstance(refusal_of(refused), Unauthenticated)
        assert (await schema.execute(text, context_value=Somebody())).errors is None

    async def test_the_name_of_a_type_may_always_be_asked_for(self, schema: strawberry.Schema) -> None:
        result = await schema.execute("{ __typename }", context_value=Somebody(introspection=False))

        assert result.data == {"__typename": "Query"}

    async def test_suggestions_may_be_off(self, schema: strawberry.Schema) -> None:
        messages = []
        for suggestions in (True, False):
            result = await schema.execute("{ thin { name } }", context_value=Somebody(suggestions=suggestions))
            messages.append((result.errors or [])[0].message)

        assert ["Did you mean" in message for message in messages] == [True, False]


class TestCharge:
    async def test_it_is_what_the_operation_uses(self, schema: strawberry.Schema) -> None:
        caller = Somebody()
        for text in (
            "{ __typename }",
            "{ thing { name } }",
            "mutation { a: change ...F } fragment F on Mutation { change }",
        ):
            await schema.execute(text, context_value=caller)

        assert caller.charges == [
            Charge(Kind.QUERY, 1, ("__typename",)),
            Charge(Kind.QUERY, 2, ("thing",)),
            Charge(Kind.MUTATION, 2, ("change", "change")),
        ]

    async def test_who_used_too_much_is_refused(self, schema: strawberry.Schema) -> None:
        refusal = refusal_of(await schema.execute("{ __typename }", context_value=Somebody(RateLimited("Wait.", 7))))

        assert isinstance(refusal, RateLimited)

    async def test_what_is_not_valid_is_not_charged(self, schema: strawberry.Schema) -> None:
        caller = Somebody()

        await schema.execute("{ absent }", context_value=caller)

        assert caller.charges == []

    async def test_the_cost_is_told_to_who_asks(self, schema: strawberry.Schema) -> None:
        asked = await schema.execute("{ thing { name } }", context_value=Somebody(wants_cost=True, cost=100))
        other = await schema.execute("{ thing { name } }", context_value=Somebody())

        assert (asked.extensions, other.extensions) == ({"cost": {"requested": 2, "limit": 100}}, {})
