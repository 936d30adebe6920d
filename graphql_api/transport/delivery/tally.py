"""How many events were delivered: read off the deliveries when somebody asks, so that counting costs them nothing."""

from collections.abc import Iterable, Iterator

from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from graphql_api.kit.metrics import PREFIX, REGISTRY
from graphql_api.transport.delivery.delivery import Delivery


class Tally(Collector):
    """Sums what deliveries delivered, those that are over included."""

    def __init__(self) -> None:
        self._live: set[Delivery] = set()
        self._over = 0

    def begin(self, delivery: Delivery) -> None:
        """Count a delivery from now on."""
        self._live.add(delivery)

    def end(self, delivery: Delivery) -> None:
        """Count a delivery that is over for what it delivered."""
        self._live.discard(delivery)
        self._over += delivery.delivered

    @property
    def total(self) -> int:
        """All events so far."""
        return self._over + sum(delivery.delivered for delivery in self._live)

    def describe(self) -> Iterable[Metric]:
        """Describe the metric beforehand."""
        return self.collect()

    def collect(self) -> Iterator[Metric]:
        """Give the sum."""
        yield CounterMetricFamily(f"{PREFIX}_events_delivered", "Events sent to subscribers.", value=self.total)


tally = Tally()
"""Of this process."""

REGISTRY.register(tally)
