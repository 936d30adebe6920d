"""The schema: the sum of the rooms."""

import json
import re
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import strawberry
import structlog
from graphql import (
    GraphQLArgument,
    GraphQLError,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLUnionType,
    Undefined,
    build_schema,
    get_named_type,
    lexicographic_sort_schema,
    print_schema,
)
from strawberry.exceptions import MissingQueryError
from strawberry.extensions import SchemaExtension
from strawberry.extensions.runner import SchemaExtensionsRunner
from strawberry.schema.config import StrawberryConfig
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types import ExecutionContext, ExecutionResult
from strawberry.types.graphql import OperationType

from graphql_api.authoring.mutations import AuthoringMutations
from graphql_api.authoring.queries import AuthoringQueries
from graphql_api.authoring.subscriptions import AuthoringSubscriptions
from graphql_api.authoring.types import errors, proposal_events, workflow_events
from graphql_api.authoring.types.audit import AuditEntry
from graphql_api.authoring.types.drafts import Draft
from graphql_api.authoring.types.versions import Version
from graphql_api.context import Context
from graphql_api.identity.mutations import IdentityMutations
from graphql_api.identity.queries import IdentityQueries
from graphql_api.identity.types import InvalidCredentialsError
from graphql_api.kit import types
from graphql_api.kit.admission import Admission
from graphql_api.kit.documents import Documents
from graphql_api.kit.errors import BROKEN, DomainError, ErrorCode
from graphql_api.kit.execution import EventExecutor
from graphql_api.kit.hooks import HookRunner
from graphql_api.kit.operations import Observed
from graphql_api.kit.overload import overload
from graphql_api.kit.redaction import without_values
from graphql_api.runtimes.queries import RuntimeQueries

_UNREADABLE = (MissingQueryError, CannotGetOperationTypeError, InvalidOperationTypeError)
"""What Strawberry raises for documents from which no operation can be run: the caller's fault, not ours."""

_SUGGESTION = re.compile(r" Did you mean [^?]*\?")
"""What graphql-core adds to an error about variables when a name comes close to a right one."""

_DOCUMENTS = Documents()
_log = structlog.get_logger()


@strawberry.type(description="What can be read. Lists are connections; what you may not see is null.")
class Query(IdentityQueries, RuntimeQueries, AuthoringQueries):
    """What can be read."""


@strawberry.type(
    description="What can be changed. What a caller can act on is in the payload's `errors`, and then nothing "
    "was changed."
)
class Mutation(IdentityMutations, AuthoringMutations):
    """What can be changed."""


@strawberry.type(
    description="What can be watched: over `graphql-transport-ws`, multipart HTTP or server-sent events, on the same "
    "path as queries. After a lost connection, subscribe again with the last cursor in `after`."
)
class Subscription(AuthoringSubscriptions):
    """What can be watched."""


