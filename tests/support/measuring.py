"""Coverage of what the tests run."""

import os


def unmeasured() -> dict[str, str]:
    """Give the environment of programs that run no code of the package: coverage would slow them for nothing."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_PROCESS_")}
