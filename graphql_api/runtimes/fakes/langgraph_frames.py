"""How LangGraph Server tells what an agent does."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from graphql_api.runtimes.fakes.cues import Cue, Play
from graphql_api.runtimes.fakes.faults import Dialect
from graphql_api.runtimes.fakes.scripts import usage_of
from graphql_api.runtimes.protocol import Frame

MODEL = "gpt-4.1-mini"

_WRITTEN_AT = "2026-11-21T02:01:14.880306+00:00"


def _fail(message: str) -> Cue:
    return Cue("error", {"error": "RuntimeError", "message": message})


DIALECT = Dialect(
    end=Cue("end"),
    fail=_fail,
    noise=(
        Cue("updates", raw=b"this is no JSON {"),
        Cue("updates", raw=b"[1, 2, 3]"),
        Cue("updates", raw=b'{"model": {"messages": 5, "files": [null]}, "tools": {"todos": "none"}}'),
        Cue("messages", raw=b"[]"),
        Cue("messages", raw=b'[{"content": {"deep": []}, "type": 3}]'),
        Cue("", raw=b""),
        Cue("something_new", {"anything": True}),
    ),
    stray=Cue("updates", {"tools": {"files": {"/LATE.md": {"content": "late", "encoding": "utf-8"}}}}),
    large=lambda size: Cue("custom", {"progress": "x" * size}),
)
"""What faults send in this protocol."""


def play_of(
    frames: Iterable[Frame], *, thread_id: str, run_id: str, given: Mapping[str, str], pace_seconds: float
) -> Play:
    """Put a script into the frames of LangGraph Server.

    Args:
        frames: As the embedded runtime would send them.
        thread_id: Of the thread.
        run_id: Of the run.
        given: The files that the agent starts from.
        pace_seconds: Between two frames.
    """
    teller = _Teller(thread_id, run_id, given)
    cues = [Cue("metadata", {"run_id": run_id, "attempt": 1}), *(cue for frame in frames for cue in teller.tell(frame))]
    return Play(
        tuple(replace(cue, after=pace_seconds) for cue in cues),
        () if teller.error is None else (_fail(teller.error),),
        result=teller.result,
        error=teller.error,
        is_interrupted=teller.is_interrupted,
    )


def wire_files(files: Mapping[str, str]) -> dict[str, Any]:
    """Write files as the state of a deep agent has them."""
    return {f"/{path}": _wire_file(content) for path, content in files.items()}


def _wire_file(content: str) -> dict[str, str]:
    return {"content": content, "encoding": "utf-8", "created_at": _WRITTEN_AT, "modified_at": _WRITTEN_AT}


class _Teller:
    """Puts one frame after the other into the protocol; files are told as what changed."""

    def __init__(self, thread_id: str, run_id: str, given: Mapping[str, str]) -> None:
        self.result: str | None = None
        self.error: str | None = None
        self.is_interrupted = False
        self._thread_id = thread_id
        self._run_id = run_id
        self._files = dict(given)
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
            "interrupt": self._asked,
            "end": self._ended,
        }

    def tell(self, frame: Frame) -> Iterable[Cue]:
        """Give the frames for what an agent does."""
        tell = self._tellers.get(frame.kind)
        return () if tell is None else tell(frame.content)

    def _progress(self, content: Any) -> Iterable[Cue]:  # noqa: ANN401 - any JSON value
        yield Cue("custom", {"progress": content["message"]})

    def _delta(self, content: Any) -> Iterable[Cue]:  # noqa: ANN401 - any JSON value
        yield self._chunk(_ai("AIMessageChunk", content["id"], content["text"]))

    def _said(self, content: Any) -> Iterable[Cue]:  # noqa: ANN401 - any JSON value
        self.result = content["text"]
        yield Cue("updates", {"model": {"messages": [_ai("ai", content["id"], content["text"])]}})

    def _started(self, content: Any) -> Iterable[Cue]:  # noqa: ANN401 - any JSON value
        return self._call(content["id"], content["name"], content["args"])

    def _answered(self, content: Any) -> Iterable[Cue]:  # noqa: ANN401 - any JSON value
        return self._answer(content["id"], content["name"], content["output"], {})

    def _used(self, content: Any) -> Iterable[Cue]:  # noqa: ANN401 - any JSON value
        yield self._chunk(_ai("AIMessageChunk", "usage", "", usage_metadata=usage_of(content)))

    def _asked(self, content: Any) -> Iterable[Cue]:  # noqa: ANN401 - any JSON value
        self.is_interrupted = True
        description = f"Tool execution requires approval\n\nTool: {content['name']}"
        value = {
            "action_requests": [{**content, "description": description}],
            "review_configs": [{"action_name": content["name"], "allowed_decisions": ["approve", "edit", "reject"]}],
        }
        yield Cue("updates", {"__interrupt__": [{"value": value, "id": "interrupt-1", "response_schema": None}]})

    def _ended(self, content: Any) -> Iterable[Cue]:  # noqa: ANN401 - any JSON value
        self.error = content["error"]
        return ()

    def _plan(self, content: Any) -> Iterable[Cue]:  # noqa: ANN401 - any JSON value
        todos = content["todos"]
        self._plans += 1
        call_id = f"{self._thread_id}-plan-{self._plans}"
        return [
            *self._call(call_id, "write_todos", {"todos": todos}),
            *self._answer(call_id, "write_todos", f"Updated todo list to {todos}", {"todos": todos}),
        ]

    def _call(self, call_id: str, name: str, arguments: Any) -> Iterable[Cue]:  # noqa: ANN401 - any JSON value
        call = {"name": name, "args": arguments, "id": call_id, "type": "tool_call"}
        piece = {"name": name, "args": json.dumps(arguments), "id": call_id, "index": 0, "type": "tool_call_chunk"}
        message_id = f"lc_run--{call_id}"
        chunk = _ai("AIMessageChunk", message_id, "", tool_calls=[{**call, "args": {}}], tool_call_chunks=[piece])
        return [
            self._chunk(chunk),
            Cue("updates", {"model": {"messages": [_ai("ai", message_id, "", tool_calls=[call])]}}),
        ]

    def _answer(self, call_id: str, name: str, output: str, state: Mapping[str, Any]) -> Iterable[Cue]:
        answer: dict[str, Any] = {
            "content": output,
            "additional_kwargs": {},
            "response_metadata": {},
            "type": "tool",
            "name": name,
            "id": f"{call_id}-answer",
            "tool_call_id": call_id,
            "artifact": None,
            "status": "success",
        }
        return [self._chunk(answer), Cue("updates", {"tools": {**state, "messages": [answer]}})]

    def _written(self, content: Any) -> Iterable[Cue]:  # noqa: ANN401 - any JSON value
        files: dict[str, str] = content["files"]
        before, self._files = self._files, dict(files)
        changed: dict[str, Any] = {
            f"/{path}": _wire_file(content) for path, content in files.items() if before.get(path) != content
        }
        changed |= {f"/{path}": None for path in before.keys() - files.keys()}
        yield Cue("updates", {"tools": {"files": changed}}, files=wire_files(files))

    def _chunk(self, message: Mapping[str, Any]) -> Cue:
        place = {
            "run_id": self._run_id,
            "thread_id": self._thread_id,
            "langgraph_node": "model",
            "ls_provider": "openai",
            "ls_model_name": MODEL,
            "ls_model_type": "chat",
        }
        return Cue("messages", [message, place])


def _ai(kind: str, message_id: str, text: str, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - of a message
    return {
        "content": text,
        "additional_kwargs": {},
        "response_metadata": {},
        "type": kind,
        "name": None,
        "id": message_id,
        "tool_calls": [],
        "invalid_tool_calls": [],
        "usage_metadata": None,
        **fields,
    }
