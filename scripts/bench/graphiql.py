#!/usr/bin/env python3
"""Measure how long GraphiQL takes on this machine: until it is drawn, loaded, ready to be typed into.

Each visit has a fresh context of Chromium, with nothing stored or cached, and begins when the machine is quiet. The
page measures itself and is asked at the end: to be watched by a driver would cost it a fifth more.

Usage: .venv/bin/python scripts/bench/graphiql.py [--visits N] [--url URL ...] [--write docs/performance.md]
"""

import argparse
import itertools
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import httpx
import psutil
from report import put
from websockets.sync.client import ClientConnection, connect

from graphql_api.kit import embedded_postgres

ORCHESTRATOR = Path(sys.executable).parent / "orchestrator"
START_SECONDS = 60
QUIET_PERCENT = 15
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
)
WINDOW = {"width": 1440, "height": 900, "deviceScaleFactor": 1, "mobile": False}
WATCH = """
globalThis.visit = new Promise((done) => {
  const at = {};
  let pause = 0;
  const pauses = [];
  new PerformanceObserver((list) => {
    for (const { startTime, duration } of list.getEntries()) {
      pause = Math.max(pause, startTime + duration);
      pauses.push({ startTime, duration });
    }
  }).observe({ type: "longtask", buffered: true });
  const shown = {
    // Where the page begins with a plain field, that; else the editor itself.
    operation: () => document.querySelector("#early textarea:enabled:read-write")?.value || shown.editor(),
    editor: () => document.querySelector(".graphiql-query-editor .view-line")?.textContent.trim(),
    schema: () => globalThis.__MONACO?.languages.graphql?.api?.schemas?.length,
  };
  const isIdle = () => at.editor && at.schema && performance.now() > Math.max(at.editor, at.schema, pause) + 1000;
  const look = () => {
    for (const [name, isShown] of Object.entries(shown)) {
      if (!(name in at) && (name !== "schema" || at.editor) && isShown()) {
        at[name] = 0;
        // What this frame draws is on the screen when it has ended.
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = () => (at[name] = performance.now());
        port2.postMessage(null);
      }
    }
    if (!isIdle()) return requestAnimationFrame(look);
    const [page] = performance.getEntriesByType("navigation");
    const files = performance.getEntriesByType("resource");
    const early = [page, ...files.filter(({ startTime }) => startTime < at.editor)];
    const paint = performance.getEntriesByName("first-contentful-paint")[0].startTime;
    done(JSON.stringify({
      ...at,
      paint,
      operation: Math.max(at.operation, paint),
      load: page.loadEventEnd,
      longest: Math.max(0, ...pauses.map(({ startTime, duration }) => startTime > at.operation && duration)),
      quiet: Math.max(pause, at.editor),
      files: early.length,
      bytes: early.reduce((sum, { transferSize }) => sum + transferSize, 0),
    }));
  };
  requestAnimationFrame(look);
});
"""
FIGURES: Mapping[str, str] = {
    "paint": "first paint",
    "load": "load event",
    "operation": "the operation can be read, typed into and ordered to run",
    "editor": "the operation stands in the editor",
    "schema": "the schema completes what is typed",
    "longest": "the longest that what is typed waits to be seen after that",
    "quiet": "the last pause of more than 50 ms has ended",
    "cpu": "CPU time of the page's own thread, for all of it",
}


