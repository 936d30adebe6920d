"""Transactions that PostgreSQL takes back in favour of others: nobody is to blame, and the next try goes well."""

from collections.abc import AsyncIterator

import stamina
from sqlalchemy.exc import DBAPIError

ATTEMPTS = 5

_SERIALIZATION_FAILURE, _DEADLOCK_DETECTED = "40001", "40P01"


def tries() -> AsyncIterator[stamina.Attempt]:
    """Try again what was taken back, a few hundredths of a second later.

    Use it as `async for attempt in tries()`, with whole transactions in a `with attempt`; the error of the last one is
    raised.
    """
    return stamina.retry_context(
        on=_was_taken_back, attempts=ATTEMPTS, timeout=10.0, wait_initial=0.01, wait_max=0.2, wait_jitter=0.02
    )


def _was_taken_back(error: Exception) -> bool:
    cause = error.orig if isinstance(error, DBAPIError) else error
    return getattr(cause, "sqlstate", None) in {_SERIALIZATION_FAILURE, _DEADLOCK_DETECTED}
