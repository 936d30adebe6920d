"""Queries and mutations over HTTP: the CPU time that a request costs, beside other servers on one database.

The product is served as it is deployed. Its peers are stock Strawberry with SQLModel and DataLoaders, Starlette without
GraphQL and with one statement, and GraphQL Yoga with DataLoader; they read the same tables. An edit is compared with
stock Strawberry that serves the product's own use case.
"""

import io
import json
import os
import pstats
import signal
import sys
import sysconfig
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from typing import Any
from uuid import UUID

import httpx
from report import NAMES, Report, picture, spread, table, verdict
from running import ROOT, Peer, Running, Skipped, Skips, all_started, load
from sites import Site, token_of

PRODUCT = "product"
CONNECTIONS = 8
WARM_SECONDS = 2.0
"""Node compiles what it runs often."""

LIST = """{ workflows(first: 50) { nodes {
    name owner { name } latestVersion { number } draft { fileCount } } } }"""
EDIT = """mutation($id: ID!, $revision: Int!, $content: String!) {
    editDraft(input: {
        workflowId: $id, expectedRevision: $revision, write: [{ path: "file-1.md", content: $content }] }) {
        draft { revision } errors { message } } }"""


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
        return (Asked(PRODUCT), *self.peers)

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


CASES = {
    "typename": Case(
        "`{ __typename }`",
        "{ __typename }",
        (Asked("strawberry", at_least=8), Asked("starlette", "/typename"), Asked("yoga")),
        '"Query"',
    ),
    "list": Case(
        "50 workflows, each with owner, latest version and the draft's file count",
        LIST,
        (Asked("strawberry"), Asked("starlette", "/workflows", at_least=1 / 3), Asked("yoga", at_least=1)),
        '"nodes":[{',
    ),
    "edit": Case("an edit of a small file", EDIT, (Asked("same", at_least=5),), '"errors":[]', edits=True),
}


@dataclass(frozen=True, slots=True)
class Cost:
    """What a request costs.

    Attributes:
        cpu: Microseconds of the server's process.
        postgres: Microseconds of all of PostgreSQL's processes.
        rate: Requests a second.
    """

    cpu: float
    postgres: float
    rate: float


Costs = dict[str, list[Cost]]
"""What each server's requests cost, in each round."""


def edited(rounds: int) -> int:
    """Tell how many workflows so many rounds edit, and the comparison before them."""
    return sum(len(case.servers) for case in CASES.values() if case.edits) * CONNECTIONS * (rounds + 1)


class Queries:
    """Measures queries and mutations.

    Args:
        site: Where.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._costs: dict[str, Costs] = {key: {} for key in CASES}
        self._skips = Skips()
        self._peers = [Peer(PRODUCT, site.serving), *site.query_peers(self._skips)]

    def measure(self, seconds: float) -> None:
        """Measure each case on each server once; before the first time, compare what they answer."""
        with ExitStack() as stack:
            servers = all_started(stack, self._peers, self._skips)
            if not any(self._costs.values()):
                for case in CASES.values():
                    check_equality(self._site, case, servers)
                self._peers = [peer for peer in self._peers if peer.name in servers]
                print(f"All answer the same: {', '.join(servers)}.", flush=True)
            elif len(servers) < len(self._peers):
                sys.exit("a server that was there does not start again")
            for key, case in CASES.items():
                for asked in case.servers:
                    if asked.name in servers:
                        cost = ask(self._site, case, servers[asked.name], asked.path, seconds)
                        self._costs[key].setdefault(asked.name, []).append(cost)

    def report(self) -> Report:
        """Write down what was measured."""
        bars = {
            CASES[key].title.strip("`"): [(name, median(times_ours(costs, name))) for name in costs]
            for key, costs in self._costs.items()
        }
        title = "CPU time of a request, as a multiple of this product's"
        tables = [case_table(CASES[key], costs) for key, costs in self._costs.items()]
        return Report("queries", tables, {"queries.svg": picture(title, bars)}, self._skips.lines)


def check_equality(site: Site, case: Case, servers: Mapping[str, Running]) -> None:
    """Stop when two servers give different answers to a case."""
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


def ask(site: Site, case: Case, server: Running, path: str, seconds: float) -> Cost:
    """Ask one server as fast as it answers."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write("\n".join(case.bodies(site, CONNECTIONS)))
        file.flush()
        options = ["--path", path, "--token", token_of(case.user(site)), "--bodies", file.name]
        options += ["--expect", case.expect, "--connections", str(CONNECTIONS)]
        before = site.postgres_seconds()
        try:
            measured = load(site.httpload, server, options, warm=min(WARM_SECONDS, seconds), seconds=seconds)
        except Skipped as reason:
            sys.exit(str(reason))
        used = site.postgres_seconds() - before
    return Cost(
        cpu=measured["cpu"] * 1e6 / measured["answers"],
        postgres=used * 1e6 / measured["all_answers"],
        rate=measured["answers"] / measured["seconds"],
    )


def case_table(case: Case, costs: Costs) -> list[str]:
    """Write the table of a case."""
    heads = (case.title, "CPU", "times ours (lowest to highest)", "target", "CPU of PostgreSQL", "requests/s")
    rows = []
    for asked in case.servers:
        if asked.name not in costs:
            continue
        own, ratios = costs[asked.name], times_ours(costs, asked.name)
        rows.append(
            (
                NAMES[asked.name],
                f"{median(cost.cpu for cost in own):,.0f} µs",
                "" if asked.name == PRODUCT else spread(ratios),
                verdict(median(ratios), at_least=asked.at_least),
                f"{median(cost.postgres for cost in own):,.0f} µs",
                f"{median(cost.rate for cost in own):,.0f}",
            )
        )
    return table(heads, rows, numbers=(1, 4, 5))


def times_ours(costs: Costs, name: str) -> list[float]:
    """Compare the CPU time of a server with ours, round by round."""
    return [theirs.cpu / ours.cpu for theirs, ours in zip(costs[name], costs[PRODUCT], strict=True)]


def profile(site: Site, case: Case, seconds: float) -> None:
    """Print where the product's time goes while it answers a case; the profiler itself makes it slower."""
    file = site.home.parent / "profile"
    with site.serving("profiled", file) as server:
        ask(site, case, server, "/graphql", min(seconds, 1.0))
        os.kill(server.pid, signal.SIGUSR1)
        cost = ask(site, case, server, "/graphql", seconds)
        os.kill(server.pid, signal.SIGUSR2)
        deadline = time.monotonic() + 10
        while not file.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
    print(f"{case.title}: {cost.cpu:,.0f} µs a request under the profiler, {cost.rate:,.0f} requests a second")
    report = io.StringIO()
    for order in ("tottime", "cumulative"):
        pstats.Stats(str(file), stream=report).sort_stats(order).print_stats(50)
    print(report.getvalue().replace(f"{sysconfig.get_path('purelib')}/", "").replace(f"{ROOT}/", ""))
