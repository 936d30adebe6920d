"""Subscriptions: how their events are delivered by this product and by others, and what that costs.

All servers send the same events from memory: what is compared is the way from the event to the wire. The whole product
stands beside them: `orchestrator serve`, which checks who asks for what and reads the events from PostgreSQL, where
another process appends them as fast as it can.
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import Any
from uuid import UUID, uuid4

from report import NAMES, Report, number, picture, spread, table, verdict
from running import HERE, Nursery, Peer, Running, Skipped, Skips, all_started, load, node_peers, port_of
from sites import Site, token_of
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

PRODUCT, BASE, WHOLE = "product", "strawberry", "whole"
QUERY = HERE / "query.graphql"
COMPARED_MESSAGES = 40
CHECKED_LOG = UUID("00000010-0000-4000-8000-999999999999")
FLOOD_SECONDS = 3600
ANSWER_SECONDS = 30
TICK_SECONDS = 0.01
"""How exact the CPU time of a process is."""


@dataclass(frozen=True, slots=True)
class Load:
    """Who subscribes to what.

    Attributes:
        connections: How many subscribe.
        kind: An option of the load generator; see wsload.c.
    """

    connections: int
    kind: str = ""

    @property
    def options(self) -> list[object]:
        """Tell the load generator."""
        return ["--connections", self.connections, *([f"--{self.kind}"] if self.kind else [])]

    @property
    def logs(self) -> int:
        """Tell how many logs they follow."""
        return self.connections if self.kind else 1


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured.

    Attributes:
        name: In the table.
        load: What has to happen meanwhile.
        measure: The figure that is compared, and whether more of it is better.
        unit: Of the absolute figure.
        targets: How many times as good as a server the product has to be.
    """

    name: str
    load: Load
    measure: str
    unit: str
    targets: Mapping[str, float] = field(default_factory=dict)

    def figure(self, measured: Mapping[str, Any]) -> float:
        """Take the figure out of what the load generator measured."""
        if self.measure == "rate":
            return float(measured["messages"] / measured["seconds"])
        if self.measure == "cpu":
            return cost(measured)
        if self.measure == "latency":
            return float(measured["latency_99"] / 1e3)
        if self.measure == "subscribe":
            return float(measured["subscribe_seconds"])
        return float(measured["memory_kilobytes"] / self.load.connections)

    def times_as_good(self, ones: Sequence[float], others: Sequence[float]) -> list[float]:
        """Compare figures of two servers, round by round."""
        pairs = zip(ones, others, strict=False)
        # More is better: events in a second; of everything else, less is.
        return [one / other if self.measure == "rate" else other / one for one, other in pairs]


ONE, SAME, DISTINCT = Load(1), Load(100), Load(100, "distinct")
PACED, IDLE = Load(100, "paced"), Load(1000, "idle")
CASES = (
    Case("1 subscriber", ONE, "rate", "events/s", {BASE: 20, "starlette": 0.9, "graphql-ws": 4}),
    Case("100 subscribers of one log", SAME, "rate", "events/s", {BASE: 100, "starlette": 5, "graphql-ws": 4}),
    Case("100 subscribers of 100 logs", DISTINCT, "rate", "events/s", {BASE: 20, "graphql-ws": 4}),
    Case("CPU of an event, 1 subscriber", ONE, "cpu", "µs"),
    Case("CPU of an event, 100 of one log", SAME, "cpu", "µs"),
    Case("CPU of an event, 100 of 100 logs", DISTINCT, "cpu", "µs"),
    Case(
        "latency of 99 of 100 events, 100 subscribers of 100 logs with 20 events/s each",
        PACED,
        "latency",
        "ms",
        {"starlette": 1},
    ),
    Case("1000 subscribes", IDLE, "subscribe", "s", {BASE: 4}),
    Case("memory of an idle subscription", IDLE, "memory", "KB", {BASE: 1 / 0.6}),
)

Figures = dict[tuple[str, str], list[float]]
"""By case and server, in each round."""


