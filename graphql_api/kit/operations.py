"""Operations: how each went, for metrics and logs.

What a client names its operations is its own: the first names that signed-in callers use are labels, later ones are
all `other`; names of strangers have a bound of their own, so that nobody fills the list from outside.
"""

from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum
from time import perf_counter

import structlog
from graphql import GraphQLError, OperationDefinitionNode, OperationType
from prometheus_client import Gauge
from strawberry.extensions import SchemaExtension
from strawberry.types import ExecutionContext
from structlog.contextvars import bind_contextvars

from graphql_api.kit import metrics, tracing
from graphql_api.kit.errors import ErrorCode, Overloaded
from graphql_api.kit.metrics import Bounded
from graphql_api.kit.pool import NoConnection

NAMES, STRANGERS_NAMES = 100, 20
MAX_NAME_LENGTH = 64
UNNAMED = "unnamed"
UNREADABLE = "unreadable"
"""The type of an operation that could not be parsed."""

_DONE = metrics.counter("operations", "Operations that ended.", ["operation", "type", "outcome"])
_SECONDS = metrics.histogram(
    "operation_duration_seconds", "How long queries and mutations take.", ["operation", "type"]
)
_OPEN = metrics.gauge("subscriptions_open", "Subscriptions that are being served.", ["operation"])

_known, _strange = Bounded(NAMES), Bounded(STRANGERS_NAMES)

_log = structlog.get_logger()


class Outcome(Enum):
    """How an operation ended."""

    OK = "ok"
    REFUSED = "refused"
    """With an error that the caller can act on, at the top or as data."""
    INVALID = "invalid"
    """Not run: the document is wrong."""
    OVERLOADED = "overloaded"
    FAILED = "failed"
    """With an error that is ours."""
    CANCELLED = "cancelled"
    """The client left, or ended its subscription."""


@dataclass(slots=True)
class _Refusals:
    """What was refused in the operation that runs."""

    count: int = 0


_refusals: ContextVar[_Refusals | None] = ContextVar("refusals", default=None)


def note_refusal() -> None:
    """Note that the operation that runs refuses something, as data."""
    current = _refusals.get()
    if current is not None:
        current.count += 1


class Observed(SchemaExtension):
    """Counts one operation, times it, and tells the log what it is and how it went."""

    def __init__(self) -> None:
        super().__init__()
        self._open: Gauge | None = None
        self._span: tracing.Span | None = None

    def on_operation(self) -> Iterator[None]:
        """Watch the operation from its beginning to its end."""
        started_at, outcome = perf_counter(), Outcome.CANCELLED
        refusals, self._span = _Refusals(), tracing.begin("graphql")
        # Not reset: a stream may end in another task than it began in, and each operation sets its own.
        _refusals.set(refusals)
        try:
            yield
            outcome = _outcome(self.execution_context, refusals)
        except (Overloaded, NoConnection):
            outcome = Outcome.OVERLOADED
            raise
        except Exception:
            outcome = Outcome.INVALID
            raise
        except GeneratorExit:
            # So end streams of which somebody has had enough, after their last error too.
            if self.execution_context.pre_execution_errors:
                outcome = _outcome(self.execution_context, refusals)
            raise
        finally:
            self._end(outcome, perf_counter() - started_at)

    def on_execute(self) -> Iterator[None]:
        """Tell the log what runs, and count a subscription as open."""
        name, type_ = _name_and_type(self.execution_context)
        bind_contextvars(operation=name, operation_type=type_)
        if type_ == OperationType.SUBSCRIPTION.value:
            self._open = _OPEN.labels(self._label(name))
            self._open.inc()
            _log.info("subscription_started")
        yield

    def _end(self, outcome: Outcome, seconds: float) -> None:
        name, type_ = _name_and_type(self.execution_context)
        label = self._label(name)
        if self._span is not None:
            attributes = {
                "graphql.operation.type": type_,
                "graphql.operation.name": name or "",
                "outcome": outcome.value,
            }
            self._span.end(f"{type_} {name or ''}".strip(), attributes, is_failed=outcome is Outcome.FAILED)
        _DONE.labels(label, type_, outcome.value).inc()
        if self._open is not None:
            self._open.dec()
        elif type_ != UNREADABLE:
            _SECONDS.labels(label, type_).observe(seconds)
        bind_contextvars(operation=name, operation_type=type_, outcome=outcome.value)

    def _label(self, name: str | None) -> str:
        if name is None:
            return UNNAMED
        is_stranger = getattr(self.execution_context.context, "signed_in", None) is None
        return (_strange if is_stranger else _known).label(name)


def _name_and_type(operation: ExecutionContext) -> tuple[str | None, str]:
    """Read the name of an operation as its document has it, and its type."""
    document = operation.graphql_document
    wanted = operation._provided_operation_name  # noqa: SLF001 - see schema.OperationChosen
    for definition in () if document is None else document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            name = None if definition.name is None else definition.name.value
            if wanted is None or wanted == name:
                return None if name is None else name[:MAX_NAME_LENGTH], definition.operation.value
    return None, UNREADABLE


def _outcome(operation: ExecutionContext, refusals: _Refusals) -> Outcome:
    errors = operation.pre_execution_errors or (operation.result.errors if operation.result else None) or []
    codes = {_code(error) for error in errors}
    if ErrorCode.INTERNAL_ERROR.value in codes:
        return Outcome.FAILED
    if ErrorCode.OVERLOADED.value in codes:
        return Outcome.OVERLOADED
    if not codes:
        return Outcome.REFUSED if refusals.count else Outcome.OK
    has_run = any(error.path for error in errors)
    return Outcome.REFUSED if has_run or codes != {ErrorCode.VALIDATION_FAILED.value} else Outcome.INVALID


def _code(error: GraphQLError) -> object:
    return (error.extensions or {}).get("code")
