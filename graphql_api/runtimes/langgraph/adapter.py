"""LangGraph Server, as `langgraph dev`, LangGraph Platform and self-hosted servers speak.

An execution is a thread of its name with one run. The stream has no end of its own: when it closes, the run is asked
how it ended, which becomes the last frame. Each reader gets all from the first.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any
from urllib.parse import quote

import httpx
import orjson

from graphql_api.runtimes.addresses import RuntimeAddress
from graphql_api.runtimes.http import calling, make_client, retrying, thread_named
from graphql_api.runtimes.langgraph.stream import Position, frames_of
from graphql_api.runtimes.normalizing.endings import LOST, interrupt_of, run_ended
from graphql_api.runtimes.normalizing.files import read_files
from graphql_api.runtimes.normalizing.graphs import RUN, GraphNormalizer
from graphql_api.runtimes.normalizing.inputs import graph_input
from graphql_api.runtimes.normalizing.messages import role_of
from graphql_api.runtimes.normalizing.texts import list_of, mapping_of, name_of, text_of
from graphql_api.runtimes.protocol import (
    Capabilities,
    Frame,
    Health,
    Normalizer,
    Resume,
    RunRequest,
    RuntimeFailure,
    Snapshot,
    ThreadRef,
    ThreadStatus,
)

_DEFAULT_ASSISTANT = "agent"
_OPTIONS = {"assistant", "files"}
_HEALTH_SECONDS = 5.0
_UNFINISHED = {"pending", "running"}
_MAX_ANSWER_BYTES = 64 * 1024 * 1024
_MAX_DETAIL_CHARACTERS = 500


class LangGraphRuntime:
    """Runs one assistant of a LangGraph Server.

    Args:
        address: Where it is. Options: `assistant`, the id of an assistant or the name of a graph, `agent` when it is
            not given; `files=lines` for graphs on deepagents before 0.5. A token is sent as `X-Api-Key`.

    Raises:
        ValueError: When an option is unknown or has no meaning.
    """

    name = "langgraph"
    capabilities = Capabilities(
        tokens=True,
        tools=True,
        files_in_stream=True,
        files_in_state=True,
        resume=Resume.REPLAY,
        cancel=True,
        interrupts=True,
    )

    def __init__(self, address: RuntimeAddress) -> None:
        options = address.known_options(_OPTIONS)
        self._assistant = options.get("assistant") or _DEFAULT_ASSISTANT
        form = options.get("files", "text")
        if form not in {"text", "lines"}:
            raise ValueError(f"files is text or lines, not {form!r}")
        self._as_lines = form == "lines"
        self._client = make_client(address)
        if address.token is not None:
            self._client.headers["X-Api-Key"] = address.token

    async def health(self) -> Health:
        """Ask whether the server answers."""
        try:
            answer = await self._ask("GET", "/ok", timeout=_HEALTH_SECONDS)
        except RuntimeFailure as error:
            return Health(is_healthy=False, detail=error.message)
        return Health(is_healthy=mapping_of(answer).get("ok") is True)

    async def start(self, request: RunRequest) -> ThreadRef:
        """Start the run of an execution, or find it: the thread has its id, and no other run.

        Raises:
            RuntimeFailure: When the server refuses or can't be reached.
        """
        async for attempt in retrying():
            with attempt:
                return await self._start(request)
        raise AssertionError  # retrying() ends with a return or an error

    async def _start(self, request: RunRequest) -> ThreadRef:
        order = {"thread_id": str(request.execution_id), "if_exists": "do_nothing"}
        thread_id = name_of(mapping_of(await self._ask("POST", "/threads", json=order)).get("thread_id"))
        if thread_id is None:
            raise RuntimeFailure("The runtime made no thread.", is_retryable=True)
        thread = await self._find(thread_id) or await self._create(thread_id, request) or await self._find(thread_id)
        if thread is None:
            raise RuntimeFailure("The runtime is busy with this thread, and has no run for it.", is_retryable=True)
        return thread

    async def events(self, request: RunRequest, thread: ThreadRef) -> AsyncIterator[Frame]:  # noqa: ARG002  the server remembers the request
        """Give all frames of the run from the first, and how it ended as the last one.

        Raises:
            RuntimeFailure: When the stream is lost before the run's end.
        """
        position = Position()
        async with aclosing(self._read(thread, position)) as frames:
            async for frame in frames:
                yield frame
        end = await self._end(thread)
        # Who was cut off politely just before the run was over has not seen all of it.
        async with aclosing(self._read(thread, position)) as frames:
            async for frame in frames:
                yield frame
        yield end

    def normalizer(self, request: RunRequest) -> Normalizer:
        """Make the normalizer of one thread."""
        return GraphNormalizer(request)

    async def snapshot(self, thread: ThreadRef) -> Snapshot:
        """Ask for the state of a thread.

        Raises:
            RuntimeFailure: When the server can't be reached.
        """
        async for attempt in retrying():
            with attempt:
                return _snapshot(await self._state(thread))
        raise AssertionError  # retrying() ends with a return or an error

    async def cancel(self, thread: ThreadRef) -> bool:
        """Stop the run, and wait until it is; False when it is over or unknown."""
        options = {"wait": "true", "action": "interrupt"}
        try:
            return await self._ask("POST", f"{_run_path(thread)}/cancel", params=options) is not None
        except _Conflict:
            return False

    async def forget(self, thread: ThreadRef) -> bool:
        """Delete the thread with all that it holds; False when it is unknown."""
        return await self._ask("DELETE", _thread_path(thread.thread_id)) is not None

    async def close(self) -> None:
        """Let go of connections."""
        await self._client.aclose()

    async def _find(self, thread_id: str) -> ThreadRef | None:
        """Find the run that an earlier start made."""
        runs = [mapping_of(run) for run in list_of(await self._ask("GET", f"{_thread_path(thread_id)}/runs"))]
        return _thread_of(min(runs, key=lambda run: str(run.get("created_at")), default=None), thread_id)

    async def _create(self, thread_id: str, request: RunRequest) -> ThreadRef | None:
        """Create the run; None when the thread has one, which another start made meanwhile."""
        order = {
            "assistant_id": self._assistant,
            "input": graph_input(request, as_lines=self._as_lines),
            "stream_mode": ["updates", "messages-tuple", "custom"],
            "stream_subgraphs": True,
            "stream_resumable": True,
            "multitask_strategy": "reject",
            "on_disconnect": "continue",
        }
        try:
            run = await self._ask("POST", f"{_thread_path(thread_id)}/runs", json=order)
        except _Conflict:
            return None
        return _thread_of(run, thread_id)

    async def _read(self, thread: ThreadRef, position: Position) -> AsyncGenerator[Frame]:
        """Give the frames that a reader has not seen; none when the run is unknown."""
        # Without `stream_mode`, which would cost the events of subgraphs.
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store", "Last-Event-ID": position.before}
        async with calling(), self._client.stream("GET", f"{_run_path(thread)}/stream", headers=headers) as response:
            if response.status_code == httpx.codes.NOT_FOUND:
                return
            await _refuse(response)
            async with aclosing(frames_of(response, position)) as frames:
                async for frame in frames:
                    yield frame

    async def _end(self, thread: ThreadRef) -> Frame:
        """Give the frame of how the run ended, once its stream is over."""
        state = await self._state(thread)
        if state["status"] in _UNFINISHED:
            # It may end any moment now, with frames that this reader would never see.
            raise RuntimeFailure("The runtime closed the stream of a run that goes on.", is_retryable=True)
        state["values"] = {key: state["values"][key] for key in ("files", "todos") if key in state["values"]}
        return Frame(RUN, state)

    async def _state(self, thread: ThreadRef) -> dict[str, Any]:
        """Ask for what a `RUN` frame holds."""
        run = await self._ask("GET", _run_path(thread))
        status = LOST if run is None else str(mapping_of(run).get("status"))
        state = None if status in _UNFINISHED | {LOST} else await self._ask("GET", _thread_path(thread.thread_id))
        found = mapping_of(state)
        return {
            "status": status,
            "error": found.get("error"),
            "interrupts": [
                item for of_task in mapping_of(found.get("interrupts")).values() for item in list_of(of_task)
            ],
            "values": dict(mapping_of(found.get("values"))),
        }

    async def _ask(self, method: str, path: str, **options: Any) -> Any:  # noqa: ANN401 - httpx's options, any JSON value
        """Call the server; give what it answers, and None when there is nothing under the path.

        Raises:
            RuntimeFailure: When it refuses or can't be reached.
        """
        async with calling(), self._client.stream(method, path, **options) as response:
            if response.status_code == httpx.codes.NOT_FOUND:
                return None
            await _refuse(response)
            body = await _body(response)
        try:
            return orjson.loads(body or b"{}")
        except orjson.JSONDecodeError as error:
            raise RuntimeFailure("The runtime answered with something else than JSON.", is_retryable=True) from error


class _Conflict(RuntimeFailure):
    """The thread has a run already."""


def _thread_path(thread_id: str) -> str:
    return f"/threads/{quote(thread_id, safe='')}"


def _run_path(thread: ThreadRef) -> str:
    return f"{_thread_path(thread.thread_id)}/runs/{quote(thread.handle['run_id'], safe='')}"


def _thread_of(run: Any, asked_for: str) -> ThreadRef | None:  # noqa: ANN401 - any JSON value
    """Give the thread of a run, which is the one that the server names; None when there is no run."""
    fields = mapping_of(run)
    run_id = name_of(fields.get("run_id"))
    if run_id is None:
        return None
    thread_id = thread_named(name_of(fields.get("thread_id")) or asked_for)
    return ThreadRef(thread_id, {"run_id": thread_named(run_id)})


def _snapshot(state: Mapping[str, Any]) -> Snapshot:
    if state["status"] in _UNFINISHED:
        return Snapshot(ThreadStatus.RUNNING)
    if state["status"] == LOST:
        return Snapshot(ThreadStatus.UNKNOWN)
    values = state["values"]
    ended = run_ended(
        state["status"],
        error=state["error"],
        interrupts=dict(map(interrupt_of, state["interrupts"])),
        summary=_last_words(values),
    )
    files = read_files(values["files"]) if isinstance(values.get("files"), Mapping) else None
    return Snapshot(
        ThreadStatus.COMPLETED if ended.error is None else ThreadStatus.FAILED,
        None if files is None else {path: text for path, text in files.items() if isinstance(text, str)},
        ended.summary,
        ended.error,
    )


def _last_words(values: Mapping[str, Any]) -> str | None:
    """Give what the agent said last."""
    said = [text_of(item.get("content")) for item in list_of(values.get("messages")) if role_of(item) == "ASSISTANT"]
    return next((text for text in reversed(said) if text), None)


async def _refuse(response: httpx.Response) -> None:
    """Raise what a refusal means.

    Raises:
        RuntimeFailure: When the answer is a refusal; the message says what is to be done about it.
        httpx.HTTPStatusError: When it is another answer that is no success.
    """
    if response.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        raise RuntimeFailure("The runtime does not accept the key that RUNTIME_TOKEN has.", is_retryable=False)
    if response.status_code in {httpx.codes.BAD_REQUEST, httpx.codes.UNPROCESSABLE_ENTITY}:
        detail = _detail(await _body(response))
        raise RuntimeFailure(f"The runtime refuses the run{f': {detail}' if detail else '.'}", is_retryable=False)
    if response.status_code == httpx.codes.CONFLICT:
        raise _Conflict("The runtime is busy with this thread.", is_retryable=True)
    response.raise_for_status()


async def _body(response: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > _MAX_ANSWER_BYTES:
            raise RuntimeFailure(f"The runtime's answer has more than {_MAX_ANSWER_BYTES} bytes.", is_retryable=False)
    return bytes(body)


def _detail(body: bytes) -> str | None:
    """Give what the server says about a refusal."""
    try:
        detail = mapping_of(orjson.loads(body)).get("detail")
    except orjson.JSONDecodeError:
        return None
    return detail[:_MAX_DETAIL_CHARACTERS] if isinstance(detail, str) else None