class Browser:
    """Chromium, by its protocol.

    Args:
        connection: Of its DevTools.
    """

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)
        self._told: list[str] = []

    def send(self, method: str, session: str | None = None, **params: object) -> dict[str, Any]:
        """Send a command; give its result."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params}
        self._connection.send(json.dumps(message if session is None else {**message, "sessionId": session}))
        while True:
            answer = json.loads(self._connection.recv(timeout=START_SECONDS))
            if answer.get("id") == number:
                result: dict[str, Any] = answer["result"] if "result" in answer else sys.exit(f"{method}: {answer}")
                return result
            self._told.append(answer.get("method", ""))

    def wait_for(self, event: str) -> None:
        """Wait for an event that comes after the last command."""
        while event not in self._told:
            self._told.append(json.loads(self._connection.recv(timeout=START_SECONDS)).get("method", ""))

    def visit(self, url: str) -> dict[str, float]:
        """Open a page with nothing stored; give what it measured of itself."""
        context = self.send("Target.createBrowserContext")["browserContextId"]
        target = self.send("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.send("Page.enable", session)
        self.send("Emulation.setDeviceMetricsOverride", session, **WINDOW)
        self.send("Page.addScriptToEvaluateOnNewDocument", session, source=WATCH)
        self.send("Performance.enable", session, timeDomain="threadTicks")
        self._told.clear()
        self.send("Page.navigate", session, url=url)
        self.wait_for("Page.loadEventFired")
        answer = self.send("Runtime.evaluate", session, expression="globalThis.visit", awaitPromise=True)
        metrics = self.send("Performance.getMetrics", session)["metrics"]
        self.send("Target.disposeBrowserContext", browserContextId=context)
        (used,) = (metric["value"] for metric in metrics if metric["name"] == "TaskDuration")
        return {**json.loads(answer["result"]["value"]), "cpu": used * 1000}


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run the system's Chromium with a profile of its own."""
    path = shutil.which("chromium") or shutil.which("google-chrome") or sys.exit("Chromium is missing.")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [path, *FLAGS, f"--user-data-dir={profile}"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                port = Path(profile) / "DevToolsActivePort"
                wait_until(lambda: port.exists() and port.read_text().count("\n") == 1)
                number, path = port.read_text().split()
                with connect(f"ws://127.0.0.1:{number}{path}", max_size=None) as connection:
                    yield Browser(connection)
            finally:
                process.terminate()


@contextmanager
def served() -> Iterator[list[str]]:
    """Run `orchestrator dev` with data of its own; give the addresses of GraphiQL: one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory) / "home"
        environment = {**os.environ, "ORCHESTRATOR_HOME": str(home), "DATABASE_URL": ""}
        command = [ORCHESTRATOR, "dev", "--port", str(port)]
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
            try:
                wait_until(lambda: is_ready(f"http://127.0.0.1:{port}/ready"))
                yield [f"http://127.0.0.1:{port}/graphql"]
            finally:
                process.terminate()
        embedded_postgres.remove(home)


def is_ready(url: str) -> bool:
    """Tell whether a server answers."""
    try:
        return httpx.get(url).is_success
    except httpx.TransportError:
        return False


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    limit = time.monotonic() + START_SECONDS
    while not condition():
        if time.monotonic() > limit:
            sys.exit(f"Nothing after {START_SECONDS} s.")
        time.sleep(0.02)


def wait_for_quiet(patience: float) -> float:
    """Wait until little else runs, or patience ends; give the percentage of the machine that is busy then."""
    limit = time.monotonic() + patience
    while (busy := psutil.cpu_percent(interval=0.5)) > QUIET_PERCENT and time.monotonic() < limit:
        pass
    return busy


def table(visits: Sequence[Mapping[str, float]]) -> str:
    """Write the table of some visits."""
    busy = [visit["busy"] for visit in visits]
    heading = (
        f"{len(visits)} visits in fresh contexts of Chromium; {os.cpu_count()} cores for browser, server "
        f"and database; just before a visit, other work kept {statistics.median(busy):.0f} % of them busy "
        f"({min(busy):.0f} to {max(busy):.0f})."
    )
    rows = []
    for name, what in FIGURES.items():
        figures = [visit[name] for visit in visits]
        rows.append(f"| {what} | **{statistics.median(figures):.0f}** ms ({min(figures):.0f} to {max(figures):.0f}) |")
    files, size = (statistics.median(visit[name] for visit in visits) for name in ("files", "bytes"))
    rows.append(f"| asked for until the operation stands there | {files:.0f} files, {size / 1e3:,.0f} KB |")
    return "\n".join(
        (heading, "", "| after the address was entered | median (lowest to highest) |", "|---|---:|", *rows)
    )


def measure(addresses: Sequence[str], count: int, patience: float) -> dict[str, list[dict[str, float]]]:
    """Visit each address so many times, in turn."""
    visits: dict[str, list[dict[str, float]]] = {address: [] for address in addresses}
    with chromium() as browser:
        for address in addresses:
            browser.visit(address)  # the first one is the browser's own warming up
        for number, address in itertools.product(range(count), addresses):
            busy = wait_for_quiet(patience)
            visit = {**browser.visit(address), "busy": busy}
            visits[address].append(visit)
            figures = ", ".join(f"{name} {visit[name]:.0f}" for name in (*FIGURES, "busy"))
            print(f"{address} {number + 1} of {count}: {figures}", file=sys.stderr)
    return visits


def main() -> None:
    """Measure, and print or write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visits", type=int, default=20)
    parser.add_argument("--patience", type=float, default=30, help="seconds to wait for a quiet machine (30)")
    parser.add_argument("--url", action="append", help="of GraphiQL on a server that runs; several are visited in turn")
    parser.add_argument("--write", type=Path, help="a Markdown file with the markers of this table")
    options = parser.parse_args()
    with served() if options.url is None else nullcontext(options.url) as addresses:
        visits = measure(addresses, options.visits, options.patience)
    for address in addresses:
        print(f"{address}\n\n{table(visits[address])}\n")
    if options.write is not None:
        put(options.write, "graphiql", table(visits[addresses[0]]))


if __name__ == "__main__":
    main()
