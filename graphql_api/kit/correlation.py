"""What the lines of one request have in common."""

from contextvars import ContextVar
from uuid import uuid4

from structlog.contextvars import bind_contextvars, clear_contextvars

from graphql_api.kit import tracing

_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


def begin_request() -> str:
    """Begin a request: from now on each line of this task, and of those that it makes, has its new id; give it."""
    clear_contextvars()
    return _begin()


def begin_operation() -> str:
    """Begin an operation of a connection, whose user its lines keep; give its id."""
    return _begin()


def current_request_id() -> str:
    """Give the id of the request that runs; a new one where none does."""
    return _request_id.get() or uuid4().hex


def _begin() -> str:
    request_id = uuid4().hex
    _request_id.set(request_id)
    bind_contextvars(request_id=request_id)
    if tracing.is_on():
        bind_contextvars(trace_id=tracing.trace_id())
    return request_id
