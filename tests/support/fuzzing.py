"""Operations that a schema allows, with values that nobody would send: strategies for hypothesis."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    GraphQLUnionType,
    get_named_type,
    is_required_argument,
    is_required_input_field,
)
from hypothesis import strategies as st

KNOWN = "@known:"
"""Begins what stands for an id or a cursor that the server gave: which one is known only when it is sent."""

PLAUSIBLE = [
    "Support",
    "definition.json",
    "THE_SPEC/plan.md",
    "single-agent",
    "multi-agent",
    "Add a reviewer agent",
    '{"name": "x"}',
]
TEXTS = [
    "",
    " ",
    "\x00",
    "a\x00b",
    "\ud800",
    "a\udfff",
    "e\u0301",
    "\u1e9b\u0323",
    "\u202e\u2066",
    "\uffff",
    "\U0010ffff",
    "😀" * 9,
    "../../etc/passwd",
    "/etc/passwd",
    "a//b",
    "a/./b",
    "C:\\windows",
    "%2e%2e/x",
    "a\r\nb",
    "' OR 1=1; --",
    "{{7*7}}",
    "%s%n",
    "x" * 600,
    "x" * 120_000,
    "[" * 5000,
]
NUMBERS = [0, 1, 2, 5, 100, 101, -1, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**53, 10**30, 1.5, -0.0, 1e308]
MOMENTS = [
    "2026-01-31T12:00:00Z",
    "2026-01-31",
    "2026-01-31T12:00:00",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59.999999-14:00",
    "10000-01-01T00:00:00Z",
    "2026-02-30T00:00:00Z",
    "now",
    "",
    0,
]
IDS = [
    "",
    "x",
    "V29ya2Zsb3c6",
    "V29ya2Zsb3c6MDAwMDAwMDAtMDAwMC0wMDAwLTAwMDAtMDAwMDAwMDAwMDAw",
    "Tm9kZTox",
    "\x00",
    "\ud800",
    "a" * 5000,
    1,
    2**70,
]
WRONG = [None, True, [], {}, [[]], {"a": 1}, "x", 1, -1.5]


@dataclass(frozen=True)
class Operation:
    """Something to send.

    Attributes:
        kind: `query`, `mutation` or `subscription`.
        document: Its text.
        variables: Their values; ids may be stand-ins.
    """

    kind: str
    document: str
    variables: dict[str, Any]


@dataclass
class _Writer:
    """Writes one operation."""

    schema: GraphQLSchema
    draw: Callable[[st.SearchStrategy[Any]], Any]
    variables: dict[str, Any] = field(default_factory=dict)
    declarations: list[str] = field(default_factory=list)
    names: Any = field(default_factory=count)

    def one_in(self, number: int) -> bool:
        # Hypothesis draws the ends of a range more often than what lies between.
        return bool(self.draw(st.integers(0, 4095)) % number == number // 2)

    def pick(self, choices: list[Any]) -> Any:  # noqa: ANN401 - any JSON
        return self.draw(st.sampled_from(choices))

    def selection(self, type_: Any, depth: int) -> str:  # noqa: ANN401 - any composite type
        if isinstance(type_, GraphQLUnionType | GraphQLInterfaceType):
            possible = sorted(self.schema.get_possible_types(type_), key=lambda each: each.name)
            chosen = [self.pick(possible) for _ in range(self.draw(st.integers(1, 2)))]
            parts = [f"... on {each.name} {{ {self.selection(each, depth)} }}" for each in chosen]
            return "__typename " + " ".join(parts)
        leaves = [(name, each) for name, each in type_.fields.items() if not _is_composite(each)]
        branches = [(name, each) for name, each in type_.fields.items() if _is_composite(each)]
        choices = leaves + (branches * 2 if depth > 0 else [])
        fields = [self.pick(choices) for _ in range(self.draw(st.integers(1, 4)))] if choices else []
        return "__typename " + " ".join(self.field(name, each, depth - 1) for name, each in fields)

    def field(self, name: str, described: GraphQLField, depth: int) -> str:
        """Write a field under a name of its own, so that two of one kind do not conflict."""
        arguments = [
            f"{argument}: {self.argument(each)}"
            for argument, each in described.args.items()
            if (is_required_argument(each) and not self.one_in(50)) or self.one_in(2)
        ]
        text = f"f{next(self.names)}: {name}" + (f"({', '.join(arguments)})" if arguments else "")
        named = get_named_type(described.type)
        if not isinstance(named, GraphQLObjectType | GraphQLInterfaceType | GraphQLUnionType):
            return text
        return f"{text} {{ {self.selection(named, depth)} }}"

    def argument(self, described: GraphQLArgument) -> str:
        """Write an argument's value: mostly as a variable, now and then as a literal."""
        value = self.value(described.type)
        if self.one_in(6):
            return _literal(value)
        name = f"v{next(self.names)}"
        self.variables[name] = value
        self.declarations.append(f"${name}: {described.type}")
        return f"${name}"

    def value(self, type_: Any) -> Any:  # noqa: ANN401 - any input type, any JSON
        if self.one_in(100):
            return self.pick(WRONG)
        if isinstance(type_, GraphQLNonNull):
            return self.value(type_.of_type)
        if isinstance(type_, GraphQLList):
            return [self.value(type_.of_type) for _ in range(self.draw(st.integers(1, 3)))]
        if isinstance(type_, GraphQLInputObjectType):
            return {
                name: self.value(each.type)
                for name, each in type_.fields.items()
                if (is_required_input_field(each) and not self.one_in(50)) or self.one_in(3)
            }
        if isinstance(type_, GraphQLEnumType):
            return self.pick([*sorted(type_.values), *(["NOTHING"] if self.one_in(10) else [])])
        return self.scalar(type_)

    def scalar(self, type_: GraphQLScalarType) -> Any:  # noqa: ANN401 - any JSON
        match type_.name:
            case "ID" | "EventCursor":
                known = f"{KNOWN}{type_.name}:{self.draw(st.integers(0, 1000))}"
                value = known if not self.one_in(10) else self.pick(IDS)
            case "Int" | "Float":
                value = self.pick(NUMBERS[:5]) if not self.one_in(10) else self.pick(NUMBERS)
            case "Boolean":
                value = self.pick([True, False])
            case "DateTime":
                value = self.pick(MOMENTS if self.one_in(3) else MOMENTS[:1])
            case "JSON":
                value = self.draw(_json)
            case _ if not self.one_in(3):
                value = self.pick(PLAUSIBLE)
            case _:
                value = self.pick(TEXTS) if not self.one_in(3) else self.draw(st.text(max_size=20))
        return value


