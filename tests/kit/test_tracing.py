"""Without OpenTelemetry: what the seam does when nothing is behind it. With it: tests/e2e/test_traces.py."""

from graphql_api.kit import tracing


class TestNothing:
    def test_each_call_does_nothing(self) -> None:
        app = object()

        assert tracing.wrap(app) is app
        assert (tracing.is_on(), tracing.traceparent(), tracing.trace_id(), tracing.headers()) == (
            False,
            None,
            None,
            {},
        )
        tracing.begin("step").end("step", {}, is_failed=True)
        tracing.link("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        with tracing.span("step", epoch=1), tracing.quiet():
            pass
