"""What makes events for the whole system's benchmark, in a process of its own.

`work URL SECONDS` is a worker whose runtime sends frames at an even rate; `append URL SECONDS SUBJECT` appends to one
log at an even rate; `flood URL SECONDS SUBJECT...` appends to several as fast as it goes, and prints how many events a
second those were. Each prints `ready` first.
"""

import asyncio
import itertools
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from uuid import UUID

import uvloop
from source import BATCH, RATE, stored_event

from graphql_api import app
from graphql_api.context import Engines
from graphql_api.events.records import NewEvent
from graphql_api.kit.database import parse_url
from graphql_api.runtimes.protocol import (
    Capabilities,
    Frame,
    Health,
    Normalized,
    Resume,
    RunEnded,
    RunRequest,
    Snapshot,
    ThreadRef,
    ThreadStatus,
)
from graphql_api.settings import Settings

PAUSE_SECONDS = 0.01
"""How often `append` writes."""

WRITERS = 8
"""How many logs `flood` writes to at the same time."""


def _payload(sequence: int) -> NewEvent:
    event = stored_event(UUID(int=0), sequence)
    return NewEvent(event.type, event.payload)


class _Ticking:
    """Makes events of the clock's frames; each is named after the moment at which it was sent."""

    def normalize(self, frame: Frame) -> Iterator[Normalized]:
        if frame.kind == "end":
            yield RunEnded(has_files=False)
            return
        event = _payload(frame.content["number"])
        name = "message_id" if event.type == "AgentMessageCompleted" else "tool_call_id"
        yield replace(event, payload={**event.payload, name: str(frame.content["sent"])})

    def missed(self) -> None:
        """Go on: nothing depends on what came before."""


class Clockwork:
    """A runtime that does nothing but send frames at an even rate.

    Args:
        seconds: For how long.
    """

    name = "clockwork"
    capabilities = Capabilities(
        tokens=False,
        tools=True,
        files_in_stream=False,
        files_in_state=True,
        resume=Resume.NONE,
        cancel=False,
        interrupts=False,
    )

    def __init__(self, seconds: float) -> None:
        self._count = int(seconds * RATE)

    async def health(self) -> Health:
        """Be well."""
        return Health(is_healthy=True)

    async def start(self, request: RunRequest) -> ThreadRef:
        """Take the order."""
        return ThreadRef(str(request.execution_id))

    async def events(self, _request: RunRequest, _thread: ThreadRef) -> AsyncIterator[Frame]:
        """Send frames."""
        due = time.perf_counter()
        for number in range(1, self._count + 1):
            due += 1 / RATE
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            yield Frame("tick", {"number": number, "sent": time.time_ns()})
        yield Frame("end", {})

    def normalizer(self, _request: RunRequest) -> _Ticking:
        """Make the normalizer."""
        return _Ticking()

    async def snapshot(self, _thread: ThreadRef) -> Snapshot:
        """Have no files."""
        return Snapshot(ThreadStatus.COMPLETED, files={})

    async def cancel(self, _thread: ThreadRef) -> bool:
        """Go on."""
        return False

    async def forget(self, _thread: ThreadRef) -> bool:
        """Have nothing to forget."""
        return True

    async def close(self) -> None:
        """Have nothing to close."""


async def _work(engines: Engines, seconds: float) -> None:
    async with app.running(replace(engines, runtime=Clockwork(seconds)), with_worker=True):
        print("ready", flush=True)
        await asyncio.Event().wait()


async def _append(engines: Engines, seconds: float, subject: UUID) -> None:
    async with app.running(engines, with_worker=False):
        print("ready", flush=True)
        due = time.perf_counter()
        until = due + seconds
        for number in itertools.count(1, BATCH):
            if due > until:
                return
            await _append_batch(engines, subject, number)
            due += PAUSE_SECONDS
            await asyncio.sleep(max(0.0, due - time.perf_counter()))


async def _flood(engines: Engines, seconds: float, subjects: list[UUID]) -> None:
    batches = 0

    async def write(subjects: list[UUID], until: float) -> None:
        nonlocal batches
        for number in itertools.count(1, BATCH):
            for subject in subjects:
                if time.perf_counter() > until:
                    return
                await _append_batch(engines, subject, number)
                batches += 1

    async with app.running(engines, with_worker=False):
        print("ready", flush=True)
        began = time.perf_counter()
        shares = [subjects[writer::WRITERS] for writer in range(min(WRITERS, len(subjects)))]
        await asyncio.gather(*(write(share, began + seconds) for share in shares))
        print(batches * BATCH / (time.perf_counter() - began), flush=True)


async def _append_batch(engines: Engines, subject: UUID, number: int) -> None:
    events = [_payload(number + step) for step in range(BATCH)]
    async with engines.database.transaction() as session:
        await engines.log.append(session, subject, events)


def main() -> None:
    """Do what the command line says."""
    what, url, *rest = sys.argv[1:]
    engines = app.make_engines(Settings(), parse_url(url), ("x" * 48,))
    if what == "work":
        uvloop.run(_work(engines, float(rest[0])))
    elif what == "append":
        uvloop.run(_append(engines, float(rest[0]), UUID(rest[1])))
    else:
        uvloop.run(_flood(engines, float(rest[0]), [UUID(each) for each in rest[1:]]))
