"""Errors of runtimes that a caller can act on."""

from collections.abc import Sequence
from datetime import datetime

from graphql_api.kit.errors import DomainError, ErrorCode


class RuntimeUnavailable(DomainError):
    """The runtime takes no work now.

    Args:
        message: What is known of it.
        path: The argument at fault.
        retry_at: When it is worth another try; None when nobody knows.
    """

    code = ErrorCode.RUNTIME_UNAVAILABLE

    def __init__(self, message: str, *, path: Sequence[str] | None = None, retry_at: datetime | None = None) -> None:
        super().__init__(message, path=path)
        self.retry_at = retry_at
