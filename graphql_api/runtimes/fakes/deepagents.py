"""A fake deepagents-runtime: HTTP to start a run and ask for its state, a WebSocket to hear of it."""

import asyncio
import json
from collections.abc import Mapping
from contextlib import aclosing, suppress
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from graphql_api.runtimes.fakes import sockets
from graphql_api.runtimes.fakes.cues import Cue, Effect
from graphql_api.runtimes.fakes.deepagents_frames import DIALECT, play_of, wire_files
from graphql_api.runtimes.fakes.faults import Fault, Means, spoilt, without_faults
from graphql_api.runtimes.fakes.house import PACE_SECONDS, House, body_of, files_of, prompt_of
from graphql_api.runtimes.fakes.threads import Status, Thread

PREFIX = "/deepagents-runtime"

_REQUIRED = ("trace_id", "job_id", "agent_definition", "input_payload")
_POLL_SECONDS = 1.0
_STATES = {Status.RUNNING: "running", Status.COMPLETED: "completed", Status.FAILED: "failed"}


class DeepagentsFake:
    """The endpoints of deepagents-runtime.

    Args:
        house: Where its threads are.
    """

    def __init__(self, house: House) -> None:
        self._house = house
        self._arrivals = asyncio.Event()

    def routes(self) -> list[BaseRoute]:
        """Give the routes of the runtime, which has no way to cancel a run or to drop a thread."""
        return [
            Route(f"{PREFIX}/invoke", self._invoke, methods=["POST"]),
            Route(f"{PREFIX}/state/{{thread_id}}", self._state),
            WebSocketRoute(f"{PREFIX}/stream/{{thread_id}}", self._stream),
            Route("/health", self._health),
            Route("/ready", self._health),
        ]

    async def _health(self, _request: Request) -> Response:
        await self._house.dawdle(self._house.faults)
        if Fault.REFUSES in self._house.faults:
            return JSONResponse({"status": "unhealthy"}, 503)
        return JSONResponse({"status": "healthy"})

    async def _invoke(self, request: Request) -> Response:
        body, text = await body_of(request)
        if problems := _problems(body):
            return JSONResponse({"detail": problems}, 422)
        job_id = body["job_id"]
        faults = self._house.faults_of(text)
        if (refusal := await self._house.refusal(job_id, faults)) is not None:
            return refusal
        thread = self._start(job_id, body, text)
        if self._house.is_hidden(job_id, faults):
            return PlainTextResponse("Internal Server Error", 500)
        return JSONResponse({"thread_id": thread.thread_id, "status": "started"})

    def _start(self, job_id: str, body: Mapping[str, Any], text: str) -> Thread:
        """Start a run; one of a known thread goes on with it, unless it still runs."""
        faults = self._house.faults_of(text)
        thread_id = f"thread-of-{job_id}" if Fault.CHANGES_THREAD_ID in faults else job_id
        known = self._house.threads.get(thread_id)
        if known is not None and not known.is_over:
            known.starts += 1
            return known
        given = files_of(body["input_payload"])
        prompt = without_faults(prompt_of(body["input_payload"]))
        if self._house.take is not None:
            play = self._house.take.on(thread_id)
        else:
            frames = self._house.script(prompt, given, thread_id)
            play = play_of(frames, thread_id=thread_id, prompt=prompt, pace_seconds=PACE_SECONDS)
        play = spoilt(play, faults, Means(DIALECT, self._house.slow_seconds, self._house.huge))
        thread = Thread(thread_id, play, speed=self._house.speed, waits=True)
        thread.files = wire_files(given)
        thread.starts += 0 if known is None else known.starts
        self._house.threads[thread_id] = thread
        self._arrivals.set()
        self._arrivals = asyncio.Event()
        return thread

    async def _state(self, request: Request) -> Response:
        thread_id = request.path_params["thread_id"]
        thread = self._house.threads.get(thread_id)
        if thread is None:
            return JSONResponse({"detail": f"Thread {thread_id} not found"}, 404)
        if thread.play.lies:
            return JSONResponse(_state_body(thread_id, "completed", "Execution completed", {}, None))
        error = thread.play.error if thread.status is Status.FAILED else None
        status = _STATES.get(thread.status, "running")
        result = (thread.play.result or "Execution completed") if status == "completed" else None
        return JSONResponse(_state_body(thread_id, status, result, _generated(thread), error))

    async def _stream(self, websocket: WebSocket) -> None:
        await websocket.accept()
        hearing = asyncio.create_task(_until_gone(websocket))
        telling = asyncio.create_task(self._tell(websocket, websocket.path_params["thread_id"]))
        try:
            await asyncio.wait([hearing, telling], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (hearing, telling):
                task.cancel()
            await asyncio.gather(hearing, telling, return_exceptions=True)

    async def _tell(self, websocket: WebSocket, thread_id: str) -> None:
        thread = await self._arrival(websocket, thread_id)
        if thread.is_over:
            await _sum_up(websocket, thread)
        else:
            async with aclosing(thread.listen(thread.position)) as cues:
                async for cue, effect in cues:
                    if effect is not None:
                        await self._strike(websocket, thread, cue, effect)
                        return
                    await _send(websocket, cue)
        if thread.play.is_closed_politely:
            await websocket.close()
        else:
            sockets.cut(websocket)

    async def _arrival(self, websocket: WebSocket, thread_id: str) -> Thread:
        """Wait for a thread; until it is known it looks as if it ran."""
        number = 0
        while (thread := self._house.threads.get(thread_id)) is None:
            progress = f"Execution in progress... ({number * _POLL_SECONDS:.1f}s)"
            arrivals = self._arrivals
            await _send(websocket, Cue("on_state_update", {"messages": progress, "status": "running"}))
            with suppress(TimeoutError):
                async with asyncio.timeout(_POLL_SECONDS):
                    while thread_id not in self._house.threads:
                        await arrivals.wait()
                        arrivals = self._arrivals
            number += 1
        return thread

    async def _strike(self, websocket: WebSocket, thread: Thread, cue: Cue, effect: Effect) -> None:
        if effect is Effect.CLOSE:
            await websocket.close()
            return
        sockets.cut(websocket, _text(cue).encode())
        if effect is Effect.FORGET:
            await self._house.forget(thread.thread_id)


async def _until_gone(websocket: WebSocket) -> None:
    with suppress(WebSocketDisconnect):
        while True:
            await websocket.receive_text()


async def _send(websocket: WebSocket, cue: Cue) -> None:
    if cue.raw is None:
        await websocket.send_text(_text(cue))
    else:
        sockets.send_raw(websocket, cue.raw, is_binary=cue.is_binary)


async def _sum_up(websocket: WebSocket, thread: Thread) -> None:
    """Tell somebody who comes when the run is over how it ended."""
    if thread.play.error is not None:
        await _send(websocket, DIALECT.fail(thread.play.error))
        return
    result = {"output": thread.play.result or "Execution completed"}
    content = {"messages": "Execution completed", "files": _generated(thread), "result": result}
    await _send(websocket, Cue("on_state_update", content))
    await _send(websocket, DIALECT.end)


def _generated(thread: Thread) -> Mapping[str, Any]:
    """Give the files that the run wrote; none before it wrote any."""
    return thread.files if any(cue.files is not None for cue in thread.play.cues[: thread.position]) else {}


def _text(cue: Cue) -> str:
    return json.dumps({"event_type": cue.event, "data": cue.data})


def _state_body(
    thread_id: str, status: str, result: str | None, files: Mapping[str, Any], error: str | None
) -> dict[str, Any]:
    return {
        "thread_id": thread_id,
        "status": status,
        "result": None if result is None else {"output": result},
        "generated_files": dict(files),
        "error": error,
    }


def _problems(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Find what the runtime would refuse: a field that is missing or empty."""
    missing = [
        {"type": "missing", "loc": ["body", name], "msg": "Field required"} for name in _REQUIRED if name not in body
    ]
    empty = [
        {"type": "value_error", "loc": ["body", name], "msg": f"Value error, {name} cannot be empty"}
        for name in _REQUIRED
        if name in body and not (body[name].strip() if isinstance(body[name], str) else body[name])
    ]
    return missing + empty
