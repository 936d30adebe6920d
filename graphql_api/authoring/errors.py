"""Errors that only authors meet."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from graphql_api.authoring.definitions import Diagnostic
from graphql_api.authoring.models import ProposalStatus
from graphql_api.authoring.previews import Preview
from graphql_api.kit.errors import DomainError, ErrorCode


class InvalidTransition(DomainError):
    """The thing is in a state that this can't be done in.

    Args:
        message: What can't be done.
        from_: The state that it is in.
        to: The state that was wanted.
        allowed: The states that it can go to.
        path: The argument at fault.
    """

    code = ErrorCode.INVALID_TRANSITION

    def __init__(
        self, message: str, *, from_: str, to: str, allowed: Sequence[str], path: Sequence[str] | None = None
    ) -> None:
        super().__init__(message, path=path)
        self.from_ = from_
        self.to = to
        self.allowed = list(allowed)


class StaleRevision(DomainError):
    """Somebody else's change came first."""

    code = ErrorCode.STALE_REVISION

    def __init__(self, message: str, *, expected: int, actual: int, path: Sequence[str] | None = None) -> None:
        super().__init__(message, path=path)
        self.expected = expected
        self.actual = actual


class Locked(DomainError):
    """Somebody else holds the workflow's lock."""

    code = ErrorCode.LOCKED

    def __init__(self, *, holder_id: UUID, acquired_at: datetime, expires_at: datetime, path: Sequence[str]) -> None:
        super().__init__(
            "Somebody else is editing this workflow. Wait until their lock expires, or ask an owner to break it.",
            path=path,
        )
        self.holder_id = holder_id
        self.acquired_at = acquired_at
        self.expires_at = expires_at


class MergeConflict(DomainError):
    """The draft and the proposal changed the same lines."""

    code = ErrorCode.MERGE_CONFLICT

    def __init__(self, message: str, *, preview: Preview) -> None:
        super().__init__(message, path=["input", "resolutions"])
        self.preview = preview


class DefinitionInvalid(DomainError):
    """The draft's definition has errors."""

    code = ErrorCode.DEFINITION_INVALID

    def __init__(self, message: str, *, diagnostics: Sequence[Diagnostic]) -> None:
        super().__init__(message, path=["input", "workflowId"])
        self.diagnostics = list(diagnostics)


class IdempotencyMismatch(DomainError):
    """The idempotency key was used for another input."""

    code = ErrorCode.IDEMPOTENCY_MISMATCH


def proposal_transition(
    current: ProposalStatus, wanted: ProposalStatus, allowed: Sequence[ProposalStatus], message: str
) -> InvalidTransition:
    """Make the error of a proposal that can't go to a status."""
    return InvalidTransition(
        message,
        from_=current.value,
        to=wanted.value,
        allowed=[status.value for status in allowed],
        path=["input", "proposalId"],
    )
