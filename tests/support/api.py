"""Calling the API as somebody: the real schema, executed without HTTP."""

from typing import Any

from graphql import ExecutionResult, GraphQLError
from strawberry.types import ExecutionResult as StrawberryResult

from graphql_api.context import Context, Engines
from graphql_api.identity.actor import Actor
from graphql_api.identity.models import User, UserRole
from graphql_api.kit.ids import key_of, to_global_id
from graphql_api.schema import schema

ERRORS = """errors {
  __typename code message path
  ... on ForbiddenError { requiredRole }
  ... on InvalidTransitionError { from to allowed }
  ... on StaleRevisionError { expected actual }
  ... on LockedError { lock { holder { id } acquiredAt expiresAt } }
  ... on DefinitionInvalidError { diagnostics { severity code path } }
  ... on QuotaExceededError { limit }
  ... on MergeConflictError { preview {
    status draftRevision digest
    changes { path kind after { content } }
    conflicts { path merged base { content } ours { content } theirs { content } }
  } }
}"""

RESULTS = {
    "createWorkflow": "workflow { id }",
    "updateWorkflow": "workflow { id name description isArchived }",
    "deleteWorkflow": "deletedWorkflowId",
    "setWorkflowMember": "workflow { id members { role user { email } } }",
    "lockWorkflow": "workflow { id lock { holder { id } acquiredAt expiresAt } }",
    "unlockWorkflow": "workflow { id lock { acquiredAt } }",
    "editDraft": "draft { id revision status files { path content } }",
    "discardDraft": "discardedDraftId workflow { id draft { id } }",
    "publishDraft": "version { id number }",
    "deployVersion": "version { id number isProduction } workflow { id productionVersion { number } }",
    "deprecateVersion": "version { id number status }",
    "refineWorkflow": "proposal { id status }",
    "cancelProposal": "proposal { id status }",
    "retryProposal": "proposal { id status }",
    "approveProposal": "proposal { id status } draft { id revision files { path content } }",
    "rejectProposal": "proposal { id status }",
}
"""What is selected of each mutation's result unless a test says otherwise."""


class Api:
    """The API as one person, or as nobody, calls it.

    Args:
        engines: What the process has one of.
        user: Who calls; None for nobody.
    """

    def __init__(self, engines: Engines, user: User | None) -> None:
        self.engines = engines
        self._user = user

    @property
    def user(self) -> User:
        """Who calls."""
        assert self._user is not None
        return self._user

    @property
    def user_id(self) -> str:
        """Global id of who calls."""
        return to_global_id("User", self.user.id)

    def context(self) -> Context:
        """Make the context of one request."""
        if self._user is None:
            return Context(self.engines)
        is_admin = UserRole.ADMIN.value in self._user.roles
        return Context(self.engines, signed_in=Actor(self._user.id, is_admin=is_admin))

    async def execute(self, document: str, **variables: Any) -> ExecutionResult | StrawberryResult:  # noqa: ANN401 - any JSON
        """Execute a document, whatever comes of it."""
        return await schema.execute(document, variable_values=variables, context_value=self.context())

    async def __call__(self, document: str, **variables: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
        """Execute a document that has no top-level error; give its data."""
        result = await self.execute(document, **variables)
        if result.errors:
            raise AssertionError(f"{result.errors} in {document[:100]}") from result.errors[0]
        assert result.data is not None
        return result.data

    async def error(self, document: str, **variables: Any) -> GraphQLError:  # noqa: ANN401 - any JSON
        """Execute a document that has exactly one top-level error; give it."""
        result = await self.execute(document, **variables)
        assert result.errors is not None, result.data
        (error,) = result.errors
        return error

    async def code(self, document: str, **variables: Any) -> str:  # noqa: ANN401 - any JSON
        """Execute a document that has exactly one top-level error; give its code."""
        extensions = (await self.error(document, **variables)).extensions or {}
        assert extensions["requestId"]
        return str(extensions["code"])

    async def send(self, mutation: str, selection: str | None = None, **given: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
        """Call a mutation, whatever its payload says; give the payload."""
        document = mutation_document(mutation, selection)
        payload: dict[str, Any] = (await self(document, input=given))[mutation]
        return payload

    async def do(self, mutation: str, selection: str | None = None, **given: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
        """Call a mutation that succeeds; give the payload without its errors."""
        payload = await self.send(mutation, selection, **given)
        assert payload.pop("errors") == []
        return payload

    async def refused(self, mutation: str, selection: str | None = None, **given: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
        """Call a mutation that refuses with exactly one error; give it without its message."""
        payload = await self.send(mutation, selection, **given)
        (error,) = payload.pop("errors")
        assert set(payload.values()) == {None}
        assert error.pop("message")
        refusal: dict[str, Any] = error
        return refusal


def mutation_document(mutation: str, selection: str | None = None) -> str:
    """Write the document that calls a mutation."""
    type_ = f"{mutation[0].upper()}{mutation[1:]}Input"
    result = RESULTS[mutation] if selection is None else selection
    return f"mutation ($input: {type_}!) {{ {mutation}(input: $input) {{ {result} {ERRORS} }} }}"


def key(global_id: str, type_name: str) -> Any:  # noqa: ANN401 - a UUID, for SQL
    """Give the key in a global id."""
    found = key_of(global_id, type_name)
    assert found is not None
    return found
