"""Measures how subscriptions are delivered, by this product and by others; writes the table in docs/performance.md."""

import argparse
import asyncio
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from report import Result, write_report
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
OURS, BASE = "product", "strawberry"
NODE_PEERS = ("ws", "graphql-ws", "yoga")
COMPARED_MESSAGES = 40
CHECKED_LOG = "00000010-0000-4000-8000-999999999999"


class Skipped(Exception):
    """Something that is needed is not here."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A server that is compared.

    Attributes:
        name: In the table.
        command: That serves, and prints its port.
    """

    name: str
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured.

    Attributes:
        name: In the table.
        options: Of the load generator.
        measure: The figure that is compared, and whether more of it is better.
        unit: Of the absolute figure.
        targets: How many times as good as a server the product has to be.
    """

    name: str
    options: tuple[str, ...]
    measure: str
    unit: str
    targets: Mapping[str, float] = field(default_factory=dict)


CASES = (
    Case("1 subscriber", ("--connections", "1"), "rate", "events/s", {BASE: 20, "relay": 0.9, "graphql-ws": 4}),
    Case(
        "100 subscribers of one log",
        ("--connections", "100"),
        "rate",
        "events/s",
        {BASE: 100, "relay": 5, "graphql-ws": 4},
    ),
    Case(
        "100 subscribers of 100 logs",
        ("--connections", "100", "--distinct"),
        "rate",
        "events/s",
        {BASE: 20, "graphql-ws": 4},
    ),
    Case("CPU of an event, 1 subscriber", ("--connections", "1"), "cpu", "µs"),
    Case("CPU of an event, 100 of one log", ("--connections", "100"), "cpu", "µs"),
    Case(
        "latency of 99 of 100 events, 100 subscribers of 100 logs with 20 events/s each",
        ("--connections", "100", "--paced"),
        "latency",
        "ms",
        {"relay": 1},
    ),
    Case("1000 subscribes", ("--connections", "1000", "--idle"), "subscribe", "s", {BASE: 4}),
    Case("memory of an idle subscription", ("--connections", "1000", "--idle"), "memory", "KB", {BASE: 1 / 0.6}),
)


def figure(case: Case, measured: dict[str, Any]) -> float:
    """Take the figure of a case out of what the load generator measured."""
    if case.measure == "rate":
        return float(measured["messages"] / measured["seconds"])
    if case.measure == "cpu":
        return float(measured["cpu"] * 1e6 / measured["messages"])
    if case.measure == "latency":
        return float(measured["latency_99"] / 1e3)
    if case.measure == "subscribe":
        return float(measured["subscribe_seconds"])
    return float(measured["memory_kilobytes"] / 1000)


def peers() -> list[Peer]:
    """Name the servers: those in Python, and those in Node when it is here."""
    python = python_peers()
    try:
        node = install_node_peers()
    except Skipped as reason:
        print(f"skipped: {', '.join(NODE_PEERS)}: {reason}")
        return python
    return [*python, *(Peer(name, (node, str(HERE / "peers" / f"{name}.mjs"))) for name in NODE_PEERS)]


def python_peers() -> list[Peer]:
    """Name the servers in Python, this product first."""
    names = (OURS, "product-asgi", BASE, "relay")
    return [Peer(name, (sys.executable, str(HERE / "servers.py"), name)) for name in names]


def install_node_peers() -> str:
    """Install what the servers in Node need; gives the program that runs them.

    Raises:
        Skipped: When they can't run here.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise Skipped("Node is not installed")
    peers, installed = HERE / "peers", HERE / "peers" / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < (peers / "package-lock.json").stat().st_mtime:
        done = subprocess.run([npm, "ci", "--no-audit", "--no-fund"], cwd=peers, check=False, capture_output=True)
        if done.returncode != 0:
            raise Skipped("their packages can't be installed")
    return node


