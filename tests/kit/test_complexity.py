from typing import Any

import pytest
from graphql import OperationDefinitionNode, build_schema, parse

from graphql_api.kit.bounds import Bounds
from graphql_api.kit.complexity import MAX_NESTING, SATURATED, Measures, check_variables, measure, root_fields
from graphql_api.kit.errors import TooComplex

SCHEMA = build_schema("""
    type Query { thing: Thing things(first: Int, last: Int): ThingConnection all: [Thing!]!
      nodes(ids: [ID!]!): [Thing] }
    type Mutation { change: Thing }
    interface Named { name: String }
    type Thing implements Named {
      name: String thing: Thing things(first: Int): ThingConnection heavy: String named: Named
    }
    type ThingConnection { nodes: [Thing!]! edges: [Edge!]! count: Int }
    type Edge { node: Thing cursor: String }
""")
WEIGHTS = {"Thing.heavy": 50}


def measured(text: str, **variables: Any) -> Measures:  # noqa: ANN401 - any JSON
    document = parse(text)
    (operation, *_) = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    return measure(SCHEMA, document, operation, variables, WEIGHTS).measures


class TestDepth:
    @pytest.mark.parametrize(
        ("text", "depth"),
        [
            ("{ __typename }", 1),
            ("{ thing { thing { name } } }", 3),
            ("{ ... on Query { ... { thing { name } } } }", 2),
            ("{ thing { ...F } } fragment F on Thing { thing { ...G } } fragment G on Thing { thing { name } }", 4),
            (
                "{ ...F thing { thing { ...G } } } fragment F on Query { thing { ...G } } fragment G on Thing { name }",
                3,
            ),
            ("{ __schema { types { fields { type { ofType { ofType { name } } } } } } }", 1),
        ],
    )
    def test_it_counts_fields_below_each_other(self, text: str, depth: int) -> None:
        assert measured(text).depth == depth

    def test_what_is_nested_without_end_is_not_followed(self) -> None:
        with pytest.raises(TooComplex, match="nesting"):
            measured("{" + "... {" * MAX_NESTING + "name" + "}" * MAX_NESTING + "}")


class TestCounts:
    def test_fragments_count_each_time(self) -> None:
        measures = measured(
            "{ a: thing { ...F @skip(if: false) } b: thing { ...F } }"
            "fragment F on Thing { c: name @include(if: true) name }"
        )

        assert (measures.aliases, measures.directives, measures.fields) == (4, 3, 6)

    def test_directives_of_the_operation_and_of_inline_fragments_count(self) -> None:
        assert measured("query @a @b { ... @skip(if: true) { __typename @include(if: true) } }").directives == 4

    def test_doubling_fragments_are_walked_once_and_the_figure_stops_growing(self) -> None:
        chain = "".join(f"fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }}" for n in range(100))

        measures = measured(f"{{ ...F0 }} {chain} fragment F100 on Query {{ a: __typename @x thing {{ name }} }}")

        assert (measures.fields, measures.aliases, measures.directives) == (SATURATED, SATURATED, SATURATED)
        assert (measures.cost, measures.depth) == (SATURATED, 2)

    @pytest.mark.parametrize(
        "text",
        [
            "{ ...F } fragment F on Query { ...F }",
            "{ ...F } fragment F on Query { thing { ...G } } fragment G on Thing { thing { ...G } ...F }",
            "{ ...Absent }",
            "{ absent { absent { name } } }",
            "{ ... on Absent { absent } thing { name { absent } } }",
            "mutation { absent }",
            "subscription { absent { name } }",
        ],
    )
    def test_what_is_not_valid_is_measured_too(self, text: str) -> None:
        assert measured(text).fields < 10


