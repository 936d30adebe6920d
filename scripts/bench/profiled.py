"""Runs `orchestrator` under a profiler: `FILE serve …`.

SIGUSR1 starts the profiler, SIGUSR2 ends it and writes the file, so that starting up is no part of it.
"""

import cProfile
import signal
import sys

from graphql_api import cli


def main() -> None:
    """Run the command line."""
    profiler, file = cProfile.Profile(), sys.argv.pop(1)

    def begin(*_signal: object) -> None:
        """Start."""
        profiler.enable()

    def end(*_signal: object) -> None:
        """Write down what was seen."""
        profiler.disable()
        profiler.dump_stats(file)

    signal.signal(signal.SIGUSR1, begin)
    signal.signal(signal.SIGUSR2, end)
    cli.main()
