"""How deepagents-runtime tells what an agent does: a build of it that forwards LangGraph's own stream.

Messages are Python `repr` strings, as in the recordings.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from graphql_api.runtimes.fakes.cues import Cue, Play
from graphql_api.runtimes.fakes.faults import Dialect
from graphql_api.runtimes.fakes.scripts import usage_of
from graphql_api.runtimes.protocol import Frame

MODEL = "gpt-4.1-mini"

_WRITTEN_AT = "2026-11-21T01:57:02.435848+00:00"


def _fail(message: str) -> Cue:
    return Cue("error", {"error": message})


def _large(size: int) -> Cue:
    return Cue("on_llm_stream", {"raw_event": f"(AIMessageChunk(content='{'x' * size}', id='lc_run--large'), {{}})"})


DIALECT = Dialect(
    end=Cue("end", {}),
    fail=_fail,
    noise=(
        Cue("garbage", raw=b"this is no JSON {"),
        Cue("garbage", raw=b""),
        Cue("garbage", raw=b"[1, 2, 3]"),
        Cue("garbage", raw=b'{"data": {"messages": "no type"}}'),
        Cue("garbage", raw=b'{"event_type": 7, "data": {}}'),
        Cue("garbage", raw=b'{"event_type": "on_state_update", "data": {"files": [null, 5], "messages": {"a": []}}}'),
        Cue(
            "garbage",
            raw=b'{"event_type": "on_llm_stream", "data": {"raw_event": "(AIMessageChunk(content=__import__("}}',
        ),
        Cue("garbage", raw=b"\x00\x01\x02\xff", is_binary=True),
        Cue("on_something_new", {"anything": True}),
    ),
    stray=Cue("on_state_update", {"messages": "late", "files": {"/LATE.md": {"content": ["late"]}}}),
    large=_large,
)
"""What faults send in this protocol."""


def play_of(frames: Iterable[Frame], *, thread_id: str, prompt: str, pace_seconds: float) -> Play:
    """Put a script into the frames of deepagents-runtime.

    Args:
        frames: As the embedded runtime would send them.
        thread_id: Of the thread.
        prompt: The first message of the conversation.
        pace_seconds: Between two frames.
    """
    teller = _Teller(thread_id, prompt)
    cues = [cue for frame in frames for cue in teller.tell(frame)]
    ending = (DIALECT.end,) if teller.error is None else (_fail(teller.error),)
    return Play(
        tuple(replace(cue, after=pace_seconds) for cue in cues), ending, result=teller.result, error=teller.error
    )


def wire_files(files: Mapping[str, str]) -> dict[str, Any]:
    """Write files as the runtime's state has them: lists of lines, but for definitions."""
    return {
        f"/{path}": {
            "content": content if path.endswith(".json") else content.split("\n"),
            "created_at": _WRITTEN_AT,
            "modified_at": _WRITTEN_AT,
        }
        for path, content in files.items()
    }


