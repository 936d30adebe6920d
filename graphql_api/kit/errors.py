"""Errors that a caller can act on.

DomainError
├── Invalid             an argument breaks a rule
├── NotFound            there is no such thing, or it is not the caller's to see
├── Forbidden           the caller may see it, but not do this
├── AlreadyExists       a unique name is taken
├── Unauthenticated     nobody is signed in
├── CursorInvalid       a cursor of another log, or none at all
├── RateLimited         done too often
├── DocumentNotTrusted  not registered beforehand
├── PersistedQueryNotFound  named by a hash that is not known
├── QuotaExceeded       as many at once as there may be
├── TooComplex          an operation is larger than what is run
├── identity.errors     InvalidCredentials
├── runtimes.errors     RuntimeUnavailable
└── authoring.errors    what only authors meet: stale revisions, locks, conflicts
"""

from collections.abc import Sequence
from enum import Enum
from uuid import UUID


class ErrorCode(Enum):
    """What went wrong, for programs. Each value says what a client can do about it."""

    VALIDATION_FAILED = "VALIDATION_FAILED"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    INVALID_CREDENTIALS = "INVALID_CREDENTIALS"
    INVALID_TRANSITION = "INVALID_TRANSITION"
    STALE_REVISION = "STALE_REVISION"
    LOCKED = "LOCKED"
    MERGE_CONFLICT = "MERGE_CONFLICT"
    DEFINITION_INVALID = "DEFINITION_INVALID"
    IDEMPOTENCY_MISMATCH = "IDEMPOTENCY_MISMATCH"
    RUNTIME_UNAVAILABLE = "RUNTIME_UNAVAILABLE"
    RUNTIME_FAILED = "RUNTIME_FAILED"
    RUNTIME_TIMEOUT = "RUNTIME_TIMEOUT"
    QUOTA_EXCEEDED = "QUOTA_EXCEEDED"
    RATE_LIMITED = "RATE_LIMITED"
    QUERY_TOO_COMPLEX = "QUERY_TOO_COMPLEX"
    DOCUMENT_NOT_TRUSTED = "DOCUMENT_NOT_TRUSTED"
    PERSISTED_QUERY_NOT_FOUND = "PERSISTED_QUERY_NOT_FOUND"
    CURSOR_INVALID = "CURSOR_INVALID"
    OVERLOADED = "OVERLOADED"
    INTERNAL_ERROR = "INTERNAL_ERROR"


BROKEN = "Something broke on our side. The request id finds it in the logs."
"""What callers are told of an `INTERNAL_ERROR`."""


class DomainError(Exception):
    """A refusal that the caller can act on.

    Args:
        message: One sentence for people: what is wrong, and how to mend it.
        path: The argument at fault, such as `["input", "files", "0", "path"]`.
    """

    code: ErrorCode

    def __init__(self, message: str, *, path: Sequence[str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.path = None if path is None else list(path)

    @property
    def extensions(self) -> dict[str, object]:
        """What a top-level error says to programs, beside its code."""
        return {}


class Invalid(DomainError):
    """An argument breaks a rule that the message names."""

    code = ErrorCode.VALIDATION_FAILED


class NotFound(DomainError):
    """There is no such thing, or it is not the caller's to see: both read the same."""

    code = ErrorCode.NOT_FOUND


class Forbidden(DomainError):
    """The caller may see the thing, but not do this with it.

    Args:
        message: What is not allowed.
        path: The argument at fault.
        required_role: The least role that may.
        subject_id: Key of the thing.
    """

    code = ErrorCode.FORBIDDEN

    def __init__(
        self,
        message: str,
        *,
        path: Sequence[str] | None = None,
        required_role: str | None = None,
        subject_id: UUID | None = None,
    ) -> None:
        super().__init__(message, path=path)
        self.required_role = required_role
        self.subject_id = subject_id


class AlreadyExists(DomainError):
    """A name that must be unique is taken."""

    code = ErrorCode.ALREADY_EXISTS


class Unauthenticated(DomainError):
    """Nobody is signed in, or the sign-in has expired."""

    code = ErrorCode.UNAUTHENTICATED


class CursorInvalid(DomainError):
    """A cursor of another log, of the future, or not a cursor at all."""

    code = ErrorCode.CURSOR_INVALID


class RateLimited(DomainError):
    """Somebody did something too often.

    Args:
        message: What, and when to try again.
        retry_after: Seconds until then, 1 or more.
    """

    code = ErrorCode.RATE_LIMITED

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after

    @property
    def extensions(self) -> dict[str, object]:
        """When to try again."""
        return {"retryAfter": self.retry_after}


class Overloaded(DomainError):
    """This process has as much to do as it takes on."""

    code = ErrorCode.OVERLOADED
    retry_after = 1
    """Seconds."""

    def __init__(self, message: str = "There is too much to do right now. Try again in a second or two.") -> None:
        super().__init__(message)

    @property
    def extensions(self) -> dict[str, object]:
        """When to try again."""
        return {"retryAfter": self.retry_after}


class DocumentNotTrusted(DomainError):
    """An operation was not registered beforehand."""

    code = ErrorCode.DOCUMENT_NOT_TRUSTED

    def __init__(self) -> None:
        super().__init__("Only operations of the manifest run here: send its id, or its text as it stands there.")


class PersistedQueryNotFound(DomainError):
    """Nobody sent the text of an operation that is named by its hash."""

    code = ErrorCode.PERSISTED_QUERY_NOT_FOUND

    def __init__(self) -> None:
        # Apollo's clients compare the message.
        super().__init__("PersistedQueryNotFound")


class QuotaExceeded(DomainError):
    """The caller has as many of these as they may have at once.

    Args:
        message: For people.
        limit: How many that is.
        path: The argument that asked for one more.
    """

    code = ErrorCode.QUOTA_EXCEEDED

    def __init__(self, message: str, *, limit: int, path: Sequence[str] | None = None) -> None:
        super().__init__(message, path=path)
        self.limit = limit


class TooComplex(DomainError):
    """An operation is larger than what is run for its caller.

    Args:
        what: What there is too much of, such as `depth`.
        figure: How much there is; at least, where counting stopped at the limit.
        limit: How much may be there.
    """

    code = ErrorCode.QUERY_TOO_COMPLEX

    def __init__(self, what: str, figure: int, limit: int) -> None:
        super().__init__(f"This operation is too complex: its {what} is {figure}, and at most {limit} is run.")
        self.what, self.figure, self.limit = what, figure, limit

    @property
    def extensions(self) -> dict[str, object]:
        """What there is too much of."""
        return {"what": self.what, "figure": self.figure, "limit": self.limit}
