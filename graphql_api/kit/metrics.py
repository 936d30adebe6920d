"""Metrics: what a process counts of its own work, for Prometheus.

A module that has something to count makes its metric here, at import, and counts; it needs to know nothing of HTTP.
Labels have few values: never an id, a name that a caller chose, or a secret.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from time import perf_counter

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

REGISTRY = CollectorRegistry()
"""All metrics that count; what is read at the moment somebody asks is in `transport/metrics.py`."""

PREFIX = "orchestrator"

QUICK = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Seconds, for what somebody waits for."""

SLOW = (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)
"""Seconds, for what takes its time."""

OTHER = "other"
"""The label of everything beyond a bound."""

disable_created_metrics()  # type: ignore[no-untyped-call]  # the library's own signature
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)


class Result(Enum):
    """How a call went."""

    OK = "ok"
    FAILED = "failed"
    CANCELLED = "cancelled"


def counter(name: str, description: str, labels: Sequence[str] = ()) -> Counter:
    """Make a counter; `_total` is added to its name."""
    return Counter(name, description, labels, namespace=PREFIX, registry=REGISTRY)


def gauge(name: str, description: str, labels: Sequence[str] = ()) -> Gauge:
    """Make a gauge."""
    return Gauge(name, description, labels, namespace=PREFIX, registry=REGISTRY)


def histogram(
    name: str, description: str, labels: Sequence[str] = (), *, buckets: Sequence[float] = QUICK
) -> Histogram:
    """Make a histogram; its name ends in its unit, such as `_seconds`."""
    return Histogram(name, description, labels, namespace=PREFIX, registry=REGISTRY, buckets=buckets)


@contextmanager
def timed(seconds: Histogram, *labels: str) -> Iterator[None]:
    """Time a block, and note how it went.

    Args:
        seconds: Its last label is a `Result`.
        *labels: Its other labels.
    """
    started_at, result = perf_counter(), Result.CANCELLED
    try:
        yield
        result = Result.OK
    except Exception:
        result = Result.FAILED
        raise
    finally:
        seconds.labels(*labels, result.value).observe(perf_counter() - started_at)


class Bounded:
    """Keeps a label bounded whose values come from outside: the first few keep their names, all later ones are one.

    Args:
        limit: How many keep their names.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._names: set[str] = set()

    def label(self, name: str) -> str:
        """Give the label of a name."""
        if name in self._names:
            return name
        if len(self._names) >= self._limit:
            return OTHER
        self._names.add(name)
        return name
