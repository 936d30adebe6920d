"""How large an operation is, found out before anything is looked up for it: one walk over its document.

Every fragment is walked once, however often it is spread, so that the walk takes time in proportion to the text;
figures stop growing at `SATURATED`. It takes documents that were not validated: what the schema does not know counts
as a field.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLCompositeType,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    OperationDefinitionNode,
    SelectionNode,
    ValueNode,
    VariableNode,
    get_named_type,
    is_composite_type,
)

from graphql_api.kit.bounds import Bounds
from graphql_api.kit.errors import TooComplex
from graphql_api.kit.pagination import DEFAULT_PAGE, MAX_PAGE

SATURATED = 10**9
MAX_NESTING = 150
"""Levels of selections, those of fragments too: more than `Bounds` lets through, less than Python's stack takes."""

LIST_SIZE = 5
"""What a list without a size is taken for."""

_CONNECTION = "Connection"
_ITEMS = frozenset({"nodes", "edges"})
_INTROSPECTION = frozenset({"__schema", "__type"})


@dataclass(slots=True)
class Measures:
    """How large an operation is, or a part of it.

    Attributes:
        depth: See `Bounds`, as for all others.
        item_cost: Of one item of the connection that the selection belongs to.
    """

    depth: int = 0
    aliases: int = 0
    directives: int = 0
    fields: int = 0
    cost: int = 0
    item_cost: int = 0

    def add(self, part: "Measures") -> None:
        """Take in a part that stands beside the others."""
        self.depth = max(self.depth, part.depth)
        self.aliases = min(self.aliases + part.aliases, SATURATED)
        self.directives = min(self.directives + part.directives, SATURATED)
        self.fields = min(self.fields + part.fields, SATURATED)
        self.cost = min(self.cost + part.cost, SATURATED)
        self.item_cost = min(self.item_cost + part.item_cost, SATURATED)

    def check(self, bounds: Bounds) -> None:
        """Compare with what a caller may ask for.

        Raises:
            TooComplex: With the first figure that is too large.
        """
        for name in ("depth", "aliases", "directives", "fields", "cost"):
            figure, limit = getattr(self, name), getattr(bounds, name)
            if figure > limit:
                raise TooComplex(name, figure, limit)


@dataclass(frozen=True, slots=True)
class Measured:
    """An operation that was walked.

    Attributes:
        measures: How large it is.
        size_variables: Names of the variables that decide about sizes; with others of the same values it is as large.
        introspects: Whether it asks for the schema.
    """

    measures: Measures
    size_variables: tuple[str, ...]
    introspects: bool


Weights = Mapping[str, int]
"""What fields cost that are more work than others, by coordinate such as `Proposal.mergePreview`; the rest cost 1."""


def measure(
    schema: GraphQLSchema,
    document: DocumentNode,
    operation: OperationDefinitionNode,
    variables: Mapping[str, Any],
    weights: Weights,
) -> Measured:
    """Measure an operation.

    Args:
        schema: What it runs on.
        document: What it is in, with its fragments.
        operation: What is measured.
        variables: As the caller sent them.
        weights: What fields cost.

    Raises:
        TooComplex: When it is nested too deeply to be walked.
    """
    walk = _Walk(schema, document, operation, variables, weights)
    measures = walk.selections(operation.selection_set.selections, schema.get_root_type(operation.operation), 1)
    measures.directives += len(operation.directives or ())
    measures.cost = min(measures.cost + measures.item_cost, SATURATED)
    return Measured(measures, tuple(sorted(walk.size_variables)), walk.introspects)


def root_fields(document: DocumentNode, operation: OperationDefinitionNode) -> tuple[str, ...]:
    """Name the fields at the root of a valid operation, as often as they are there; measure it first."""
    fragments = _fragments(document)

    def named(selections: Iterable[SelectionNode]) -> Iterator[str]:
        for selection in selections:
            if isinstance(selection, FieldNode):
                yield selection.name.value
            elif isinstance(selection, InlineFragmentNode):
                yield from named(selection.selection_set.selections)
            elif isinstance(selection, FragmentSpreadNode):
                yield from named(fragments[selection.name.value].selection_set.selections)

    return tuple(named(operation.selection_set.selections))


def check_variables(variables: Mapping[str, Any], bounds: Bounds) -> None:
    """Refuse variables that are too many, or too deep.

    Raises:
        TooComplex: With the figure.
    """
    level: list[Any] = list(variables.values())
    count, depth = 0, 1
    while level:
        count += len(level)
        if count > bounds.variables:
            raise TooComplex("variables", count, bounds.variables)
        if depth > bounds.variable_depth:
            raise TooComplex("variable depth", depth, bounds.variable_depth)
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                below.extend(value.values())
            elif isinstance(value, list):
                below.extend(value)
        level, depth = below, depth + 1


