#!/usr/bin/env python3
"""Measure the whole system: a runtime, a worker, PostgreSQL, two API processes, and subscribers of both.

Three figures, each of the real thing with durable commits: how long an event takes from the runtime's frame to a
subscriber of another replica; what a delivery costs when a hundred follow one log, beside the delivery path alone; and
how many events a second are appended to eight logs in batches.

Usage: .venv/bin/python scripts/bench/system.py [--seconds S] [--rounds N] [--write docs/performance.md]
"""

import argparse
import asyncio
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import bench
import httpx
from bench import HERE, ROOT
from clockwork import BATCH, RATE
from report import verdict
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from graphql_api import app
from graphql_api.context import Engines
from graphql_api.identity import users
from graphql_api.kit import embedded_postgres, migrations
from graphql_api.kit.database import parse_url
from graphql_api.kit.ids import key_of
from graphql_api.settings import Settings

BEGIN, END = "<!-- system: begin -->", "<!-- system: end -->"
THREADS, FOLLOWERS = 8, 100
EMAIL, PASSWORD = "bench@example.com", "not a secret"
SECRET = "x" * 48
ORCHESTRATOR = Path(sys.executable).parent / "orchestrator"
SETTINGS = {
    "LOG_LEVEL": "error",
    "MAX_CONCURRENT_REFINEMENTS": "1000",
    "RATE_LIMIT_REFINEMENTS": "100000/minute",
}
QUERY = (HERE / "query.graphql").read_text()

LOGIN = """mutation($e: String!, $p: String!) {
    login(input: {email: $e, password: $p}) { session { accessToken } errors { message } } }"""
CREATE = 'mutation { createWorkflow(input: {name: "Bench"}) { workflow { id } errors { message } } }'
REFINE = """mutation($id: ID!) {
    refineWorkflow(input: {workflowId: $id, prompt: "Tick"}) { proposal { id } errors { message } } }"""


class Site:
    """Two API processes on one database, and somebody signed in."""

    def __init__(self, engines: Engines, ports: Sequence[int], pids: Sequence[int]) -> None:
        self.engines, self.ports, self.pids = engines, ports, pids
        self.token = ""

    async def ask(self, document: str, **variables: object) -> dict[str, Any]:
        """Run an operation on the first API process; stops on errors."""
        headers = {"authorization": f"Bearer {self.token}"} if self.token else {}
        url = f"http://127.0.0.1:{self.ports[0]}/graphql"
        async with httpx.AsyncClient(timeout=30) as client:
            answer = await client.post(url, json={"query": document, "variables": variables}, headers=headers)
        (payload,) = (answer.json().get("data") or sys.exit(answer.text)).values()
        if payload.get("errors"):
            sys.exit(f"{document}: {payload['errors']}")
        result: dict[str, Any] = payload
        return result

    async def proposals(self, count: int) -> list[str]:
        """Order that many runs; nobody works on them yet."""
        workflow = (await self.ask(CREATE))["workflow"]["id"]
        return [(await self.ask(REFINE, id=workflow))["proposal"]["id"] for _ in range(count)]


@contextmanager
def serving(
    home: Path,
    settings: Mapping[str, str] = SETTINGS,
    *,
    command: Sequence[str] = (str(ORCHESTRATOR),),
    log: int | None = None,
) -> Iterator[tuple[int, int]]:
    """Run an API process on the embedded database; give its port and process id.

    Args:
        home: Of the database.
        settings: Variables of its environment.
        command: What `orchestrator` is run with.
        log: Where its lines go; where ours go when None.
    """
    environment = {**os.environ, "ORCHESTRATOR_HOME": str(home), "JWT_SECRET": SECRET, **settings}
    environment.pop("DATABASE_URL", None)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = [*command, "serve", "--port", str(port)]
    process = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=log, cwd=home.parent)
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                httpx.get(f"http://127.0.0.1:{port}/health").raise_for_status()
            except httpx.TransportError:
                time.sleep(0.05)
            else:
                yield port, process.pid
                return
        sys.exit("an API process does not start")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


@asynccontextmanager
async def following(port: int, token: str, proposal: str) -> AsyncIterator[ClientConnection]:
    """Subscribe; the first event has come when the context begins."""
    url, protocols = f"ws://127.0.0.1:{port}/graphql", [Subprotocol("graphql-transport-ws")]
    async with connect(url, subprotocols=protocols, compression=None, proxy=None) as connection:
        await connection.send(json.dumps({"type": "connection_init", "payload": {"authorization": f"Bearer {token}"}}))
        await connection.recv()
        payload = {"query": QUERY, "variables": {"proposalId": proposal}, "operationName": "Run"}
        await connection.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
        await connection.recv()
        yield connection


async def latencies(connection: ClientConnection) -> list[float]:
    """Collect, until the log's end, how many milliseconds events took since the runtime sent them."""
    took = []
    async for text in connection:
        arrived = time.time_ns()
        message = json.loads(text)
        if message["type"] != "next":
            break
        event = message["payload"]["data"]["proposalEvents"]
        sent = event.get("toolCallId") or event.get("messageId")
        if sent is not None:
            took.append((arrived - int(sent)) / 1e6)
    return took


