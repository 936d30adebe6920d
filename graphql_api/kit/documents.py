"""Documents that were parsed and validated already: clients send the same few again and again."""

from collections import OrderedDict
from collections.abc import Iterator

from graphql import DocumentNode
from strawberry.extensions import SchemaExtension
from strawberry.types import ExecutionContext

MAX_CHARACTERS = 256 * 1024
"""Of the texts of all documents that are kept; their trees take about a hundred times as many bytes."""


class Documents:
    """Valid documents by their text, the least recently used ones forgotten first.

    What is not valid is not kept: nobody can push the others out with it, and each caller gets errors of their own.

    Args:
        max_characters: Of all texts together.
    """

    def __init__(self, max_characters: int = MAX_CHARACTERS) -> None:
        self._documents: OrderedDict[tuple[object, ...], DocumentNode] = OrderedDict()
        self._characters = 0
        self._max_characters = max_characters

    def __len__(self) -> int:
        """Count the documents."""
        return len(self._documents)

    def extension(self) -> "KnownDocument":
        """Make the extension of one operation; a schema takes this method among its `extensions`."""
        return KnownDocument(self)

    def find(self, operation: ExecutionContext) -> DocumentNode | None:
        """Give the document of an operation when it is known."""
        key = _key(operation)
        document = self._documents.get(key)
        if document is not None:
            self._documents.move_to_end(key)
        return document

    def keep(self, operation: ExecutionContext) -> None:
        """Keep the document of an operation, which is valid."""
        text = operation.query or ""
        if operation.graphql_document is None or len(text) > self._max_characters // 8:
            return
        key = _key(operation)
        if key not in self._documents:
            self._characters += len(text)
        self._documents[key] = operation.graphql_document
        while self._characters > self._max_characters:
            (forgotten, *_), _ = self._documents.popitem(last=False)
            self._characters -= len(str(forgotten))


class KnownDocument(SchemaExtension):
    """Spares one operation the parsing and validation of a document that is known.

    Args:
        documents: Where to look, and what to add to.
    """

    def __init__(self, documents: Documents) -> None:
        super().__init__()
        self._documents = documents
        self._is_known = False

    def on_parse(self) -> Iterator[None]:
        """Take the document that is known."""
        if self.execution_context.graphql_document is None:
            known = self._documents.find(self.execution_context)
            if known is not None:
                self.execution_context.graphql_document = known
                self._is_known = True
        yield

    def on_validate(self) -> Iterator[None]:
        """Spare the validation of a known document; keep one that turns out to be valid."""
        if self._is_known and self.execution_context.pre_execution_errors is None:
            self.execution_context.pre_execution_errors = []
        yield
        if not self._is_known and not self.execution_context.pre_execution_errors:
            self._documents.keep(self.execution_context)


def _key(operation: ExecutionContext) -> tuple[object, ...]:
    """Give what decides whether a document is valid, beside the schema."""
    return operation.query, operation.validation_rules, *sorted(operation.parse_options.items())
