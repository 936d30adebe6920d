"""Coverage of what the tests run."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from coverage import Coverage


def unmeasured() -> dict[str, str]:
    """Give the environment of programs that run no code of the package: coverage would slow them for nothing."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_PROCESS_")}


@contextmanager
def paused() -> Iterator[None]:
    """Measure no coverage meanwhile: what is noted of a line would count as memory that the line has taken."""
    measuring = Coverage.current()
    if measuring is None:
        yield
        return
    measuring.stop()
    try:
        yield
    finally:
        measuring.start()