class OrchestratorSchema(strawberry.Schema):
    """A schema whose errors tell callers what they may know, and the log the rest."""

    async def execute(self, *arguments: Any, **options: Any) -> ExecutionResult:  # noqa: ANN401 - passes Strawberry's own on
        """Run a query or a mutation; a subscription has more than one result, so it takes `stream`."""
        allowed = options.get("allowed_operation_types") or OperationType
        options["allowed_operation_types"] = set(allowed) - {OperationType.SUBSCRIPTION}
        return await super().execute(*arguments, **options)

    def create_extensions_runner(
        self, execution_context: ExecutionContext, extensions: list[SchemaExtension]
    ) -> SchemaExtensionsRunner:
        """Make what runs the hooks of extensions."""
        return HookRunner(execution_context, extensions)

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Give each error its code and request id; mask what is not the caller's fault.

        Args:
            errors: What the response will carry; changed in place.
            execution_context: The operation.
        """
        context = execution_context.context if execution_context else None
        request_id = context.request_id if isinstance(context, Context) else None
        for error in errors:
            cause = error.original_error
            while isinstance(cause, GraphQLError):
                cause = cause.original_error
            code, told = ErrorCode.VALIDATION_FAILED, dict[str, object]()
            overloaded = overload(cause, request_id=request_id, path=error.path)
            if overloaded is not None:
                cause, error.message = overloaded, overloaded.message
            if isinstance(cause, DomainError):
                code, told = cause.code, cause.extensions
            elif cause is not None and not isinstance(cause, _UNREADABLE):
                _log.error("operation_failed", request_id=request_id, path=error.path, exc_info=cause)
                code = ErrorCode.INTERNAL_ERROR
                error.message = BROKEN
            else:
                error.message = without_values(error.message)
            if isinstance(context, Context) and not context.bounds.suggestions:
                error.message = _SUGGESTION.sub("", error.message)
            error.extensions = {**(error.extensions or {}), **told, "code": code.value, "requestId": request_id}


WEIGHTS = {
    "Proposal.mergePreview": 50,
    "Proposal.changes": 20,
    "Draft.changes": 20,
    **dict.fromkeys(("AuditEntryConnection.totalCount", "ProposalConnection.totalCount"), 5),
}
"""What fields cost that are more work than reading a value."""


class Placed(SchemaExtension):
    """Runs an operation while there is a place for it; a subscription needs one until it has begun."""

    def on_execute(self) -> Iterator[None]:
        """Take a place."""
        context = self.execution_context.context
        with context.engines.places.place() if isinstance(context, Context) else nullcontext():
            yield


def admission() -> Admission:
    """Make what admits one operation."""
    return Admission(_DOCUMENTS, WEIGHTS)


def _for_generators(schema: OrchestratorSchema) -> OrchestratorSchema:
    """Take back each `= null` that Strawberry writes, and describe the arguments that have no words of their own.

    Seam, checked with strawberry-graphql 0.341: the graphql-core schema is `Schema._schema`.
    """
    for type_ in schema._schema.type_map.values():  # noqa: SLF001 - see above
        inputs: list[GraphQLArgument | GraphQLInputField] = []
        if isinstance(type_, GraphQLInputObjectType):
            inputs.extend(type_.fields.values())
        elif isinstance(type_, GraphQLObjectType | GraphQLInterfaceType):
            inputs.extend(argument for field in type_.fields.values() for argument in field.args.values())
        for input_ in inputs:
            if input_.default_value is None:  # of it, code generators would make fields that must be given
                input_.default_value = Undefined
            if input_.description is None:  # that of a mutation's `input` is its type's
                input_.description = get_named_type(input_.type).description
    return schema


schema = _for_generators(
    OrchestratorSchema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        types=[
            *proposal_events.PROPOSAL_EVENTS.values(),
            *workflow_events.WORKFLOW_EVENTS.values(),
            Draft,
            Version,
            AuditEntry,
            InvalidCredentialsError,
            types.ValidationError,
            types.NotFoundError,
            types.AlreadyExistsError,
            errors.ForbiddenError,
            errors.InvalidTransitionError,
            errors.StaleRevisionError,
            errors.LockedError,
            errors.MergeConflictError,
            errors.DefinitionInvalidError,
            errors.RuntimeUnavailableError,
            errors.QuotaExceededError,
            errors.IdempotencyMismatchError,
        ],
        config=StrawberryConfig(scalar_map=types.SCALARS),
        execution_context_class=EventExecutor,
        extensions=[Observed, admission, Placed],
    )
)


def sdl() -> str:
    """Write the schema in GraphQL's own language, everything in alphabetical order."""
    return f"{print_schema(lexicographic_sort_schema(build_schema(schema.as_str())))}\n"


def possible_types() -> str:
    """Write which types each interface and union may turn out to be: the JSON that Apollo's cache takes."""
    served = build_schema(sdl())
    names = {
        name: sorted(possible.name for possible in served.get_possible_types(type_))
        for name, type_ in served.type_map.items()
        if isinstance(type_, GraphQLInterfaceType | GraphQLUnionType)
    }
    return f"{json.dumps(names, indent=2, sort_keys=True)}\n"
