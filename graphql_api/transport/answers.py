"""Answers over HTTP: media types, status codes and headers, after the specification of GraphQL over HTTP."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from graphql import GraphQLError
from starlette.responses import Response
from strawberry.http import GraphQLHTTPResponse, process_result
from strawberry.http.parse_content_type import parse_content_type
from strawberry.types.execution import ExecutionResult, PreExecutionError

from graphql_api.context import Context
from graphql_api.kit.correlation import current_request_id
from graphql_api.kit.errors import DomainError, ErrorCode
from graphql_api.transport.delivery.json import to_json
from graphql_api.transport.requests import Refused

JSON = "application/json"
GRAPHQL_RESPONSE = "application/graphql-response+json"

NOT_KEPT = {"cache-control": "no-store"}
"""Of every answer: no cache on the way may keep any of it."""

RATE_HEADERS = ("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset")

_TOO_MANY_REQUESTS, _UNAVAILABLE = 429, 503


@lru_cache(maxsize=256)
def weights(accept: str) -> dict[str, float]:
    """Read how much a client wants each media type; 0 is not at all."""
    found = {}
    for part in accept.split(","):
        media_type, parameters = parse_content_type(part.strip())
        try:
            found[media_type.lower()] = float(parameters.get("q", "1"))
        except ValueError:
            found[media_type.lower()] = 0.0
    return found


@lru_cache(maxsize=256)
def media_type(accept: str) -> str:
    """Choose between plain JSON and GraphQL's own type, which says by its status whether an operation ran."""
    wanted = weights(accept)
    own = wanted.get(GRAPHQL_RESPONSE, 0.0)
    return GRAPHQL_RESPONSE if own > 0 and own >= wanted.get(JSON, 0.0) else JSON


def wants_cost(extensions: Mapping[str, Any] | None) -> bool:
    """Tell whether the extensions of a request ask for the cost of its operation."""
    return extensions is not None and extensions.get("cost") is True


def top_level(error: DomainError, request_id: str) -> GraphQLError:
    """Turn a refusal into an error that belongs to no field."""
    return GraphQLError(
        error.message, extensions={**error.extensions, "code": error.code.value, "requestId": request_id}
    )


def is_refusal(result: ExecutionResult) -> bool:
    """Tell whether a result says that the operation did not run: its errors belong to no field."""
    if isinstance(result, PreExecutionError):
        return True
    return result.data is None and bool(result.errors) and all(error.path is None for error in result.errors or ())


def status_of(result: ExecutionResult, chosen: str) -> int:
    """Choose the status of an answer; as plain JSON, old clients expect 200 for whatever GraphQL has to say."""
    if is_overloaded(result):
        return _UNAVAILABLE
    if not is_refusal(result):
        return 200
    if _retry_after(result) is not None:
        return _TOO_MANY_REQUESTS
    return 400 if chosen == GRAPHQL_RESPONSE else 200


def rate_headers(result: ExecutionResult, context: Context) -> dict[str, str]:
    """Tell what a caller may still use, and when to come back."""
    budget = context.engines.budget
    left, seconds = budget.left(context.who)
    retry_after = _retry_after(result)
    if retry_after is not None and not is_overloaded(result):
        left, seconds = 0, retry_after
    headers = dict(zip(RATE_HEADERS, map(str, (budget.amount, left, seconds)), strict=True))
    return headers if retry_after is None else {**headers, "retry-after": str(retry_after)}


def is_overloaded(result: ExecutionResult) -> bool:
    """Tell whether nothing of an operation was run, so that it may be sent again as it is."""
    errors = result.errors or ()
    if not any((error.extensions or {}).get("code") == ErrorCode.OVERLOADED.value for error in errors):
        return False
    has_run = result.data is not None and any(value is not None for value in result.data.values())
    # Below the root, a resolver has run whose field is null only for what is missing in it.
    return not has_run and all(len(error.path or ()) <= 1 for error in errors)


def _retry_after(result: ExecutionResult) -> int | None:
    for error in result.errors or ():
        seconds = (error.extensions or {}).get("retryAfter")
        if isinstance(seconds, int):
            return seconds
    return None


def refusal(error: Refused, chosen: str) -> Response:
    """Write why a request was not taken."""
    return failure(error.status, error.reason, error.code, chosen, error.headers)


def shown(result: ExecutionResult) -> GraphQLHTTPResponse:
    """Give the parts of an answer; where nothing ran there are no data."""
    parts = process_result(result)
    if is_refusal(result):
        parts.pop("data", None)
    return parts


def whole(result: ExecutionResult, context: Context, chosen: str) -> Response:
    """Write what an operation gave."""
    headers = {**NOT_KEPT, **rate_headers(result, context)}
    return Response(to_json(shown(result)), status_of(result, chosen), headers, chosen)


def failure(
    status: int, message: str, code: ErrorCode, chosen: str = JSON, headers: dict[str, str] | None = None
) -> Response:
    """Write one error as an answer."""
    error = {"message": message, "extensions": {"code": code.value, "requestId": current_request_id()}}
    return Response(to_json({"errors": [error]}), status, {**NOT_KEPT, **(headers or {})}, media_type=chosen)
