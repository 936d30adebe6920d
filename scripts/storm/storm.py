"""Runs the whole system, breaks it at random, and checks from outside that nothing was lost, doubled or left behind."""

import argparse
import asyncio
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from callers import Caller, Tally
from crowd import Crowd
from faults import Weather
from house import House
from rich.console import Console
from rich.table import Table
from verdict import SETTLE_SECONDS, check

from graphql_api.identity import users
from graphql_api.kit.database import Database, parse_url

CALLERS = 10
PASSWORD = "a password of chaos"  # noqa: S105 - of accounts that live for a minute
SHOWN = 10

CUES = ("closes-early", "drop-mid-frame", "duplicates", "ends-twice", "error-then-end", "events-after-end", "garbage")
"""Faults of the fake runtime that some prompts ask for."""


async def run(options: argparse.Namespace, directory: Path) -> dict[str, list[str]]:
    """Run one storm; give the violations by rule."""
    house, tally = House(directory, runtime=options.runtime, pace=options.pace), Tally()
    # How things fall is to be repeatable as far as the machine's own timing allows.
    luck = random.Random(options.seed)  # noqa: S311
    try:
        await house.start()
        callers = await sign_in(house, tally)
        crowd = Crowd(callers, tally, luck, cues=CUES if house.runtimes else ())
        started_at = time.monotonic()
        people = [asyncio.create_task(crowd.write(number)) for number in range(options.executions)]
        people += [asyncio.create_task(crowd.look(number)) for number in range(options.subscribers)]
        weather = asyncio.create_task(Weather(house, tally, luck).blow())
        await asyncio.wait([weather, *people], timeout=options.seconds, return_when=asyncio.FIRST_EXCEPTION)
        weather.cancel()
        with suppress(asyncio.CancelledError):
            await weather
        calm_at = time.monotonic()
        await house.mend()
        crowd.board.stopping.set()
        _, late = await asyncio.wait(people, timeout=SETTLE_SECONDS)
        rested_at = time.monotonic()
        for person in late:
            person.cancel()
        for outcome in await asyncio.gather(*people, return_exceptions=True):
            if isinstance(outcome, Exception):
                tally.violations.append(f"A client broke: {outcome!r}")
        tally.counts["subscriptions"] = len(crowd.board.watches)
        tally.counts["connections of subscribers"] = sum(watch.connections for watch in crowd.board.watches)
        for caller in callers:
            await caller.close()
        violations = await check(house, crowd.board, tally)
        if late:
            violations["everybody finished once it was calm"] = [f"{len(late)} clients did not"]
        show(house, tally, violations, seconds=(calm_at - started_at, rested_at - calm_at))
        return violations
    finally:
        await house.stop()


async def sign_in(house: House, tally: Tally) -> Sequence[Caller]:
    """Make accounts, and sign in with each."""
    database = Database(parse_url(house.postgres.url(house.database.port)))
    callers = [Caller(house.apis, tally) for _ in range(CALLERS)]
    for number, caller in enumerate(callers):
        email = f"ada-{number}@example.com"
        await users.create(database, email=email, name="Ada", password=PASSWORD)
        await caller.sign_in(email, PASSWORD)
    await database.close()
    return callers


def show(house: House, tally: Tally, violations: dict[str, list[str]], *, seconds: tuple[float, float]) -> None:
    """Print what happened, and what was found."""
    console = Console(highlight=False)
    happened = Table("what happened", "times", box=None, header_style="bold")
    for name, count in sorted({**tally.counts, **tally.codes}.items()):
        happened.add_row(name, f"{count:,}")
    happened.add_row("seconds of storm, and until everything was done", f"{seconds[0]:.0f} + {seconds[1]:.1f}")
    for member in house.members:
        happened.add_row(f"most memory of {member.name}, MiB", f"{member.largest / 2**20:.0f}")
    console.print(happened)
    found = Table("what has to hold", "violations", box=None, header_style="bold")
    for rule, problems in violations.items():
        found.add_row(rule, str(len(problems)), style="red" if problems else "")
    console.print(found)
    for rule, problems in violations.items():
        for problem in problems[:SHOWN]:
            console.print(f"  {rule}: {problem}", style="red", markup=False)


def main() -> int:
    """Run it as asked; give the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long things break (60)")
    parser.add_argument("--subscribers", type=int, default=50, help="clients that watch (50)")
    parser.add_argument("--executions", type=int, default=20, help="agents that work at any time (20)")
    parser.add_argument(
        "--runtime",
        choices=["embedded", "deepagents"],
        default="deepagents",
        help="deepagents is a fake of it",
    )
    parser.add_argument("--pace", type=float, default=20, help="milliseconds between two frames of the runtime (20)")
    parser.add_argument("--seed", type=int, default=None, help="repeats the choices of an earlier run")
    parser.add_argument("--keep", action="store_true", help="keep the logs of the processes when all is well, too")
    options = parser.parse_args()
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1_000_000)
    directory = Path(tempfile.mkdtemp(prefix="orchestrator-chaos-"))
    print(f"Seed {options.seed}; logs in {directory}", flush=True)
    # Processes and PostgreSQL end also when somebody has seen enough.
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))
    failed = any(asyncio.run(run(options, directory)).values())
    if not failed and not options.keep:
        shutil.rmtree(directory, ignore_errors=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
