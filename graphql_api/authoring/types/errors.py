"""GraphQL types of the product's errors, and what makes them of domain errors."""

from datetime import datetime

import strawberry

from graphql_api.authoring.errors import (
    DefinitionInvalid,
    IdempotencyMismatch,
    InvalidTransition,
    Locked,
    MergeConflict,
    StaleRevision,
)
from graphql_api.authoring.types.definitions import Diagnostic
from graphql_api.authoring.types.enums import AccessRole
from graphql_api.authoring.types.membership import WorkflowLock
from graphql_api.authoring.types.merges import MergePreview
from graphql_api.kit.errors import Forbidden, QuotaExceeded
from graphql_api.kit.types import UserError, base_fields, user_error
from graphql_api.runtimes.errors import RuntimeUnavailable


@strawberry.type(description="You may see this, but not do this with it.")
class ForbiddenError(UserError):
    """A role is too low."""

    required_role: AccessRole | None = strawberry.field(description="The least role that may.")


@strawberry.type(description="The thing is in a state in which this can't be done.")
class InvalidTransitionError(UserError):
    """A state is wrong."""

    from_: str = strawberry.field(name="from", description="The state that it is in.")
    to: str = strawberry.field(description="The state that was wanted.")
    allowed: list[str] = strawberry.field(description="The states that it can go to from there.")


@strawberry.type(description="Somebody else's change came first: read again, then repeat.")
class StaleRevisionError(UserError):
    """A revision is behind."""

    expected: int = strawberry.field(description="The revision that you gave or merged from; 0 for none.")
    actual: int = strawberry.field(description="The revision that the draft is at; 0 when none is open.")


@strawberry.type(description="Somebody else holds the workflow's lock.")
class LockedError(UserError):
    """A workflow is locked."""

    lock: WorkflowLock = strawberry.field(description="Who holds it, and until when.")


@strawberry.type(description="The draft and the proposal changed the same lines: give resolutions.")
class MergeConflictError(UserError):
    """A merge has conflicts."""

    preview: MergePreview = strawberry.field(description="The merge with its conflicts.")


@strawberry.type(description="The draft's `definition.json` has errors.")
class DefinitionInvalidError(UserError):
    """A definition has errors."""

    diagnostics: list[Diagnostic] = strawberry.field(description="What is wrong with it.")


@strawberry.type(description="The agent runtime takes no work now; nothing was stored.")
class RuntimeUnavailableError(UserError):
    """A runtime takes no work."""

    retry_at: datetime | None = strawberry.field(description="When it is worth another try.")


@strawberry.type(description="You have as many of these as you may at once.")
class QuotaExceededError(UserError):
    """A quota is used up."""

    limit: int = strawberry.field(description="How many you may have at once.")


@strawberry.type(description="The idempotency key was used for another input.")
class IdempotencyMismatchError(UserError):
    """A key was used for another input."""


@user_error.register
def _(error: Forbidden) -> UserError:
    role = None if error.required_role is None else AccessRole(error.required_role)
    return ForbiddenError(**base_fields(error), required_role=role)


@user_error.register
def _(error: InvalidTransition) -> UserError:
    return InvalidTransitionError(**base_fields(error), from_=error.from_, to=error.to, allowed=error.allowed)


@user_error.register
def _(error: StaleRevision) -> UserError:
    return StaleRevisionError(**base_fields(error), expected=error.expected, actual=error.actual)


@user_error.register
def _(error: Locked) -> UserError:
    lock = WorkflowLock(holder_id=error.holder_id, acquired_at=error.acquired_at, expires_at=error.expires_at)
    return LockedError(**base_fields(error), lock=lock)


@user_error.register
def _(error: MergeConflict) -> UserError:
    return MergeConflictError(**base_fields(error), preview=MergePreview.of(error.preview))


@user_error.register
def _(error: DefinitionInvalid) -> UserError:
    diagnostics = [Diagnostic.of(diagnostic) for diagnostic in error.diagnostics]
    return DefinitionInvalidError(**base_fields(error), diagnostics=diagnostics)


@user_error.register
def _(error: RuntimeUnavailable) -> UserError:
    return RuntimeUnavailableError(**base_fields(error), retry_at=error.retry_at)


@user_error.register
def _(error: QuotaExceeded) -> UserError:
    return QuotaExceededError(**base_fields(error), limit=error.limit)


@user_error.register
def _(error: IdempotencyMismatch) -> UserError:
    return IdempotencyMismatchError(**base_fields(error))
