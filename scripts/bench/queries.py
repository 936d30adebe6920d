#!/usr/bin/env python3
"""Measure queries and mutations over HTTP: the CPU time that a request costs, beside other servers on one database.

The product is served as it is deployed. Its peers are stock Strawberry with SQLModel and DataLoaders, Starlette without
GraphQL and with one statement, and GraphQL Yoga with DataLoader; they read the same tables. A case begins only when all
of its servers give the same answer, and all of them are measured one after the other in each round.

Usage: .venv/bin/python scripts/bench/queries.py [--quick] [--rounds N] [--seconds S] [--case NAME] [--profile]
           [--write docs/performance.md]
"""

import argparse
import io
import json
import os
import pstats
import signal
import statistics
import sys
import sysconfig
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from authoring import EDIT, LIST
from bench import ROOT
from query_site import CONNECTIONS, OURS, Cost, Running, Site, opened, token_of
from report import picture, verdict

BEGIN, END = "<!-- queries -->", "<!-- /queries -->"
NAMES = {
    OURS: "this product",
    "stock": "Strawberry",
    "bare": "Starlette, no GraphQL",
    "same": "Strawberry, the same use case",
    "yoga": "GraphQL Yoga (Node)",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """A server that a case is measured with.

    Attributes:
        name: Of the server.
        path: Where it answers.
        at_least: How many times our CPU time its own has to be; None when it is there to look at.
    """

    name: str
    path: str = "/graphql"
    at_least: float | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """What is asked.

    Attributes:
        title: In the table.
        document: The operation.
        peers: Who is asked beside us.
        expect: A part of each right answer.
        edits: Whether each connection has a workflow of its own, whose draft it edits again and again.
    """

    title: str
    document: str
    peers: tuple[Asked, ...]
    expect: str
    edits: bool = False

    @property
    def servers(self) -> tuple[Asked, ...]:
        """All that are asked, ours first."""
        return (Asked(OURS), *self.peers)

    def bodies(self, site: Site, count: int) -> list[str]:
        """Write what so many connections ask; see httpload.c for `#N`."""
        query = json.dumps(self.document)
        if not self.edits:
            return [f'{{"query":{query}}}']
        ids = [next(site.unedited) for _ in range(count)]
        variables = [f'{{"id":"{id_}","revision":#N,"content":"edit #N of {id_}"}}' for id_ in ids]
        return [f'{{"query":{query},"variables":{each}}}' for each in variables]

    def user(self, site: Site) -> UUID:
        """Tell who asks."""
        return site.editor if self.edits else site.viewer

    def load(self, site: Site, server: Running, path: str, seconds: float) -> Cost:
        """Ask one server."""
        bodies = self.bodies(site, CONNECTIONS)
        return site.load(server, path, user=self.user(site), bodies=bodies, expect=self.expect, seconds=seconds)


CASES = {
    "typename": Case(
        "`{ __typename }`",
        "{ __typename }",
        (Asked("stock", at_least=8), Asked("bare", "/typename"), Asked("yoga")),
        '"Query"',
    ),
    "list": Case(
        "50 workflows, each with owner, latest version and the draft's file count",
        LIST,
        (Asked("stock"), Asked("bare", "/workflows", at_least=1 / 3), Asked("yoga", at_least=1)),
        '"nodes":[{',
    ),
    "edit": Case("an edit of a small file", EDIT, (Asked("same", at_least=5),), '"errors":[]', edits=True),
}

Costs = dict[str, list[Cost]]
"""What each server's requests cost, in each round."""


def check_equality(site: Site, case: Case, servers: Mapping[str, Running]) -> None:
    """Stop when two servers give different answers, since that would be no comparison."""
    expected: Any = None
    for asked in case.servers:
        if asked.name not in servers:
            continue
        (body,) = case.bodies(site, 1)
        headers = {"authorization": f"Bearer {token_of(case.user(site))}", "content-type": "application/json"}
        url = f"http://127.0.0.1:{servers[asked.name].port}{asked.path}"
        answer = httpx.post(url, content=body.replace("#N", "1"), headers=headers, timeout=30)
        given = answer.json() if answer.is_success else answer.text
        expected = expected or given
        if given != expected or "data" not in given:
            sys.exit(f"{NAMES[asked.name]} gives something else:\n{given}\ninstead of\n{expected}")


def measure(site: Site, cases: Mapping[str, Case], rounds: int, seconds: float) -> dict[str, Costs]:
    """Measure each case on each server, round by round, so that what else the machine does meets all of them."""
    wanted = {asked.name for case in cases.values() for asked in case.servers}
    peers = [peer for peer in site.peers() if peer.name in wanted]
    costs: dict[str, Costs] = {key: {} for key in cases}
    for number in range(rounds):
        with ExitStack() as stack:
            servers = site.start(stack, peers)
            if number == 0:
                peers = [peer for peer in peers if peer.name in servers]
            elif len(servers) <= len(peers):
                sys.exit("a server that was there does not start again")
            for key, case in cases.items():
                if number == 0:
                    check_equality(site, case, servers)
                for asked in case.servers:
                    if asked.name in servers:
                        cost = case.load(site, servers[asked.name], asked.path, seconds)
                        costs[key].setdefault(asked.name, []).append(cost)
        print(f"round {number + 1} of {rounds} is done")
    return costs


def table(case: Case, costs: Costs) -> Iterator[str]:
    """Write the lines of a case."""
    yield f"| {case.title} | CPU | times ours (lowest to highest) | target | CPU of PostgreSQL | requests/s |"
    yield "|---|---:|---|---|---:|---:|"
    for asked in case.servers:
        if asked.name not in costs:
            continue
        cpu, postgres, rate = map(statistics.median, zip(*map(Cost.figures, costs[asked.name]), strict=True))
        ratios = times_ours(costs, asked.name)
        compared = "" if asked.name == OURS else span(ratios)
        target = verdict(statistics.median(ratios), at_least=asked.at_least)
        yield f"| {NAMES[asked.name]} | {cpu:,.0f} µs | {compared} | {target} | {postgres:,.0f} µs | {rate:,.0f} |"


def times_ours(costs: Costs, name: str) -> list[float]:
    """Compare the CPU time of a server with ours, round by round."""
    return [theirs.cpu / ours.cpu for theirs, ours in zip(costs[name], costs[OURS], strict=True)]


def span(ratios: Sequence[float]) -> str:
    """Write the median of ratios, with the lowest and the highest."""
    low, middle, high = (f"{ratio:.2f}" for ratio in (min(ratios), statistics.median(ratios), max(ratios)))
    return f"**{middle}** ({low} to {high})"


def profile(site: Site, case: Case, seconds: float) -> None:
    """Print where the product's time goes while it answers a case; the profiler itself makes it slower."""
    file = site.home.parent / "profile"
    file.unlink(missing_ok=True)
    with site.profiling(file) as server:
        case.load(site, server, "/graphql", min(seconds, 1.0))
        os.kill(server.pid, signal.SIGUSR1)
        cost = case.load(site, server, "/graphql", seconds)
        os.kill(server.pid, signal.SIGUSR2)
        deadline = time.monotonic() + 10
        while not file.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
    print(f"{case.title}: {cost.cpu:,.0f} µs a request under the profiler, {cost.rate:,.0f} requests a second")
    report = io.StringIO()
    for order in ("tottime", "cumulative"):
        pstats.Stats(str(file), stream=report).sort_stats(order).print_stats(50)
    print(report.getvalue().replace(f"{sysconfig.get_path('purelib')}/", "").replace(f"{ROOT}/", ""))


def write(page: Path, text: str, costs: Mapping[str, Costs]) -> None:
    """Put the tables between their markers, and the picture beside the page."""
    head, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    page.write_text(f"{head}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    bars = {
        CASES[key].title.strip("`"): [
            (NAMES[name], statistics.median(times_ours(each, name)), name == OURS) for name in each
        ]
        for key, each in costs.items()
    }
    title = "CPU time of a request, as a multiple of this product's"
    (page.parent / "images" / "queries.svg").write_text(picture(title, bars), encoding="utf-8")


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round, to see that it works")
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is measured (5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each measurement lasts (3)")
    parser.add_argument("--case", choices=CASES, help="only this one")
    parser.add_argument("--profile", action="store_true", help="prints where the product's own time goes instead")
    parser.add_argument("--write", type=Path, help="a Markdown file with the markers of these tables")
    options = parser.parse_args()
    rounds, seconds = (1, 1.0) if options.quick else (options.rounds, options.seconds)
    cases = {options.case: CASES[options.case]} if options.case else CASES
    editors = sum(len(case.servers) for case in cases.values() if case.edits)
    with opened(edited=editors * CONNECTIONS * (rounds + 1)) as site:
        if options.profile:
            for case in cases.values():
                profile(site, case, seconds)
            return
        costs = measure(site, cases, rounds, seconds)
    words = "".join(f" {word}" for word in sys.argv[1:])
    made = (
        f"Made by `scripts/bench/queries.py{words}`: {rounds} rounds of {seconds:g} s, {CONNECTIONS} connections, "
        f"{os.cpu_count()} cores for everything, PostgreSQL 18 embedded, durable commits; medians."
    )
    text = "\n".join([made, *(line for key, case in cases.items() for line in ("", *table(case, costs[key])))])
    print(text)
    if options.write:
        write(options.write, text, costs)


if __name__ == "__main__":
    main()