class _Teller:
    """Puts one frame after the other into the protocol, with the whole conversation in every update."""

    def __init__(self, thread_id: str, prompt: str) -> None:
        self.result: str | None = None
        self.error: str | None = None
        self._thread_id = thread_id
        self._messages = [_message("HumanMessage", content=prompt, id=f"{thread_id}-prompt")]
        self._plans = 0
        self._tellers: Mapping[str, Callable[[Any], Iterable[Cue]]] = {
            "progress": self._progress,
            "plan": self._plan,
            "message_delta": self._delta,
            "message": self._said,
            "tool_start": self._started,
            "tool_end": self._answered,
            "files": self._written,
            "usage": self._used,
            "end": self._ended,
        }

    def tell(self, frame: Frame) -> Iterable[Cue]:
        """Give the frames for what an agent does; none for what this runtime has no words for."""
        tell = self._tellers.get(frame.kind)
        return () if tell is None else tell(frame.content)

    def _progress(self, content: Any) -> Iterable[Cue]:  # noqa: ANN401 - any JSON value
        yield Cue("on_state_update", {"messages": content["message"], "status": "running"})

    def _delta(self, content: Any) -> Iterable[Cue]:  # noqa: ANN401 - any JSON value
        yield self._chunk(_message("AIMessageChunk", content=content["text"], id=content["id"]))

    def _said(self, content: Any) -> Iterable[Cue]:  # noqa: ANN401 - any JSON value
        self.result = content["text"]
        yield self._update(_message("AIMessage", content=content["text"], id=content["id"]))

    def _started(self, content: Any) -> Iterable[Cue]:  # noqa: ANN401 - any JSON value
        return self._call(content["id"], content["name"], content["args"])

    def _answered(self, content: Any) -> Iterable[Cue]:  # noqa: ANN401 - any JSON value
        return self._answer(content["id"], content["name"], content["output"])

    def _written(self, content: Any) -> Iterable[Cue]:  # noqa: ANN401 - any JSON value
        files = wire_files(content["files"])
        yield Cue("on_state_update", {**self._state(), "files": files}, files=files)

    def _used(self, content: Any) -> Iterable[Cue]:  # noqa: ANN401 - any JSON value
        yield self._chunk(_message("AIMessageChunk", content="", id="usage", usage_metadata=usage_of(content)))

    def _ended(self, content: Any) -> Iterable[Cue]:  # noqa: ANN401 - any JSON value
        self.error = content["error"]
        return ()

    def _plan(self, content: Any) -> Iterable[Cue]:  # noqa: ANN401 - any JSON value
        todos = content["todos"]
        self._plans += 1
        call_id = f"{self._thread_id}-plan-{self._plans}"
        return [
            *self._call(call_id, "write_todos", {"todos": todos}),
            *self._answer(call_id, "write_todos", f"Updated todo list to {todos}"),
        ]

    def _call(self, call_id: str, name: str, arguments: Any) -> Iterable[Cue]:  # noqa: ANN401 - any JSON value
        message_id = f"lc_run--{call_id}"
        call = {"name": name, "args": arguments, "id": call_id, "type": "tool_call"}
        piece = {"name": name, "args": json.dumps(arguments), "id": call_id, "index": 0, "type": "tool_call_chunk"}
        chunk = _message("AIMessageChunk", content="", id=message_id, tool_calls=[call], tool_call_chunks=[piece])
        return [self._chunk(chunk), self._update(_message("AIMessage", content="", id=message_id, tool_calls=[call]))]

    def _answer(self, call_id: str, name: str, output: str) -> Iterable[Cue]:
        answer = _message("ToolMessage", content=output, name=name, id=f"{call_id}-answer", tool_call_id=call_id)
        return [self._chunk(answer), self._update(answer)]

    def _chunk(self, message: str) -> Cue:
        return Cue("on_llm_stream", {"raw_event": f"({message}, {self._place()!r})"})

    def _update(self, message: str) -> Cue:
        self._messages.append(message)
        return Cue("on_state_update", self._state())

    def _state(self) -> dict[str, Any]:
        return {"messages": f"[{', '.join(self._messages)}]"}

    def _place(self) -> dict[str, Any]:
        return {
            "thread_id": self._thread_id,
            "langgraph_node": "model",
            "langgraph_triggers": ("branch:to:model",),
            "ls_provider": "openai",
            "ls_model_name": MODEL,
            "ls_temperature": None,
        }


def _message(kind: str, **fields: Any) -> str:  # noqa: ANN401 - whatever a message has
    """Write a message as Python's `repr` of it."""
    always: dict[str, Any] = {} if kind == "ToolMessage" else {"additional_kwargs": {}, "response_metadata": {}}
    ordered = {"content": fields.pop("content"), **always, **fields}
    return f"{kind}({', '.join(f'{name}={value!r}' for name, value in ordered.items())})"
