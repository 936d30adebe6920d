"""Traces: a seam, behind which there is nothing until `install` is called; then OpenTelemetry, from `kit/spans.py`.

A process that does not trace imports none of it, and each call here costs a comparison.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, TypeVar

from sqlalchemy.ext.asyncio import AsyncEngine

App = TypeVar("App")
Attributes = Mapping[str, str | int | float | bool]


class Span(Protocol):
    """A step of a trace that began, and is the current one of its task."""

    def end(self, name: str, attributes: Attributes, *, is_failed: bool) -> None:
        """End it, under the name and with the attributes that are known by now."""
        ...


class Tracing(Protocol):
    """What records traces."""

    def watch(self, engine: AsyncEngine) -> None:
        """Record the statements of a database."""
        ...

    def wrap(self, app: Any) -> Any:  # noqa: ANN401 - an ASGI application, which this floor knows nothing of
        """Record the requests of an application."""
        ...

    def begin(self, name: str) -> Span:
        """Begin a step that may end in another task."""
        ...

    def span(self, name: str, traceparent: str | None, attributes: Attributes) -> AbstractContextManager[object]:
        """Record a block as a step of another process's trace, or of the current one."""
        ...

    def statement(self, query: str) -> AbstractContextManager[object]:
        """Record a block as a statement that the database is asked, unless nothing asked for it."""
        ...

    def quiet(self) -> AbstractContextManager[object]:
        """Record nothing in a block."""
        ...

    def link(self, traceparent: str) -> None:
        """Link the current step to another."""
        ...

    def traceparent(self) -> str | None:
        """Give the current step as W3C Trace Context writes it."""
        ...


class _Installed:
    tracing: Tracing | None = None


class _Nothing:
    def end(self, name: str, attributes: Attributes, *, is_failed: bool) -> None:
        """Do nothing."""


_NOTHING = _Nothing()


def install(tracing: Tracing | None) -> None:
    """Record traces from now on; None ends that."""
    _Installed.tracing = tracing


def is_on() -> bool:
    """Tell whether traces are recorded."""
    return _Installed.tracing is not None


def watch(engine: AsyncEngine) -> None:
    """Record the statements of a database."""
    if _Installed.tracing is not None:
        _Installed.tracing.watch(engine)


def wrap(app: App) -> App:
    """Record the requests of an ASGI application."""
    wrapped: App = app if _Installed.tracing is None else _Installed.tracing.wrap(app)
    return wrapped


def begin(name: str) -> Span:
    """Begin a step that may end in another task; it is the current one from now on."""
    return _NOTHING if _Installed.tracing is None else _Installed.tracing.begin(name)


def span(
    name: str, *, traceparent: str | None = None, **attributes: str | float | bool
) -> AbstractContextManager[object]:
    """Record a block as a step.

    Args:
        name: Of the step.
        traceparent: The step that caused it, of another process; the current one when None.
        **attributes: What is worth knowing; no contents and no secrets.
    """
    return nullcontext() if _Installed.tracing is None else _Installed.tracing.span(name, traceparent, attributes)


def statement(query: str) -> AbstractContextManager[object]:
    """Record a block as a statement that the database is asked outside of what `watch` sees; without its arguments."""
    return nullcontext() if _Installed.tracing is None else _Installed.tracing.statement(query)


def quiet() -> AbstractContextManager[object]:
    """Record nothing in a block, such as the statements of each batch of a long stream."""
    return nullcontext() if _Installed.tracing is None else _Installed.tracing.quiet()


def link(traceparent: str | None) -> None:
    """Link the current step to one of another trace."""
    if _Installed.tracing is not None and traceparent is not None:
        _Installed.tracing.link(traceparent)


def traceparent() -> str | None:
    """Give the current step as W3C Trace Context writes it; None where there is none."""
    return None if _Installed.tracing is None else _Installed.tracing.traceparent()


def trace_id() -> str | None:
    """Give the id of the current trace."""
    current = traceparent()
    return None if current is None else current.split("-")[1]


def headers() -> dict[str, str]:
    """Give the headers that carry the current trace to another server, for clients that nothing instruments."""
    current = traceparent()
    return {} if current is None else {"traceparent": current}
