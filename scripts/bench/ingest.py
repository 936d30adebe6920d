#!/usr/bin/env python3
"""Measure the ingest of many executions at once on one worker: CPU per frame, and memory while they run.

Starts a fake runtime in a process of its own, and an embedded PostgreSQL; then one worker in this process reads 50
executions at 100 frames a second each. Of a hundred frames 98 are pieces of a message; the others
are the whole message and a snapshot of the files. Prints a row of a Markdown table for each adapter.

Usage: .venv/bin/python scripts/bench/ingest.py [--executions N] [--seconds S] [--write docs/performance.md]
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import psutil
from report import put
from sqlmodel import func, select
from uvicorn.loops.auto import auto_loop_factory

from graphql_api.app import make_runtime
from graphql_api.events.log import EventLog
from graphql_api.events.models import Event
from graphql_api.events.records import NewEvent
from graphql_api.kit import embedded_postgres, logs, migrations
from graphql_api.kit.database import Database, Session, parse_url
from graphql_api.runtimes import executions
from graphql_api.runtimes.executions import Claim, Outcome
from graphql_api.runtimes.fakes.house import PACE_SECONDS
from graphql_api.runtimes.fakes.recordings import Protocol
from graphql_api.runtimes.fakes.server import FakeRuntime
from graphql_api.runtimes.protocol import AgentRuntime, Frame, ThreadRef
from graphql_api.runtimes.worker import Worker
from graphql_api.settings import Settings

FRAMES_A_SECOND = 100
PIECES = 98
WARM_UP = 0.3
"""Part of the run after which memory should not grow any more."""


def script(turns: int, thread_id: str) -> Iterator[Frame]:
    """Write turns of a hundred frames: a message in pieces and as a whole, and a file that no other thread has."""
    files: dict[str, str] = {}
    for turn in range(turns):
        message = {"id": f"message-{turn}", "agent": "author"}
        words = [f"word-{turn}-{number} " for number in range(PIECES)]
        for word in words:
            yield Frame("message_delta", {**message, "text": word})
        yield Frame("message", {**message, "text": "".join(words)})
        files[f"THE_SPEC/page-{turn % 5}.md"] = f"# Page of {thread_id}\n\n{' '.join(words)}\n" * 10
        yield Frame("files", {"files": dict(files)})
    yield Frame("end", {"error": None, "summary": "Done."})


async def serve(protocol: Protocol, seconds: float) -> None:
    """Serve a fake runtime until standard input is closed; print its URL."""
    turns = int(seconds * FRAMES_A_SECOND / (PIECES + 2))
    fake = FakeRuntime(
        protocol, script=lambda _prompt, _files, thread: script(turns, thread), speed=PACE_SECONDS * FRAMES_A_SECOND
    )
    async with fake.serving() as url:
        print(url, flush=True)
        await asyncio.to_thread(sys.stdin.read)


@dataclass
class Listener:
    """Hears of executions as proposals do.

    Attributes:
        started_at: When each was started, on the monotonic clock.
        ended_at: When each ended.
        failures: What went wrong.
    """

    log: EventLog
    started_at: dict[UUID, float] = field(default_factory=dict)
    ended_at: dict[UUID, float] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    async def started(self, session: Session, claim: Claim, *, thread: ThreadRef, runtime: str) -> None:
        """Note the start."""
        await executions.begin(session, claim, thread=thread, runtime=runtime)
        self.started_at[claim.execution_id] = time.monotonic()

    async def ended(self, session: Session, claim: Claim, outcome: Outcome) -> None:
        """Note the end, and close the log."""
        await executions.end(session, claim)
        await self.log.append(session, claim.execution_id, [NewEvent("Ended", {}, is_terminal=True)], epoch=claim.epoch)
        session.after_commit.append(lambda: self.ended_at.update({claim.execution_id: time.monotonic()}))
        if outcome.failure is not None:
            self.failures.append(outcome.failure.message)


@dataclass(frozen=True)
class Result:
    """What one adapter was measured to need."""

    adapter: str
    frames: int
    events: int
    microseconds_per_frame: float
    megabytes_at_first: float
    megabytes_at_last: float
    seconds_late: float

    def row(self) -> str:
        """Write a row of the table."""
        growth = self.megabytes_at_last - self.megabytes_at_first
        return (
            f"| {self.adapter} | {self.frames:,} | {self.events:,} | {self.microseconds_per_frame:.0f} µs "
            f"| {self.megabytes_at_last:.0f} MB | {growth:+.1f} MB | {self.seconds_late:.1f} s |"
        )


async def measure(database: Database, runtime: AgentRuntime, count: int, seconds: float) -> Result:
    """Let a worker read a number of executions at once."""
    log = EventLog(database)
    listener = Listener(log)
    async with log.running():
        ids = [uuid4() for _ in range(count)]
        request: Mapping[str, str | None] = {"prompt": "Go.", "context_file_path": None, "context_selection": None}
        async with database.transaction() as session:
            for execution_id in ids:
                await log.open(session, execution_id)
                await executions.order(session, log, execution_id, request, [])
        worker = asyncio.create_task(Worker(database, log, runtime, listener, lease=timedelta(seconds=60)).run())
        begun, cpu, memory = time.monotonic(), time.process_time(), []
        while len(listener.ended_at) < count:
            await asyncio.sleep(1)
            memory.append((time.monotonic() - begun, psutil.Process().memory_info().rss / 1e6))
        used = time.process_time() - cpu
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
    if listener.failures:
        raise SystemExit(f"{len(listener.failures)} executions failed: {listener.failures[0]}")
    async with database.transaction() as session:
        events = (await session.exec(select(func.count()).select_from(Event))).one()
    frames = count * int(seconds * FRAMES_A_SECOND)
    warm = [megabytes for at, megabytes in memory if at > WARM_UP * seconds]
    took = max(listener.ended_at[execution_id] - listener.started_at[execution_id] for execution_id in ids)
    return Result(runtime.name, frames, events, used / frames * 1e6, warm[0], warm[-1], took - seconds)


async def run(url: str, count: int, seconds: float, home: Path) -> Result:
    """Measure one adapter, in a database of its own."""
    with embedded_postgres.start(home) as postgres:
        database = Database(parse_url(postgres.url()))
        await migrations.upgrade(database)
        runtime = make_runtime(Settings(runtime_url=url))
        try:
            return await measure(database, runtime, count, seconds)
        finally:
            await runtime.close()
            await database.close()


@contextmanager
def serving(protocol: Protocol, seconds: float) -> Iterator[str]:
    """Serve a fake runtime in a process of its own; give its URL."""
    command = [sys.executable, __file__, "--serve", protocol.value, "--seconds", str(seconds)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None  # noqa: S101 - it was asked for above
        try:
            yield server.stdout.readline().strip()
        finally:
            server.communicate()


def main() -> None:
    """Measure all adapters, and print or write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--executions", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--adapter", type=Protocol, choices=list(Protocol), action="append")
    parser.add_argument("--write", type=Path)
    parser.add_argument("--serve", type=Protocol, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        asyncio.run(serve(options.serve, options.seconds))
        return
    logs.configure("error", is_json=True)
    rows = []
    for protocol in options.adapter or Protocol:
        with tempfile.TemporaryDirectory() as home, serving(protocol, options.seconds) as url:
            place = Path(home) / "home"
            with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:  # as workers do
                rows.append(runner.run(run(url, options.executions, options.seconds, place)).row())
            embedded_postgres.remove(place)
    heading = (
        f"{options.executions} executions at {FRAMES_A_SECOND} frames a second each for {options.seconds:.0f} s, "
        f"on one worker; PostgreSQL 18 embedded, durable commits, {psutil.cpu_count()} cores for all of it."
    )
    columns = "| adapter | frames | events stored | worker's CPU per frame | memory | its growth | behind at the end |"
    table = "\n".join((heading, "", columns, "|---|---:|---:|---:|---:|---:|---:|", *rows))
    print(f"\n{table}")
    if options.write is not None:
        put(options.write, "ingest", table)


if __name__ == "__main__":
    main()
