"""Errors of signing in."""

from graphql_api.kit.errors import DomainError, ErrorCode


class InvalidCredentials(DomainError):
    """The e-mail address, password or refresh token is not right; which one is not told."""

    code = ErrorCode.INVALID_CREDENTIALS
