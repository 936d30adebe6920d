"""A fake LangGraph Server: threads and runs over HTTP, streams as server-sent events that can be read again."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any
from uuid import UUID, uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from graphql_api.runtimes.fakes.cues import Cue, Effect
from graphql_api.runtimes.fakes.faults import Fault, Means, spoilt, without_faults
from graphql_api.runtimes.fakes.house import PACE_SECONDS, House, body_of, files_of, prompt_of
from graphql_api.runtimes.fakes.langgraph_frames import DIALECT, play_of, wire_files
from graphql_api.runtimes.fakes.threads import Status, Thread

ASSISTANT = "agent"
"""The one graph that it has."""

_CREATED_AT = "2026-11-21T02:01:12.838254+00:00"
_TASK = "a96d2664-d20b-a52c-ba37-5af86bf90381"
_FIRST_ID = 1_795_226_490_000
_FRAMES_A_MILLISECOND = 3
"""Frames that share an id, as in the real one: whoever resumes after an id misses the others that have it."""

_RUN_STATUS = {
    Status.RUNNING: "running",
    Status.COMPLETED: "success",
    Status.FAILED: "error",
    Status.INTERRUPTED: "interrupted",
}


class LangGraphFake:
    """The endpoints of LangGraph Server.

    Args:
        house: Where its threads are.
    """

    def __init__(self, house: House) -> None:
        self._house = house
        self._given: dict[str, dict[str, str]] = {}
        self._runs: dict[str, str] = {}

    def routes(self) -> list[BaseRoute]:
        """Give the routes of the server, as far as runtimes use them."""
        thread, run = "/threads/{thread_id}", "/threads/{thread_id}/runs/{run_id}"
        return [
            Route("/ok", self._ok),
            Route("/assistants/search", self._assistants, methods=["POST"]),
            Route("/threads", self._create_thread, methods=["POST"]),
            Route(thread, self._show_thread, methods=["GET"]),
            Route(thread, self._delete_thread, methods=["DELETE"]),
            Route(f"{thread}/state", self._show_state),
            Route(f"{thread}/runs", self._create_run, methods=["POST"]),
            Route(f"{thread}/runs", self._list_runs, methods=["GET"]),
            Route(run, self._show_run),
            Route(f"{run}/stream", self._stream),
            Route(f"{run}/join", self._join),
            Route(f"{run}/cancel", self._cancel, methods=["POST"]),
        ]

    async def _ok(self, _request: Request) -> Response:
        await self._house.dawdle(self._house.faults)
        if Fault.REFUSES in self._house.faults:
            return JSONResponse({"detail": "Overloaded"}, 503)
        return JSONResponse({"ok": True, "services": {}})

    async def _assistants(self, _request: Request) -> Response:
        return JSONResponse([{"assistant_id": str(UUID(int=1)), "graph_id": ASSISTANT, "name": ASSISTANT}])

    async def _create_thread(self, request: Request) -> Response:
        body, _ = await body_of(request)
        asked_for = str(body.get("thread_id") or uuid4())
        if not _is_uuid(asked_for):
            return _invalid()
        await self._house.dawdle(self._house.faults)
        if asked_for in self._house.aliases and body.get("if_exists") != "do_nothing":
            return JSONResponse({"detail": f"Thread with ID {asked_for} already exists"}, 409)
        changes = Fault.CHANGES_THREAD_ID in self._house.faults
        thread_id = self._house.aliases.setdefault(asked_for, str(uuid4()) if changes else asked_for)
        self._given.setdefault(thread_id, {})
        return JSONResponse(self._thread_body(thread_id))

    async def _show_thread(self, request: Request) -> Response:
        thread_id = request.path_params["thread_id"]
        return self._missing(thread_id) or JSONResponse(self._thread_body(thread_id))

    async def _delete_thread(self, request: Request) -> Response:
        thread_id = request.path_params["thread_id"]
        if (missing := self._missing(thread_id)) is not None:
            return missing
        await self._forget(thread_id)
        return Response(status_code=204)

    async def _show_state(self, request: Request) -> Response:
        thread_id = request.path_params["thread_id"]
        if (missing := self._missing(thread_id)) is not None:
            return missing
        interrupts = self._interrupts(thread_id)
        return JSONResponse(
            {
                "values": self._values(thread_id),
                "next": ["tools"] if interrupts else [],
                "tasks": [{"id": _TASK, "name": "tools", "interrupts": interrupts}] if interrupts else [],
                "interrupts": interrupts,
                "metadata": {},
                "created_at": _CREATED_AT,
            }
        )

    async def _create_run(self, request: Request) -> Response:
        thread_id = request.path_params["thread_id"]
        if (missing := self._missing(thread_id)) is not None:
            return missing
        body, text = await body_of(request)
        faults = self._house.faults_of(text)
        if (refusal := await self._house.refusal(thread_id, faults)) is not None:
            return refusal
        before = self._house.threads.get(thread_id)
        if before is not None and not before.is_over:
            detail = "Thread is already running a task. Wait for it to finish or choose a different multitask strategy."
            return JSONResponse({"detail": detail}, 409)
        started = self._renamed(thread_id) if Fault.CHANGES_THREAD_ID in faults else thread_id
        self._start(started, body, text)
        if self._house.is_hidden(thread_id, faults):
            return PlainTextResponse("Internal Server Error", 500)
        return JSONResponse(self._run_body(started))

    def _renamed(self, thread_id: str) -> str:
        """Give a thread another id, by which it is found from now on; the old one is not known any more."""
        renamed = str(uuid4())
        self._given[renamed] = self._given.pop(thread_id)
        self._house.aliases.update({asked: renamed for asked, real in self._house.aliases.items() if real == thread_id})
        return renamed

    def _start(self, thread_id: str, body: Mapping[str, Any], text: str) -> None:
        before = self._house.threads.get(thread_id)
        given_input = body.get("input") or {}
        given = {**self._given[thread_id], **files_of(given_input)}
        run_id = self._runs[thread_id] = str(uuid4())
        prompt = without_faults(prompt_of(given_input))
        if self._house.take is not None:
            play = self._house.take.on(thread_id)
        else:
            frames = self._house.script(prompt, given, thread_id)
            play = play_of(frames, thread_id=thread_id, run_id=run_id, given=given, pace_seconds=PACE_SECONDS)
        faults = self._house.faults_of(text)
        play = spoilt(play, faults, Means(DIALECT, self._house.slow_seconds, self._house.huge))
        thread = Thread(thread_id, play, speed=self._house.speed, waits=False)
        thread.files = wire_files(given)
        thread.starts += 0 if before is None else before.starts
        self._house.threads[thread_id] = thread

    async def _list_runs(self, request: Request) -> Response:
        thread_id = request.path_params["thread_id"]
        if (missing := self._missing(thread_id)) is not None:
            return missing
        return JSONResponse([self._run_body(thread_id)] if thread_id in self._house.threads else [])

    async def _show_run(self, request: Request) -> Response:
        thread_id, run_id = request.path_params["thread_id"], request.path_params["run_id"]
        return self._missing(thread_id, run_id) or JSONResponse(self._run_body(thread_id))

    async def _join(self, request: Request) -> Response:
        thread_id, run_id = request.path_params["thread_id"], request.path_params["run_id"]
        if (missing := self._missing(thread_id, run_id)) is not None:
            return missing
        await self._house.threads[thread_id].ended()
        return JSONResponse(self._values(thread_id))

    async def _cancel(self, request: Request) -> Response:
        thread_id, run_id = request.path_params["thread_id"], request.path_params["run_id"]
        if (missing := self._missing(thread_id, run_id)) is not None:
            return missing
        thread = self._house.threads[thread_id]
        if thread.is_over:
            return JSONResponse({"detail": "Run is not active, and can't be cancelled."}, 409)
        await thread.stop()
        return JSONResponse({})

    async def _stream(self, request: Request) -> Response:
        thread_id, run_id = request.path_params["thread_id"], request.path_params["run_id"]
        if (missing := self._missing(thread_id, run_id)) is not None:
            return missing
        thread = self._house.threads[thread_id]
        start = _start_after(request.headers.get("last-event-id"), thread)
        return _EventStream(self, thread, start)

    async def forget(self, thread: Thread) -> None:
        """Know nothing of a thread any more."""
        await self._forget(thread.thread_id)

    async def _forget(self, thread_id: str) -> None:
        self._given.pop(thread_id, None)
        self._runs.pop(thread_id, None)
        for asked_for in [asked_for for asked_for, real in self._house.aliases.items() if real == thread_id]:
            del self._house.aliases[asked_for]
        await self._house.forget(thread_id)

    def _missing(self, thread_id: str, run_id: str | None = None) -> Response | None:
        """Make the answer for what is not there; None when it is."""
        if not _is_uuid(thread_id):
            return _invalid()
        if thread_id not in self._given:
            return JSONResponse({"detail": f"Thread with ID {thread_id} not found"}, 404)
        if run_id is not None and self._runs.get(thread_id) != run_id:
            return JSONResponse({"detail": "Run not found"}, 404)
        return None

    def _values(self, thread_id: str) -> dict[str, Any]:
        thread = self._house.threads.get(thread_id)
        if thread is None:
            return {}
        last: dict[str, Any] = {"type": "ai", "content": thread.play.result, "id": "last", "tool_calls": []}
        said = [last] if thread.status is Status.COMPLETED and thread.play.result else []
        return {"messages": said, "files": {} if thread.play.lies else dict(thread.files)}

    def _interrupts(self, thread_id: str) -> list[dict[str, Any]]:
        """Give what the run asks, once it has stopped for that."""
        thread = self._house.threads.get(thread_id)
        if thread is None or not (thread.play.is_interrupted and thread.is_over):
            return []
        return [asked for cue in thread.play.cues if _asks(cue) for asked in cue.data["__interrupt__"]]

    def _status(self, thread: Thread) -> str:
        return "success" if thread.play.lies else _RUN_STATUS[thread.status]

    def _thread_body(self, thread_id: str) -> dict[str, Any]:
        thread = self._house.threads.get(thread_id)
        words = {"running": "busy", "error": "error", "interrupted": "interrupted"}
        failed = thread is not None and thread.status is Status.FAILED
        return {
            "thread_id": thread_id,
            "created_at": _CREATED_AT,
            "updated_at": _CREATED_AT,
            "metadata": {},
            "status": "idle" if thread is None else words.get(self._status(thread), "idle"),
            "config": {},
            "values": self._values(thread_id) or None,
            "error": {"error": "RuntimeError", "message": thread.play.error} if thread and failed else None,
            "interrupts": {_TASK: interrupts} if (interrupts := self._interrupts(thread_id)) else {},
        }

    def _run_body(self, thread_id: str) -> dict[str, Any]:
        return {
            "run_id": self._runs[thread_id],
            "thread_id": thread_id,
            "assistant_id": str(UUID(int=1)),
            "created_at": _CREATED_AT,
            "updated_at": _CREATED_AT,
            "metadata": {"graph_id": ASSISTANT},
            "status": self._status(self._house.threads[thread_id]),
            "multitask_strategy": "reject",
        }


class _EventStream(Response):
    """Server-sent events of a thread, which may break off anywhere.

    Args:
        fake: Whose stream it is.
        thread: That is listened to.
        start: First frame.
    """

    media_type = "text/event-stream"

    def __init__(self, fake: LangGraphFake, thread: Thread, start: int) -> None:
        super().__init__(headers={"cache-control": "no-store"})
        self._fake = fake
        self._thread = thread
        self._start = start

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        headers = [(key, value) for key, value in self.raw_headers if key != b"content-length"]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        hearing = asyncio.create_task(_until_gone(receive))
        telling = asyncio.create_task(self._tell(send))
        try:
            await asyncio.wait([hearing, telling], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (hearing, telling):
                task.cancel()
            await asyncio.gather(hearing, telling, return_exceptions=True)

    async def _tell(self, send: Send) -> None:
        await send({"type": "http.response.body", "body": b": heartbeat\r\n\r\n", "more_body": True})
        async with aclosing(self._blocks()) as blocks:
            async for block in blocks:
                await send({"type": "http.response.body", "body": block, "more_body": True})
                if not block.endswith(b"\r\n\r\n"):
                    # Returning before the body is complete makes the server cut the connection.
                    return
        await send({"type": "http.response.body", "body": b""})

    async def _blocks(self) -> AsyncGenerator[bytes]:
        """Give one frame after the other; one that is cut off is the last."""
        position = self._start
        async with aclosing(self._thread.listen(self._start)) as cues:
            async for cue, effect in cues:
                block = _block(cue, position)
                position += 1
                if effect is None:
                    yield block
                    continue
                if effect is Effect.FORGET:
                    await self._fake.forget(self._thread)
                if effect is not Effect.CLOSE:
                    yield block[: len(block) // 2]
                return


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _block(cue: Cue, index: int) -> bytes:
    content = json.dumps(cue.data).encode() if cue.raw is None else cue.raw
    return b"event: %s\r\ndata: %s\r\nid: %s\r\n\r\n" % (cue.event.encode(), content, _event_id(index).encode())


def _event_id(index: int) -> str:
    return f"{_FIRST_ID + index // _FRAMES_A_MILLISECOND}-0"


def _start_after(last: str | None, thread: Thread) -> int:
    """Find the first frame for somebody who has seen an event; without one they hear what comes from now on."""
    if last is None:
        return thread.position
    moments = last.partition("-")[0]
    if not moments.isdigit():
        return 0
    return max(0, int(moments) - _FIRST_ID + 1) * _FRAMES_A_MILLISECOND


def _asks(cue: Cue) -> bool:
    return isinstance(cue.data, dict) and "__interrupt__" in cue.data


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _invalid() -> Response:
    return JSONResponse({"detail": "Invalid thread ID: must be a UUID"}, 422)
