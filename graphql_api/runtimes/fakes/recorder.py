"""Recording a runtime: one real run, with all that comes over the wire, and when."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from graphql_api.runtimes.addresses import RuntimeAddress
from graphql_api.runtimes.deepagents.adapter import DEFAULT_MODEL, PREFIX
from graphql_api.runtimes.deepagents.invocation import invocation
from graphql_api.runtimes.http import HANDSHAKE_SECONDS, authorization_of, calling, make_client
from graphql_api.runtimes.normalizing.inputs import graph_input
from graphql_api.runtimes.protocol import RunRequest, RuntimeFailure

_FIELDS = {"event", "data", "id"}


class Recorder:
    """Makes one recording; each line is told as soon as there is one.

    Args:
        address: Where the runtime is.
        tell: Takes the lines.
    """

    def __init__(self, address: RuntimeAddress, tell: Callable[[Mapping[str, Any]], None]) -> None:
        self._address = address
        self._tell = tell
        self._root = address.url.removesuffix(PREFIX)
        self._headers = authorization_of(address)
        self._client = make_client(replace(address, url=self._root, credentials=None))
        self._client.headers.update(self._headers)
        if address.token is not None:
            self._client.headers["X-Api-Key"] = address.token
        self._begun = time.monotonic()

    async def deepagents(self, request: RunRequest) -> None:
        """Record a run of a deepagents-runtime, until it closes the stream.

        Raises:
            RuntimeFailure: When the runtime can't be reached, or refuses.
        """
        provider, _, model = self._address.options.get("model", DEFAULT_MODEL).partition(":")
        order = invocation(request, model={"provider": provider, "model": model})
        job_id = order["job_id"]
        async with self._client, asyncio.TaskGroup() as tasks:
            is_connected = asyncio.Event()
            listening = tasks.create_task(self._listen("ws-early", job_id, is_connected))
            await is_connected.wait()
            started = await self._call("invoke", "POST", f"{PREFIX}/invoke", json=order)
            thread_id = str(started.get("thread_id") or job_id)
            if thread_id != job_id:
                listening.cancel()
                listening = tasks.create_task(self._listen("ws-1", thread_id, asyncio.Event()))
            await asyncio.wait([listening])
            await self._call("state-final", "GET", f"{PREFIX}/state/{quote(thread_id, safe='')}")

    async def langgraph(self, request: RunRequest) -> None:
        """Record a run of a LangGraph Server, until it closes the stream.

        Raises:
            RuntimeFailure: When the server can't be reached, or refuses.
        """
        async with self._client:
            order = {"thread_id": str(request.execution_id), "if_exists": "do_nothing"}
            thread_id = (await self._call("thread", "POST", "/threads", json=order))["thread_id"]
            run_order = {
                "assistant_id": self._address.options.get("assistant", "agent"),
                "input": graph_input(request),
                "stream_mode": ["updates", "messages-tuple", "custom"],
                "stream_subgraphs": True,
                "stream_resumable": True,
                "on_disconnect": "continue",
            }
            run_id = (await self._call("run", "POST", f"/threads/{thread_id}/runs", json=run_order))["run_id"]
            await self._stream("stream", f"/threads/{thread_id}/runs/{run_id}/stream")
            await self._call("run-after", "GET", f"/threads/{thread_id}/runs/{run_id}")
            await self._call("state", "GET", f"/threads/{thread_id}/state")
            await self._call("thread-after", "GET", f"/threads/{thread_id}")

    async def _call(self, source: str, method: str, path: str, **options: Any) -> Mapping[str, Any]:  # noqa: ANN401 - httpx's
        """Call the runtime, and note what it answers."""
        begun = time.monotonic()
        async with calling():
            answer = await self._client.request(method, path, **options)
            body = _json(answer.text)
            took = round(time.monotonic() - begun, 3)
            self._note(source, status=answer.status_code, body=body, took=took)
            answer.raise_for_status()
        return body if isinstance(body, Mapping) else {}

    async def _listen(self, source: str, thread_id: str, is_connected: asyncio.Event) -> None:
        """Note what comes over a WebSocket, until it is closed."""
        url = f"{self._root.replace('http', 'ws', 1)}{PREFIX}/stream/{quote(thread_id, safe='')}"
        try:
            async with connect(
                url, additional_headers=self._headers, open_timeout=HANDSHAKE_SECONDS, max_size=None
            ) as socket:
                self._note(source, what="connected")
                is_connected.set()
                while True:
                    message = await socket.recv(decode=False)
                    self._note(source, event=_json(message.decode(errors="replace")))
        except ConnectionClosed as error:
            closed = {"code": error.rcvd.code, "reason": error.rcvd.reason} if error.rcvd else {}
            self._note(source, what="closed" if closed else "exc", **(closed or {"exc": str(error)}))
        except (OSError, TimeoutError, WebSocketException) as error:
            raise RuntimeFailure(f"The stream can't be opened: {error}", is_retryable=True) from error

    async def _stream(self, source: str, path: str) -> None:
        """Note what comes as server-sent events, from the first, until the stream is closed."""
        async with calling(), self._client.stream("GET", path, headers={"Last-Event-ID": "-1"}) as answer:
            self._note(source, what="response", status=answer.status_code, headers=dict(answer.headers))
            answer.raise_for_status()
            count = 0
            async with aclosing(_events(answer)) as events:  # type: ignore[type-var]  # it is a generator
                async for event in events:
                    count += 1
                    self._note(source, sse=event)
            self._note(source, what="closed", n=count)

    def _note(self, source: str, **line: Any) -> None:  # noqa: ANN401 - any JSON value
        self._tell({"t": round(time.monotonic() - self._begun, 3), "src": source, **line})


async def _events(answer: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    fields: dict[str, str] = {}
    async for line in answer.aiter_lines():
        name, _, value = line.partition(":")
        if not line and fields:
            yield {"event": fields.get("event", "message"), "data": _json(fields.get("data", "")), **_id(fields)}
            fields = {}
        elif name in _FIELDS:
            value = value.removeprefix(" ")
            fields[name] = f"{fields[name]}\n{value}" if name in fields else value


def _id(fields: Mapping[str, str]) -> dict[str, str]:
    return {"id": fields["id"]} if "id" in fields else {}


def _json(text: str) -> Any:  # noqa: ANN401 - any JSON value
    """Read JSON; give what is none as it is."""
    try:
        return json.loads(text)
    except ValueError:
        return text