class TestCost:
    @pytest.mark.parametrize(
        ("text", "variables", "cost"),
        [
            ("{ __typename }", {}, 0),
            ("{ thing { name } }", {}, 2),
            ("{ thing { heavy } }", {}, 51),
            ("{ thing { named { ... on Thing { heavy } } } }", {}, 52),
            ("{ all { name } }", {}, 6),
            ("{ nodes(ids: [1, 2, 3]) { name } }", {}, 4),
            ("query($ids: [ID!]!) { nodes(ids: $ids) { name } }", {"ids": ["a", "b"]}, 3),
            ("query($ids: [ID!]!) { nodes(ids: $ids) { name } }", {"ids": "a"}, 2),
            ("{ things { nodes { name } } }", {}, 1 + 25 * 2),
            ("{ things(first: 3) { nodes { name } } }", {}, 1 + 3 * 2),
            ("{ things(last: 3) { edges { node { name } cursor } count } }", {}, 1 + 1 + 3 * 4),
            ("{ things(first: 2) { nodes { things(first: 10) { nodes { name } } } } }", {}, 1 + 2 * (1 + 1 + 10 * 2)),
            ("{ things(first: 2) { ...C } } fragment C on ThingConnection { nodes { name } count }", {}, 1 + 1 + 2 * 2),
            ("query($n: Int) { things(first: $n) { nodes { name } } }", {"n": 100}, 1 + 100 * 2),
            ("query($n: Int) { things(first: $n) { nodes { name } } }", {"n": None}, 1 + 25 * 2),
            ("query($n: Int = 7) { things(first: $n) { nodes { name } } }", {}, 1 + 7 * 2),
            ("query($n: Int = 7) { things(first: $n) { nodes { name } } }", {"n": 2}, 1 + 2 * 2),
            ("{ things(first: -5) { nodes { name } } }", {}, 1),
            ("{ things(first: 99999999999999999999) { nodes { name } } }", {}, 1 + 100 * 2),
            ('{ things(first: "many") { nodes { name } } }', {}, 1 + 25 * 2),
        ],
    )
    def test_it_is_about_what_is_resolved(self, text: str, variables: dict[str, Any], cost: int) -> None:
        assert measured(text, **variables).cost == cost

    def test_it_says_which_variables_decide(self) -> None:
        text = "query($a: Int, $b: Int, $c: Boolean!) { things(first: $a, last: $b) { count @skip(if: $c) } }"
        document = parse(text)
        (operation,) = document.definitions
        assert isinstance(operation, OperationDefinitionNode)

        assert measure(SCHEMA, document, operation, {"a": 1, "c": True}, {}).size_variables == ("a", "b")


class TestCheck:
    @pytest.mark.parametrize("name", ["depth", "aliases", "directives", "fields", "cost"])
    def test_the_first_figure_that_is_too_large_is_told(self, name: str) -> None:
        limit = getattr(Bounds(), name)
        Measures(**{name: limit}).check(Bounds())

        with pytest.raises(TooComplex) as refusal:
            Measures(**{name: limit + 1}).check(Bounds())

        assert refusal.value.extensions == {"what": name, "figure": limit + 1, "limit": limit}
        assert f"{name} is {limit + 1}, and at most {limit}" in refusal.value.message


class TestRootFields:
    def test_they_are_named_as_often_as_they_are_there(self) -> None:
        document = parse(
            "mutation { a: change { name } ...F ... { change { name } } } fragment F on Mutation { change { name } }"
        )
        operation = document.definitions[0]
        assert isinstance(operation, OperationDefinitionNode)

        assert root_fields(document, operation) == ("change", "change", "change")


class TestVariables:
    def test_they_are_not_too_many(self) -> None:
        bounds = Bounds(variables=10)
        check_variables({"a": [1, 2, 3], "b": {"c": [4, 5], "d": 6}}, bounds)

        with pytest.raises(TooComplex, match="variables is 11"):
            check_variables({"a": [1, 2, 3, 4, 5], "b": {"c": [4, 5], "d": 6}}, bounds)

    def test_they_are_not_too_deep(self) -> None:
        bounds = Bounds(variable_depth=3)
        check_variables({"a": [[1]], "b": {"c": {"d": 1}}}, bounds)

        with pytest.raises(TooComplex, match="variable depth is 4"):
            check_variables({"a": [[[1]]]}, bounds)
