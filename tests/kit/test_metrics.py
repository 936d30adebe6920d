import asyncio

import pytest

from graphql_api.kit import metrics
from graphql_api.kit.metrics import REGISTRY, Bounded


@pytest.fixture(scope="module")
def seconds() -> metrics.Histogram:
    return metrics.histogram("tested_seconds", "For tests.", ["call", "result"])


def counted(call: str, result: str) -> float | None:
    return REGISTRY.get_sample_value("orchestrator_tested_seconds_count", {"call": call, "result": result})


class TestTimed:
    def test_what_ends_is_ok(self, seconds: metrics.Histogram) -> None:
        with metrics.timed(seconds, "a"):
            pass

        assert counted("a", "ok") == 1

    @pytest.mark.parametrize(("error", "result"), [(ValueError, "failed"), (asyncio.CancelledError, "cancelled")])
    def test_what_breaks_says_how(self, seconds: metrics.Histogram, error: type[BaseException], result: str) -> None:
        with pytest.raises(error), metrics.timed(seconds, result):
            raise error

        assert counted(result, result) == 1
        assert counted(result, "ok") is None


class TestBounded:
    def test_names_beyond_the_bound_are_one(self) -> None:
        names = Bounded(2)

        assert [names.label(name) for name in ("a", "b", "c", "a", "d")] == ["a", "b", "other", "a", "other"]
