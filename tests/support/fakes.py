"""Fake runtimes, and their clients: as thin as can be, so that tests see what is on the wire."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError

from graphql_api.runtimes.fakes.recordings import Protocol, Take, read_takes
from graphql_api.runtimes.fakes.server import FakeRuntime
from support.waiting import WAIT_SECONDS

RECORDINGS = Path(__file__).parents[1] / "fixtures" / "runtimes"

CUT = "cut"
"""Stands after the last message of a stream that was cut off."""


class Event(NamedTuple):
    """A server-sent event."""

    event: str
    data: str
    id: str


def take(recording: str, source: str) -> Take:
    """Read a stream of a recording."""
    return read_takes(RECORDINGS / f"{recording}.jsonl")[source]


@dataclass
class DeepagentsClient:
    """Speaks to a deepagents-runtime."""

    base: str
    http: httpx.AsyncClient

    async def invoke(self, job_id: str, prompt: str = "Do it.", **payload: Any) -> httpx.Response:  # noqa: ANN401 - JSON
        """Start a run."""
        body = {
            "trace_id": "trace",
            "job_id": job_id,
            "agent_definition": {"nodes": []},
            "input_payload": {"messages": [{"role": "user", "content": prompt}], **payload},
        }
        return await self.http.post("/deepagents-runtime/invoke", json=body)

    async def state(self, thread_id: str) -> dict[str, Any]:
        """Ask for the state of a thread."""
        state: dict[str, Any] = (await self.http.get(f"/deepagents-runtime/state/{thread_id}")).json()
        return state

    @asynccontextmanager
    async def stream(self, thread_id: str) -> AsyncIterator[ClientConnection]:
        """Listen to a thread."""
        base = self.base.replace("http", "ws", 1)
        url = f"{base}/deepagents-runtime/stream/{thread_id}"
        async with connect(url, max_size=None, compression=None) as socket:
            yield socket

    async def run(self, job_id: str, prompt: str = "Do it.") -> list[str | bytes]:
        """Listen, start a run, and give all that is heard."""
        async with self.stream(job_id) as socket:
            await self.invoke(job_id, prompt)
            return await heard(socket)


async def heard(socket: ClientConnection) -> list[str | bytes]:
    """Give what comes until the connection is closed; `CUT` is last when that was not polite."""
    messages: list[str | bytes] = []
    try:
        async for message in socket:
            messages.append(message)  # noqa: PERF401 - what came before the cut is kept
    except ConnectionClosedError:
        messages.append(CUT)
    return messages


def kinds(messages: list[str | bytes]) -> list[str]:
    """Name the types of messages, without the progress of a thread that is not known yet."""
    parsed = [json.loads(message) for message in messages if message != CUT]
    return [message["event_type"] for message in parsed if "Execution in progress" not in str(message)]


@dataclass
class LangGraphClient:
    """Speaks to a LangGraph Server."""

    http: httpx.AsyncClient

    async def start(self, thread_id: UUID, prompt: str = "Do it.", **given: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        """Start a run on a thread of one's own."""
        thread = {"thread_id": str(thread_id), "if_exists": "do_nothing"}
        await self.http.post("/threads", json=thread)
        answer = await self.start_run(thread_id, prompt, **given)
        run: dict[str, Any] = answer.json()
        return run

    async def start_on_a_new_thread(self) -> dict[str, Any]:
        """Start a run on a thread that nobody else has."""
        return await self.start(uuid4())

    async def start_run(self, thread_id: UUID, prompt: str = "Do it.", **given: Any) -> httpx.Response:  # noqa: ANN401 - JSON
        """Start a run on a thread that is there."""
        body = {"assistant_id": "agent", "input": {"messages": [{"role": "user", "content": prompt}], **given}}
        return await self.http.post(f"/threads/{thread_id}/runs", json=body)

    async def get(self, path: str) -> Any:  # noqa: ANN401 - any JSON
        """Read something."""
        return (await self.http.get(path)).json()

    async def events(self, run: dict[str, Any], last: str | None = "-1") -> list[Event]:
        """Read the stream of a run to its end."""
        headers = {} if last is None else {"Last-Event-ID": last}
        path = f"/threads/{run['thread_id']}/runs/{run['run_id']}/stream"
        async with self.http.stream("GET", path, headers=headers) as answer:
            return parsed((await answer.aread()).decode())


def parsed(text: str) -> list[Event]:
    """Read server-sent events; comments are none."""
    blocks = [block for block in text.split("\r\n\r\n") if block and not block.startswith(":")]
    return [Event(*(line.partition(": ")[2] for line in block.split("\r\n"))) for block in blocks]


@asynccontextmanager
async def deepagents(**options: Any) -> AsyncIterator[tuple[FakeRuntime, DeepagentsClient]]:  # noqa: ANN401 - FakeRuntime's
    """Serve a fake deepagents-runtime that wastes no time, with a client."""
    fake = FakeRuntime(Protocol.DEEPAGENTS, **{"speed": 0, **options})
    async with fake.serving() as url:
        base = url.removeprefix("deepagents+")
        async with httpx.AsyncClient(base_url=base, timeout=WAIT_SECONDS) as http:
            yield fake, DeepagentsClient(base, http)


@asynccontextmanager
async def langgraph(**options: Any) -> AsyncIterator[tuple[FakeRuntime, LangGraphClient]]:  # noqa: ANN401 - FakeRuntime's
    """Serve a fake LangGraph Server that wastes no time, with a client."""
    fake = FakeRuntime(Protocol.LANGGRAPH, **{"speed": 0, **options})
    async with fake.serving() as url:
        base = url.removeprefix("langgraph+").partition("?")[0]
        async with httpx.AsyncClient(base_url=base, timeout=WAIT_SECONDS) as http:
            yield fake, LangGraphClient(http)