@contextmanager
def serving(peer: Peer, settings: Mapping[str, str] | None = None) -> Iterator[tuple[int, int]]:
    """Run a server in a process of its own; give its port and process id.

    Args:
        peer: The server.
        settings: Variables beside those of the environment.

    Raises:
        Skipped: When it does not start.
    """
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{HERE}", "NODE_ENV": "production", **(settings or {})}
    process = subprocess.Popen(
        peer.command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, text=True
    )
    try:
        line = process.stdout.readline() if process.stdout else ""
        if not line.strip().isdigit():
            raise Skipped(f"{peer.name} does not start")
        yield int(line), process.pid
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def load(generator: Sequence[str], port: int, pid: int, options: Sequence[str], seconds: float) -> dict[str, Any]:
    """Run the load generator against a server."""
    command = [*generator, "--port", str(port), "--pid", str(pid), "--query", str(HERE / "query.graphql"), *options]
    command += ["--warm", str(min(0.5, seconds / 2)), "--seconds", str(seconds)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise Skipped(done.stderr.strip())
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


async def first_payloads(port: int) -> list[Any]:
    """Subscribe, and give the first results."""
    variables = {"proposalId": CHECKED_LOG}
    payload = {"query": (HERE / "query.graphql").read_text(), "variables": variables, "operationName": "Run"}
    url, protocols = f"ws://127.0.0.1:{port}/graphql", [Subprotocol("graphql-transport-ws")]
    async with connect(url, subprotocols=protocols, compression=None, proxy=None, close_timeout=0.1) as connection:
        await connection.send('{"type":"connection_init"}')
        await connection.recv()
        await connection.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
        return [json.loads(await connection.recv())["payload"] for _ in range(COMPARED_MESSAGES)]


def check_equality(servers: Sequence[Peer]) -> list[Peer]:
    """Leave out what does not start; stop when two servers send different things, since that would be no comparison."""
    expected, running = None, []
    for peer in servers:
        try:
            with serving(peer) as (port, _):
                payloads = asyncio.run(first_payloads(port))
        except Skipped as reason:
            print(f"skipped: {reason}")
            continue
        expected = expected or payloads
        if payloads != expected:
            different = next(pair for pair in zip(expected, payloads, strict=True) if pair[0] != pair[1])
            sys.exit(f"{peer.name} sends something else: {different[1]} instead of {different[0]}")
        running.append(peer)
    print(f"all send the same: {', '.join(peer.name for peer in running)}")
    return running


def load_generator(directory: Path, name: str) -> list[str]:
    """Compile a load generator; gives the command that runs it, or its slower twin where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or platform.system() != "Linux":
        print(f"{name}.py asks, and takes much CPU time: {name}.c needs Linux and a C compiler (apt install gcc)")
        return [sys.executable, str(HERE / f"{name}.py")]
    subprocess.run([compiler, "-O2", "-o", directory / name, HERE / f"{name}.c"], check=True)
    return [str(directory / name)]


def measure(servers: Sequence[Peer], generator: Sequence[str], rounds: int, seconds: float) -> list[Result]:
    """Measure each case in each server, round by round, so that what else the machine does meets all of them."""
    figures: dict[tuple[str, str], list[float]] = {}
    for number in range(rounds):
        for options in dict.fromkeys(case.options for case in CASES):
            for peer in servers:
                try:
                    with serving(peer) as (port, pid):
                        measured = load(generator, port, pid, options, seconds)
                except Skipped as reason:
                    print(f"round {number + 1}, {peer.name}, {' '.join(options)}: {reason}")
                    continue
                for case in CASES:
                    if case.options == options:
                        figures.setdefault((case.name, peer.name), []).append(figure(case, measured))
        print(f"round {number + 1} of {rounds} is done")
    return results(figures, [peer.name for peer in servers])


def results(figures: Mapping[tuple[str, str], Sequence[float]], names: Sequence[str]) -> list[Result]:
    """Compare what was measured of these servers, case by case."""
    return [_result(case, name, figures) for case in CASES for name in names if (case.name, name) in figures]


def _result(case: Case, name: str, figures: Mapping[tuple[str, str], Sequence[float]]) -> Result:
    own = figures[case.name, name]
    ratios = _times_as_good(case, own, figures.get((case.name, BASE), []))
    ahead = _times_as_good(case, figures.get((case.name, OURS), []), own) if name != OURS else ()
    return Result(
        case.name,
        case.unit,
        name,
        statistics.median(own),
        ratios,
        statistics.median(ahead) if ahead else None,
        case.targets.get(name),
    )


def _times_as_good(case: Case, ones: Sequence[float], others: Sequence[float]) -> tuple[float, ...]:
    pairs = zip(ones, others, strict=False)
    # More is better: events in a second; of everything else, less is.
    return tuple(sorted(one / other if case.measure == "rate" else other / one for one, other in pairs))


def main() -> None:
    """Measure, and write the report."""
    parser = argparse.ArgumentParser(prog="scripts/bench/run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round, to see that it works")
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is measured (5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each measurement lasts (3)")
    parser.add_argument("--dry", action="store_true", help="prints the table instead of writing it into the docs")
    options = parser.parse_args()
    rounds, seconds = (1, 0.5) if options.quick else (options.rounds, options.seconds)
    with TemporaryDirectory() as directory:
        generator = load_generator(Path(directory), "wsload")
        measured = measure(check_equality(peers()), generator, rounds, seconds)
    write_report(None if options.dry else ROOT / "docs", measured, rounds=rounds, seconds=seconds, command=sys.argv[1:])


if __name__ == "__main__":
    main()
