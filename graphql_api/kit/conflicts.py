"""Transactions that PostgreSQL takes back in favour of others: nobody is to blame, and the next try goes well."""

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import stamina
from sqlalchemy.exc import DBAPIError

ATTEMPTS = 5

_SERIALIZATION_FAILURE, _DEADLOCK_DETECTED = "40001", "40P01"

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def tries() -> AsyncIterator[stamina.Attempt]:
    """Try again what was taken back, a few hundredths of a second later.

    Use it as `async for attempt in tries()`, with whole transactions in a `with attempt`; the error of the last one is
    raised.
    """
    return stamina.retry_context(
        on=_was_taken_back, attempts=ATTEMPTS, timeout=10.0, wait_initial=0.01, wait_max=0.2, wait_jitter=0.02
    )


def tried_again(
    use_case: Callable[Arguments, Awaitable[Result]],
) -> Callable[Arguments, Coroutine[Any, Any, Result]]:
    """Do a use case again whose transaction was taken back.

    It is for what has no effect but that of one transaction, with nothing that can fail after it: what stands around
    the use case, such as counting an attempt before or reading the result afterwards, is not done again.
    """

    @wraps(use_case)
    async def whole(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        try:
            return await use_case(*args, **kwargs)
        except Exception as error:
            if not _was_taken_back(error):
                raise
            first = error
        async for attempt in tries():
            with attempt:
                if attempt.num == 1:  # the one above: nearly all go well, and what counts them is not free
                    raise first
                return await use_case(*args, **kwargs)
        raise AssertionError("the last attempt raises its error")

    return whole


def _was_taken_back(error: Exception) -> bool:
    cause = error.orig if isinstance(error, DBAPIError) else error
    return getattr(cause, "sqlstate", None) in {_SERIALIZATION_FAILURE, _DEADLOCK_DETECTED}