_json = st.recursive(
    st.sampled_from([None, True, *NUMBERS, *TEXTS[:20]]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(TEXTS[:12]), inner, max_size=3),
    max_leaves=8,
)


def operations(schema: GraphQLSchema) -> st.SearchStrategy[Operation]:
    """Write operations that a schema allows, more or less."""

    @st.composite
    def write(draw: Callable[[st.SearchStrategy[Any]], Any]) -> Operation:
        kind = draw(st.sampled_from(["query"] * 5 + ["mutation"] * 5 + ["subscription"]))
        root = {
            "query": schema.query_type,
            "mutation": schema.mutation_type,
            "subscription": schema.subscription_type,
        }[kind]
        assert root is not None
        writer = _Writer(schema, draw)
        names = draw(st.lists(st.sampled_from(sorted(root.fields)), min_size=1, max_size=1 if kind != "query" else 3))
        fields = " ".join(writer.field(name, root.fields[name], draw(st.integers(0, 4))) for name in names)
        declared = f"({', '.join(writer.declarations)})" if writer.declarations else ""
        return Operation(kind, f"{kind} Fuzz{declared} {{ {fields} }}", writer.variables)

    return write()


def resolved(value: Any, known: dict[str, list[str]]) -> Any:  # noqa: ANN401 - any JSON
    """Put ids and cursors that the server gave where stand-ins are."""
    if isinstance(value, str) and KNOWN in value:
        _, type_, number = value.split(":")
        return known[type_][int(number) % len(known[type_])]
    if isinstance(value, list):
        return [resolved(each, known) for each in value]
    if isinstance(value, dict):
        return {key: resolved(each, known) for key, each in value.items()}
    return value


def _is_composite(described: GraphQLField) -> bool:
    return isinstance(get_named_type(described.type), GraphQLObjectType | GraphQLInterfaceType | GraphQLUnionType)


def _literal(value: object) -> str:
    """Write a value in GraphQL; the names of enums come as texts, which are refused, unless they are alone."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_literal(each)}" for key, each in value.items() if key.isidentifier()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_literal(each) for each in value) + "]"
    if isinstance(value, str) and value.isidentifier() and value.isupper():
        return value
    return json.dumps(value)
