"""A collector of traces: takes what OpenTelemetry sends over OTLP/HTTP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from support.server import serving


@dataclass(frozen=True)
class Step:
    """A span, as it arrived."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    links: frozenset[str]
    attributes: dict[str, str]
    is_failed: bool
    told: str
    """What it says of its failure, and what happened in it."""


class Collector:
    """What has arrived so far."""

    def __init__(self) -> None:
        self.url = ""
        self.steps: list[Step] = []
        self.services: set[str] = set()

    async def take(self, request: Request) -> Response:
        """Take a batch."""
        batch = ExportTraceServiceRequest.FromString(await request.body())
        for resource in batch.resource_spans:
            named = (each.value.string_value for each in resource.resource.attributes if each.key == "service.name")
            self.services.update(named)
            self.steps += [_step(span) for scope in resource.scope_spans for span in scope.spans]
        return Response(media_type="application/x-protobuf")

    def of(self, trace_id: str) -> list[Step]:
        """Give the steps of one trace."""
        return [step for step in self.steps if step.trace_id == trace_id]

    def named(self, name: str) -> list[Step]:
        """Give the steps of one name."""
        return [step for step in self.steps if step.name == name]


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    """Run a collector while the context lasts."""
    collector = Collector()
    async with serving(Starlette(routes=[Route("/v1/traces", collector.take, methods=["POST"])])) as url:
        collector.url = url
        yield collector


def _step(span: Span) -> Step:
    return Step(
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        links=frozenset(link.trace_id.hex() for link in span.links),
        attributes={each.key: str(each.value) for each in span.attributes},
        is_failed=span.status.code == 2,
        told=f"{span.status.message} {list(span.events)}",
    )