@contextmanager
def clockwork(site: Site, what: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run what makes events, in a process of its own."""
    url = site.engines.database.url.render_as_string(hide_password=False)
    command = [sys.executable, str(HERE / "clockwork.py"), what, url, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{HERE}"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        if process.stdout is None or process.stdout.readline() != "ready\n":
            sys.exit(f"clockwork {what} does not start")
        yield process
    finally:
        process.kill()
        process.wait()


async def end_to_end(site: Site, seconds: float) -> list[float]:
    """Measure from the runtime's frame to subscribers of both replicas; gives milliseconds, in order."""
    proposals = await site.proposals(THREADS)
    async with AsyncExitStack() as stack:
        opened = [
            await stack.enter_async_context(following(port, site.token, each))
            for port in site.ports
            for each in proposals
        ]
        with clockwork(site, "work", seconds):
            async with asyncio.timeout(seconds + 30):
                took = await asyncio.gather(*map(latencies, opened))
    expected = int(seconds * RATE) * len(opened)
    if sum(map(len, took)) != expected:
        sys.exit(f"{sum(map(len, took))} events arrived instead of {expected}")
    return sorted(each for one in took for each in one)


async def fan_out(site: Site, generator: Sequence[str], seconds: float) -> float:
    """Measure the CPU of a delivery in an API process when many follow one log; gives microseconds."""
    (proposal,) = await site.proposals(1)
    options = ("--connections", str(FOLLOWERS), "--log", proposal, "--token", site.token)
    with clockwork(site, "append", key_of(proposal, "Proposal"), seconds + 10):
        measured = await asyncio.to_thread(bench.load, generator, site.ports[1], site.pids[1], options, seconds)
    return float(measured["cpu"] * 1e6 / measured["messages"])


def delivery_alone(generator: Sequence[str], seconds: float) -> float:
    """Measure the same without log, database, access checks and metrics."""
    (product, *_) = bench.python_peers()
    with bench.serving(product) as (port, pid):
        measured = bench.load(generator, port, pid, ("--connections", str(FOLLOWERS)), seconds)
    return float(measured["cpu"] * 1e6 / measured["messages"])


async def appends(site: Site, seconds: float) -> float:
    """Measure how many events a second are appended to several logs in batches."""
    proposals = await site.proposals(THREADS)
    with clockwork(site, "flood", seconds, *(key_of(each, "Proposal") for each in proposals)) as process:
        output, _ = await asyncio.to_thread(process.communicate)
    return float(output)


async def measure(home: Path, url: str, generator: Sequence[str], rounds: int, seconds: float) -> list[str]:
    """Measure everything, round by round; gives the lines of the table."""
    engines = app.make_engines(Settings(), parse_url(url), (SECRET,))
    await migrations.upgrade(engines.database)
    await users.create(engines.database, email=EMAIL, name="Bench", password=PASSWORD)
    medians, p99s, costs, bare, rates = [], [], [], [], []
    for number in range(rounds):
        with ExitStack() as stack:
            served = [stack.enter_context(serving(home)) for _ in range(2)]
            site = Site(engines, [port for port, _ in served], [pid for _, pid in served])
            site.token = (await site.ask(LOGIN, e=EMAIL, p=PASSWORD))["session"]["accessToken"]
            took = await end_to_end(site, seconds)
            medians.append(statistics.median(took))
            p99s.append(took[len(took) * 99 // 100])
            costs.append(await fan_out(site, generator, seconds))
            rates.append(await appends(site, seconds))
        bare.append(delivery_alone(generator, seconds))
        print(f"round {number + 1} of {rounds} is done")
    await engines.database.close()
    ratio = statistics.median(alone / whole for alone, whole in zip(bare, costs, strict=True))
    made = (
        f"Made by `scripts/bench/system.py`: {rounds} rounds of {seconds:g} s, {os.cpu_count()} cores for everything, "
        "PostgreSQL 18 embedded, durable commits; medians (lowest to highest)."
    )
    journey = f"runtime's frame to {2 * THREADS} subscribers of two replicas, {THREADS * RATE} events/s"
    median = statistics.median
    rows = [
        (f"{journey}, median", _range(medians, "ms"), verdict(median(medians), at_most=5)),
        ("the same, 99 of 100", _range(p99s, "ms"), verdict(median(p99s), at_most=25)),
        (f"CPU of a delivery when {FOLLOWERS} follow one log", _range(costs, "µs"), ""),
        (
            "the same, of the delivery path alone",
            f"{_range(bare, 'µs')}: {ratio:.2f} of the whole",
            verdict(ratio, at_least=0.7),
        ),
        (
            f"events appended to {THREADS} logs in batches of {BATCH}",
            _range(rates, "a second"),
            verdict(median(rates), at_least=10_000),
        ),
    ]
    return [made, "", "| what | measured | target |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)]


def _range(figures: Sequence[float], unit: str) -> str:
    digits = 0 if max(figures) >= 100 else 2  # noqa: PLR2004 - digits that say something
    low, middle, high = (f"{each:,.{digits}f}" for each in (min(figures), statistics.median(figures), max(figures)))
    return f"**{middle}** {unit} ({low} to {high})"


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each measurement lasts (3)")
    parser.add_argument("--write", type=Path, help="a Markdown file with the markers of this table")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory) / "home"
        generator = bench.load_generator(Path(directory), "wsload")
        with embedded_postgres.start(home) as server:
            lines = asyncio.run(measure(home, server.url(), generator, options.rounds, options.seconds))
        embedded_postgres.remove(home)
    table = "\n".join(lines)
    print(table)
    if options.write:
        page = options.write.read_text(encoding="utf-8")
        head, _, rest = page.partition(BEGIN)
        options.write.write_text(f"{head}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
