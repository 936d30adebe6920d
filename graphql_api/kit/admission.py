"""What an operation has to pass before it runs: bounds, validation, and what its caller may still use."""

import re
from collections.abc import AsyncIterator, Iterator

from graphql import GraphQLError, GraphQLSyntaxError, validate
from graphql.language.parser import MAX_NESTING_DEPTH
from graphql.validation.rules import overlapping_fields_can_be_merged
from strawberry.extensions import SchemaExtension
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

from graphql_api.kit.bounds import Bounds, Caller, Charge, Kind
from graphql_api.kit.complexity import Weights, check_variables
from graphql_api.kit.documents import Document, Documents, Operation
from graphql_api.kit.errors import DomainError, TooComplex, Unauthenticated

MAX_COMMENTS = 1000
MAX_ERRORS = 25
"""After this many, validation ends."""

MAX_COMPARISONS = 50_000
"""Steps that validation takes to find out whether fields of one name can be merged, which takes quadratic time."""

_TOO_MANY = re.compile(r"Document contains more than (\d+) (\w+)\.")
_UNKNOWN_CALLER = Caller()

# With graphql-core's own budget one document of 4000 tokens takes a second.
overlapping_fields_can_be_merged.MAX_COMPLEXITY_BUDGET = MAX_COMPARISONS


class Admission(SchemaExtension):
    """Admits one operation, or refuses it; a known document is neither parsed nor validated again.

    Seam, checked with strawberry-graphql 0.341: what the caller named is `ExecutionContext._provided_operation_name`.

    Args:
        documents: Where to look, and what to add to.
        weights: What fields cost.
    """

    def __init__(self, documents: Documents, weights: Weights) -> None:
        super().__init__()
        self._documents = documents
        self._weights = weights
        self._known: Document | None = None

    @property
    def caller(self) -> Caller:
        """Who wants the operation to run."""
        context = self.execution_context.context
        return context if isinstance(context, Caller) else _UNKNOWN_CALLER

    def on_operation(self) -> Iterator[None]:
        """Give back what the operation held, once it is over."""
        try:
            yield
        finally:
            self.caller.release()

    def on_parse(self) -> Iterator[None]:
        """Take the document that is known, or bound the parser."""
        context = self.execution_context
        if context.graphql_document is None:
            self._known = self._documents.find(context)
            if self._known is not None:
                context.graphql_document = self._known.node
            else:
                options = {"max_lexical_tokens": self.caller.bounds.tokens, "max_comments": MAX_COMMENTS}
                context.parse_options.update(options)  # type: ignore[typeddict-item]  # Strawberry knows only some
        yield
        for error in context.pre_execution_errors or ():
            if isinstance(error, GraphQLSyntaxError):
                _explain_abortion(error)

    async def on_validate(self) -> AsyncIterator[None]:
        """Refuse what is too large, not valid, or too much by now."""
        context = self.execution_context
        if context.graphql_document is not None and not context.pre_execution_errors:
            try:
                context.pre_execution_errors = await self._admit(self._known or Document(context.graphql_document))
            except DomainError as error:
                context.pre_execution_errors = [GraphQLError(error.message, original_error=error)]
        yield

    async def _admit(self, document: Document) -> list[GraphQLError]:
        """Give the errors of a document, none if its operation may run.

        Raises:
            DomainError: When there is nothing wrong with it, but it may not run.
        """
        context, caller = self.execution_context, self.caller
        operation = document.operation(context._provided_operation_name)  # noqa: SLF001 - see the class
        if operation is None:
            return [GraphQLError("There are several operations here: name the one to run in operationName.")]
        bounds, variables = caller.bounds, context.variables or {}
        if document.node.token_count > bounds.tokens + MAX_COMMENTS:
            raise TooComplex("tokens", document.node.token_count, bounds.tokens)
        measured = operation.measured(context.schema._schema, variables, self._weights)  # noqa: SLF001 - Strawberry's own name of it
        measured.measures.check(bounds)
        if measured.introspects and not bounds.introspection:
            raise Unauthenticated("Sign in to ask for the schema.")
        if self._known is None:
            errors = self._validate(bounds)
            if errors:
                return errors
            self._documents.keep(context, document)
        check_variables(variables, bounds)
        await self._charge(operation, measured.measures.cost)
        return []

    def _validate(self, bounds: Bounds) -> list[GraphQLError]:
        context = self.execution_context
        if not context.validation_rules or context.graphql_document is None:
            return []
        errors = validate(
            context.schema._schema,  # noqa: SLF001 - Strawberry's own name of it
            context.graphql_document,
            (*context.validation_rules, MaybeNullValidationRule, OneOfInputValidationRule),
            max_errors=MAX_ERRORS,
            hide_suggestions=not bounds.suggestions,
        )
        if errors and errors[-1].message == "Validation aborted.":
            raise TooComplex("overlap of fields", MAX_COMPARISONS + 1, MAX_COMPARISONS)
        return [_of_the_caller(error) for error in errors]

    async def _charge(self, operation: Operation, cost: int) -> None:
        caller = self.caller
        kind = Kind(operation.node.operation.value)
        if caller.wants_cost and kind is not Kind.SUBSCRIPTION:
            self.execution_context.extensions_results["cost"] = {"requested": cost, "limit": caller.bounds.cost}
        await caller.charge(Charge(kind, max(cost, 1), operation.root_fields()))


def _of_the_caller(error: GraphQLError) -> GraphQLError:
    """Give an error of validation without the exception that a literal raised, such as an integer of 5000 digits.

    It would be taken for a fault of ours.
    """
    if error.original_error is None:
        return error
    return GraphQLError("This value can't be read: it is too large, or not of its type.", nodes=error.nodes)


def _explain_abortion(error: GraphQLSyntaxError) -> None:
    """Say that a document was not wrong but too large."""
    counted = _TOO_MANY.match(error.description)
    if counted is not None:
        limit = int(counted[1])
        error.original_error = TooComplex(counted[2], limit + 1, limit)
    elif error.description.startswith("Document is nested too deeply"):
        error.original_error = TooComplex("nesting", MAX_NESTING_DEPTH + 1, MAX_NESTING_DEPTH)
    if isinstance(error.original_error, DomainError):
        error.message = error.original_error.message