class Subscriptions:
    """Measures subscriptions.

    Args:
        site: Where.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._skips = Skips()
        self._figures: Figures = {}
        self._seen: dict[str, list[Any]] = {}
        python = [Peer(name, partial(delivering, site.servers, name)) for name in ("product-asgi", BASE, "starlette")]
        files = {name: f"{name}.mjs" for name in ("ws", "graphql-ws", "yoga")}
        self._peers = [
            Peer(PRODUCT, partial(delivering, site.servers, PRODUCT)),
            Peer(WHOLE, site.serving),
            *python,
            *node_peers(files, self._skips),
        ]

    def measure(self, seconds: float) -> None:
        """Measure each case in each server once, each in a process of its own."""
        loads = list(dict.fromkeys(case.load for case in CASES))
        turns = [(each, [peer for peer in self._peers if peer.name != WHOLE]) for each in loads]
        # PostgreSQL is busy for a while after it was flooded. How long events take through it is for the whole system.
        turns += [(each, [peer for peer in self._peers if peer.name == WHOLE]) for each in loads if each != PACED]
        for each, peers in turns:
            with ExitStack() as stack:
                servers = all_started(stack, peers, self._skips)
                self._check_equality(servers)
                for name, server in servers.items():
                    self._measure_one(each, name, server, seconds)

    def _measure_one(self, subscribers: Load, name: str, server: Running, seconds: float) -> None:
        try:
            measured = subscribe(self._site, server, subscribers, seconds, is_whole=name == WHOLE)
        except Skipped as reason:
            self._skips.note(f"{name}, {' '.join(map(str, subscribers.options))}", reason)
            return
        for case in CASES:
            if case.load == subscribers:
                self._figures.setdefault((case.name, name), []).append(case.figure(measured))

    def _check_equality(self, servers: Mapping[str, Running]) -> None:
        """Stop when a server that was not looked at yet sends something else, since that would be no comparison."""
        unseen = [name for name in servers if name not in self._seen]
        for name in unseen:
            log, token = str(CHECKED_LOG), ""
            if name == WHOLE:
                (log,), token = self._site.logs([CHECKED_LOG], events=COMPARED_MESSAGES), token_of(self._site.editor)
            self._seen[name] = asyncio.run(first_payloads(servers[name].port, log, token))
            expected = next(iter(self._seen.values()))
            if self._seen[name] != expected:
                different = next(pair for pair in zip(expected, self._seen[name], strict=True) if pair[0] != pair[1])
                sys.exit(f"{NAMES[name]} sends something else: {different[1]} instead of {different[0]}")
        if unseen:
            print(f"All send the same: {', '.join(self._seen)}.", flush=True)

    def report(self) -> Report:
        """Write down what was measured."""
        names = [peer.name for peer in self._peers]
        tables = [case_table(case, self._figures, names) for case in CASES]
        title = "Deliveries a second, and for the same CPU time, as a multiple of Strawberry"
        return Report("subscriptions", tables, {"subscriptions.svg": picture(title, self._bars())}, self._skips.lines)

    def _bars(self) -> dict[str, list[tuple[str, float]]]:
        """Compare what each delivers; how much another process appends in a second says nothing of a server."""
        bars: dict[str, list[tuple[str, float]]] = {}
        for case in CASES:
            names = [peer.name for peer in self._peers if case.measure == "cpu" or peer.name != WHOLE]
            compares = [(name, compared(case, self._figures, name, BASE)) for name in names]
            if case.measure in {"rate", "cpu"}:
                bars[case.name] = [(name, median(ratios)) for name, ratios in compares if ratios]
        return bars


@contextmanager
def delivering(servers: Nursery, name: str) -> Iterator[Running]:
    """Run a server in Python whose events are in memory; see servers.py."""
    with servers.running("servers", name) as (pid, said):
        yield Running(port_of(said), pid)


def subscribe(
    site: Site, server: Running, subscribers: Load, seconds: float, *, is_whole: bool = False, source: str = "flood"
) -> dict[str, Any]:
    """Subscribe to a server's events, and count.

    Args:
        site: Where.
        server: Whose events.
        subscribers: Who subscribes.
        seconds: For how long.
        is_whole: Whether its events come from PostgreSQL; then another process appends them to logs made for this.
        source: How it does so; see clockwork.py.
    """
    warm = min(0.5, seconds / 2)
    options: list[object] = ["--query", QUERY, *subscribers.options]
    if not is_whole:
        measured = load(site.wsload, server, options, warm=warm, seconds=seconds)
    else:
        ids = [uuid4() for _ in range(subscribers.logs)]
        appending = None if subscribers is IDLE else site.clockwork(source, FLOOD_SECONDS, *ids)
        with tempfile.NamedTemporaryFile("w", suffix=".logs") as file:
            file.write("\n".join(site.logs(ids)))
            file.flush()
            options += ["--logs", file.name, "--token", token_of(site.editor)]
            measured = load(site.wsload, server, options, warm=warm, seconds=seconds, source=appending)
    if subscribers is not IDLE and not measured["messages"]:
        raise Skipped("nothing arrived")
    return measured


@asynccontextmanager
async def following(port: int, log: str, token: str = "") -> AsyncIterator[ClientConnection]:
    """Subscribe to a log; nothing has been received yet when the context begins."""
    url, protocols = f"ws://127.0.0.1:{port}/graphql", [Subprotocol("graphql-transport-ws")]
    async with connect(url, subprotocols=protocols, compression=None, proxy=None, close_timeout=0.1) as connection:
        signed_in = {"authorization": f"Bearer {token}"} if token else {}
        await connection.send(json.dumps({"type": "connection_init", "payload": signed_in}))
        await connection.recv()
        payload = {"query": QUERY.read_text(), "variables": {"proposalId": log}, "operationName": "Run"}
        await connection.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
        yield connection


async def first_payloads(port: int, log: str, token: str) -> list[Any]:
    """Subscribe, and give the first results."""
    async with asyncio.timeout(ANSWER_SECONDS), following(port, log, token) as connection:
        return [json.loads(await connection.recv()).get("payload") for _ in range(COMPARED_MESSAGES)]


def cost(measured: Mapping[str, Any]) -> float:
    """Tell how many microseconds of the server's CPU time a message cost."""
    return float(max(measured["cpu"], TICK_SECONDS) * 1e6 / measured["messages"])


def case_table(case: Case, figures: Figures, names: Sequence[str]) -> list[str]:
    """Write the table of a case."""
    heads = [case.name, "times as good as Strawberry (lowest to highest)", case.unit, "ours beside it"]
    rows = []
    for name in names:
        if (case.name, name) not in figures:
            continue
        ratios = compared(case, figures, name, BASE)
        shown = spread(ratios, digits=1) if ratios else "not measured"
        rows.append((NAMES[name], shown, number(median(figures[case.name, name])), _ours_beside(case, figures, name)))
    return table(heads, rows)


def compared(case: Case, figures: Figures, name: str, other: str) -> list[float]:
    """Tell how many times as good as another a server was, round by round; nothing when one was not measured."""
    return case.times_as_good(figures.get((case.name, name), []), figures.get((case.name, other), []))


def _ours_beside(case: Case, figures: Figures, name: str) -> str:
    ratios = compared(case, figures, PRODUCT, name)
    if name == PRODUCT or not ratios:
        return ""
    shown = f"{median(ratios):.1f} times as good"
    return f"{shown}; {verdict(median(ratios), at_least=case.targets[name])}" if name in case.targets else shown
