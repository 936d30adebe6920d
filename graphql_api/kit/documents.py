"""Documents that were parsed, measured and validated already: clients send the same few again and again."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from graphql import DocumentNode, GraphQLSchema, OperationDefinitionNode
from strawberry.types import ExecutionContext

from graphql_api.kit.complexity import Measured, Weights, measure, root_fields

MAX_CHARACTERS = 256 * 1024
"""Of the texts of all documents that are kept; their trees take about a hundred times as many bytes."""

MAX_SIZES = 64
"""Combinations of sizes of which a document remembers how large they make it."""


class Operation:
    """An operation of a document, and what was found out about it.

    Args:
        document: The document's tree.
        node: Its own part of it.
    """

    __slots__ = ("_document", "_measured", "_root_fields", "node")

    def __init__(self, document: DocumentNode, node: OperationDefinitionNode) -> None:
        self.node = node
        self._document = document
        self._measured: dict[tuple[object, ...], Measured] = {}
        self._root_fields: tuple[str, ...] | None = None

    def measured(self, schema: GraphQLSchema, variables: Mapping[str, Any], weights: Weights) -> Measured:
        """Measure it; once for each combination of sizes in its variables.

        Raises:
            TooComplex: When it is nested too deeply to be measured.
        """
        known = self._measured
        if known:
            names = next(iter(known.values())).size_variables
            found = known.get(_sizes(names, variables))
            if found is not None:
                return found
        measured = measure(schema, self._document, self.node, variables, weights)
        if len(known) >= MAX_SIZES:
            known.clear()
        known[_sizes(measured.size_variables, variables)] = measured
        return measured

    def root_fields(self) -> tuple[str, ...]:
        """Name the fields at its root; it is valid and of a size that is run."""
        if self._root_fields is None:
            self._root_fields = root_fields(self._document, self.node)
        return self._root_fields


class Document:
    """A document, and its operations.

    Args:
        node: Its tree.
    """

    __slots__ = ("_operations", "node")

    def __init__(self, node: DocumentNode) -> None:
        self.node = node
        named = [each for each in node.definitions if isinstance(each, OperationDefinitionNode)]
        # By name and not by node: graphql-core compares trees, and to hash one takes as long as it is large.
        self._operations = {None if each.name is None else each.name.value: Operation(node, each) for each in named}

    def operation(self, name: str | None) -> Operation | None:
        """Give the operation of a name, or the only one; None when there are others beside it."""
        if name is None:
            return next(iter(self._operations.values())) if len(self._operations) == 1 else None
        return self._operations.get(name)


class Documents:
    """Valid documents by their text, the least recently used ones forgotten first.

    What is not valid is not kept: nobody can push the others out with it, and each caller gets errors of their own.

    Args:
        max_characters: Of all texts together.
    """

    def __init__(self, max_characters: int = MAX_CHARACTERS) -> None:
        self._documents: OrderedDict[tuple[object, ...], Document] = OrderedDict()
        self._characters = 0
        self._max_characters = max_characters

    def __len__(self) -> int:
        """Count the documents."""
        return len(self._documents)

    def find(self, operation: ExecutionContext) -> Document | None:
        """Give the document of an operation when it is known."""
        key = _key(operation)
        document = self._documents.get(key)
        if document is not None:
            self._documents.move_to_end(key)
        return document

    def keep(self, operation: ExecutionContext, document: Document) -> None:
        """Keep the document of an operation, which is valid."""
        text = operation.query or ""
        if len(text) > self._max_characters // 8:
            return
        key = _key(operation)
        if key not in self._documents:
            self._characters += len(text)
        self._documents[key] = document
        while self._characters > self._max_characters:
            (forgotten, *_), _ = self._documents.popitem(last=False)
            self._characters -= len(str(forgotten))


def _key(operation: ExecutionContext) -> tuple[object, ...]:
    """Give what decides whether a document is valid, beside the schema; how large it may be is checked each time."""
    return operation.query, operation.validation_rules


def _sizes(names: tuple[str, ...], variables: Mapping[str, Any]) -> tuple[object, ...]:
    return tuple(_size(variables[name]) if name in variables else ... for name in names)


def _size(value: object) -> object:
    """Give what of a variable decides about a size."""
    if isinstance(value, list):
        return "items", len(value)
    return value if isinstance(value, int) else None