class _Walk:
    """Walks one operation with one set of variables."""

    def __init__(
        self,
        schema: GraphQLSchema,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        variables: Mapping[str, Any],
        weights: Weights,
    ) -> None:
        self._schema = schema
        self._fragments = _fragments(document)
        self._defaults = {node.variable.name.value: node.default_value for node in operation.variable_definitions or ()}
        self._variables = variables
        self._weights = weights
        self._known: dict[str, Measures] = {}
        self._open: set[str] = set()
        self.size_variables: set[str] = set()
        self.introspects = False

    def selections(
        self, selections: Iterable[SelectionNode], parent: GraphQLCompositeType | None, level: int
    ) -> Measures:
        """Measure what stands between two braces."""
        if level > MAX_NESTING:
            raise TooComplex("nesting", level, MAX_NESTING)
        total = Measures()
        for selection in selections:
            if isinstance(selection, FieldNode):
                total.add(self._field(selection, parent, level))
            elif isinstance(selection, FragmentSpreadNode):
                total.add(self._fragment(selection.name.value, level))
            elif isinstance(selection, InlineFragmentNode):
                condition = selection.type_condition
                type_ = self._composite(condition.name.value) if condition else parent
                total.add(self.selections(selection.selection_set.selections, type_, level + 1))
            total.directives += len(selection.directives or ())
        return total

    def _fragment(self, name: str, level: int) -> Measures:
        definition = self._fragments.get(name)
        if definition is None or name in self._open:
            return Measures()  # validation tells the caller what is wrong with it
        if name not in self._known:
            self._open.add(name)
            type_ = self._composite(definition.type_condition.name.value)
            self._known[name] = self.selections(definition.selection_set.selections, type_, level + 1)
            self._open.discard(name)
        return self._known[name]

    def _field(self, node: FieldNode, parent: GraphQLCompositeType | None, level: int) -> Measures:
        name = node.name.value
        own = Measures(depth=1, aliases=int(node.alias is not None), fields=1)
        own.cost = 0 if name.startswith("__") else self._weight(parent, name)
        if node.selection_set is None:
            return own
        field = _field_of(parent, name)
        type_ = get_named_type(field.type) if field else None
        below = self.selections(node.selection_set.selections, type_ if is_composite_type(type_) else None, level + 1)
        if name in _INTROSPECTION:
            self.introspects = True
            below.depth = below.cost = below.item_cost = 0
        below.depth += 1
        is_item = name in _ITEMS and parent is not None and parent.name.endswith(_CONNECTION)
        if is_item:
            own.item_cost, own.cost = own.cost + below.cost + below.item_cost, 0
        elif type_ is not None and type_.name.endswith(_CONNECTION):
            own.cost += below.cost + self._size(node) * below.item_cost
        else:
            size = self._list_size(node, field)
            own.cost += size * (below.cost + below.item_cost)
        below.cost = below.item_cost = 0
        own.add(below)
        return own

    def _weight(self, parent: GraphQLCompositeType | None, name: str) -> int:
        return self._weights.get(f"{parent.name}.{name}", 1) if parent is not None else 1

    def _composite(self, name: str) -> GraphQLCompositeType | None:
        type_ = self._schema.type_map.get(name)
        return type_ if is_composite_type(type_) else None

    def _size(self, node: FieldNode) -> int:
        """Tell how many items of a connection are asked for."""
        given = [
            self._value(argument.value) for argument in node.arguments or () if argument.name.value in {"first", "last"}
        ]
        return next((max(0, min(value, MAX_PAGE)) for value in given if isinstance(value, int)), DEFAULT_PAGE)

    def _list_size(self, node: FieldNode, field: GraphQLField | None) -> int:
        if field is None or not _is_list(field):
            return 1
        for argument in node.arguments or ():
            if argument.name.value == "ids":
                value = self._value(argument.value)
                return len(value) if isinstance(value, list) else 1
        return LIST_SIZE

    def _value(self, node: ValueNode) -> object:
        if isinstance(node, VariableNode):
            name = node.name.value
            self.size_variables.add(name)
            default = self._defaults.get(name)
            if name in self._variables or default is None:
                return self._variables.get(name)
            node = default
        if isinstance(node, IntValueNode):
            return int(node.value) if len(node.value) < len(str(SATURATED)) else SATURATED
        return list(node.values) if isinstance(node, ListValueNode) else None


def _fragments(document: DocumentNode) -> dict[str, FragmentDefinitionNode]:
    return {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}


def _field_of(parent: GraphQLCompositeType | None, name: str) -> GraphQLField | None:
    return parent.fields.get(name) if isinstance(parent, GraphQLObjectType | GraphQLInterfaceType) else None


def _is_list(field: GraphQLField) -> bool:
    type_ = field.type.of_type if isinstance(field.type, GraphQLNonNull) else field.type
    return isinstance(type_, GraphQLList)
