"""Traces by OpenTelemetry, sent over OTLP/HTTP. Imported only where they are wanted; needs the extra `otel`."""

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
from opentelemetry.instrumentation.utils import is_instrumentation_enabled, suppress_instrumentation
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, Status, StatusCode, TraceState
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import Attributes as OtelAttributes
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.types import ASGIApp

from graphql_api.kit.tracing import Attributes

SERVICE = "ide-orchestrator"
UNTRACED = "/health,/ready,/metrics"
"""Paths that are asked every few seconds."""

_PROPAGATOR = TraceContextTextMapPropagator()


class Spans:
    """Records traces, and sends them in the background.

    Sampler, batches, headers and the service's name follow the standard variables `OTEL_*`.

    Args:
        endpoint: Base URL of the collector.
    """

    def __init__(self, endpoint: str) -> None:
        resource = Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME", SERVICE)})
        self._provider = TracerProvider(resource=resource)
        self._provider.sampler = _WithoutOrphans(self._provider.sampler)
        exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer(SERVICE)
        HTTPXClientInstrumentor().instrument(tracer_provider=self._provider)

    def watch(self, engine: AsyncEngine) -> None:
        """Record the statements of a database."""
        # It names SQLAlchemy below 2.1 as what it is for; what it needs of it are events, and a test sees it work.
        SQLAlchemyInstrumentor().instrument(
            engine=engine.sync_engine, tracer_provider=self._provider, skip_dep_check=True
        )

    def wrap(self, app: ASGIApp) -> ASGIApp:
        """Record the requests of an application; each goes on with the trace that its `traceparent` names."""
        return OpenTelemetryMiddleware(
            app, excluded_urls=UNTRACED, exclude_spans=["receive", "send"], tracer_provider=self._provider
        )

    def close(self) -> None:
        """Send what waits, and let go of the libraries."""
        HTTPXClientInstrumentor().uninstrument()
        self._provider.shutdown()

    def begin(self, name: str) -> "Begun":
        """Begin a step that may end in another task."""
        span = self._tracer.start_span(name)
        # Not detached: the task that it is attached to ends with it.
        contexts.attach(trace.set_span_in_context(span))
        return Begun(span)

    def span(self, name: str, traceparent: str | None, attributes: Attributes) -> AbstractContextManager[trace.Span]:
        """Record a block as a step."""
        parent = None if traceparent is None else _remote(traceparent)
        return self._tracer.start_as_current_span(name, parent, SpanKind.INTERNAL, dict(attributes))

    @contextmanager
    def statement(self, query: str) -> Iterator[None]:
        """Record a block as a statement that the database is asked; without its arguments, which errors may tell."""
        if not is_instrumentation_enabled():
            yield
            return
        attributes = {"db.system": "postgresql", "db.statement": query}
        with self._tracer.start_as_current_span(
            query.split(maxsplit=1)[0],
            kind=SpanKind.CLIENT,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except BaseException:
                span.set_status(Status(StatusCode.ERROR))
                raise

    def quiet(self) -> AbstractContextManager[object]:
        """Record nothing in a block."""
        return suppress_instrumentation()

    def link(self, traceparent: str) -> None:
        """Link the current step to another."""
        trace.get_current_span().add_link(trace.get_current_span(_remote(traceparent)).get_span_context())

    def traceparent(self) -> str | None:
        """Give the current step as W3C Trace Context writes it."""
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier)
        return carrier.get("traceparent")


class Begun:
    """A step that began."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def end(self, name: str, attributes: Attributes, *, is_failed: bool) -> None:
        """End it."""
        self._span.update_name(name)
        self._span.set_attributes(dict(attributes))
        if is_failed:
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


class _WithoutOrphans(Sampler):
    """Leaves out statements and calls that no step asked for, such as those of polls: each would be a trace.

    Args:
        sampler: Decides about the rest.
    """

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: OtelAttributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Decide about one step."""
        if kind is SpanKind.CLIENT and not trace.get_current_span(parent_context).get_span_context().is_valid:
            return SamplingResult(Decision.DROP)
        return self._sampler.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        """Say what it does."""
        return f"WithoutOrphans({self._sampler.get_description()})"


def _remote(traceparent: str) -> Context:
    return _PROPAGATOR.extract({"traceparent": traceparent})
