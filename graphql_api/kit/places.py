"""Places: a process runs so many operations at once, and refuses more rather than becoming slow for everybody."""

from collections.abc import Iterator
from contextlib import contextmanager

from graphql_api.kit import metrics
from graphql_api.kit.errors import Overloaded

MAX_OPERATIONS = 200

_RUNNING = metrics.gauge("operations_running", "Queries, mutations and beginning subscriptions that run now.")
_REFUSED = metrics.counter("operations_refused", "Operations that were refused because too many ran.")


class Places:
    """Places for operations.

    Args:
        limit: How many there are.
    """

    def __init__(self, limit: int = MAX_OPERATIONS) -> None:
        self._limit = limit
        self._taken = 0

    @contextmanager
    def place(self) -> Iterator[None]:
        """Take a place while the context lasts.

        Raises:
            Overloaded: When there is none.
        """
        if self._taken >= self._limit:
            _REFUSED.inc()
            raise Overloaded
        self._taken += 1
        try:
            with _RUNNING.track_inprogress():
                yield
        finally:
            self._taken -= 1
