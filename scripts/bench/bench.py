"""Measures this product beside others, and writes tables and pictures into docs/performance.md.

Three parts: queries and mutations over HTTP; subscriptions; and the whole system of a worker, PostgreSQL and two API
processes. Servers are compared only when they give the same, and are measured one after the other in each round.
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

import queries
from report import Report, made
from running import ROOT
from sites import Site, opened
from subscriptions import Subscriptions
from system import System


class Part(Protocol):
    """What can be measured by itself."""

    def measure(self, seconds: float) -> None:
        """Measure everything once, and stop when servers that are compared give different things.

        Args:
            seconds: How long each measurement lasts.
        """

    def report(self) -> Report:
        """Write down what was measured."""


PARTS: Mapping[str, Callable[[Site], Part]] = {
    "queries": queries.Queries,
    "subscriptions": Subscriptions,
    "system": System,
}
"""In this order: what floods PostgreSQL comes after what counts its CPU time."""

QUICK = 1, 0.1


def read_options(words: Sequence[str]) -> argparse.Namespace:
    """Read the command line; what depends on other options is settled."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench/run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=PARTS, action="append", help="this part; may be given again for another")
    parser.add_argument("--quick", action="store_true", help="one short round, to see that it works; writes nothing")
    parser.add_argument("--rounds", type=int, help="how often everything is measured (5)")
    parser.add_argument("--seconds", type=float, help="how long each measurement lasts (3)")
    writing = parser.add_mutually_exclusive_group()
    writing.add_argument("--dry", action="store_true", help="prints the tables instead of writing them into the docs")
    writing.add_argument("--write", action="store_true", help="writes them into the docs although it is a quick one")
    parser.add_argument("--profile", choices=queries.CASES, help="prints where the time of a query goes instead")
    options = parser.parse_args(words)
    rounds, seconds = QUICK if options.quick else (5, 3.0)
    options.rounds, options.seconds = options.rounds or rounds, options.seconds or seconds
    options.write = options.write or not (options.dry or options.quick)
    return options


def main() -> None:
    """Measure, and print or write the report."""
    words, began = sys.argv[1:], time.monotonic()
    options = read_options(words)
    with opened(edited=queries.edited(options.rounds)) as site:
        if options.profile:
            queries.profile(site, queries.CASES[options.profile], options.seconds)
            return
        reports = []
        for name, part in ((name, part(site)) for name, part in PARTS.items() if name in (options.only or PARTS)):
            for number in range(options.rounds):
                part.measure(options.seconds)
                print(f"{name}: round {number + 1} of {options.rounds} is done", flush=True)
            reports.append(part.report())
    heading = made(words, options.rounds, options.seconds)
    for report in reports:
        print(f"\n# {report.name}\n\n{report.text(heading)}")
        if options.write:
            report.write(ROOT / "docs", heading)
    written = "docs/performance.md and its pictures are written" if options.write else "nothing was written"
    print(f"\nThat took {time.monotonic() - began:.0f} s; {written}.")


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
