"""What the frames of deepagents-runtime mean."""

import re
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from graphql_api.events.records import NewEvent
from graphql_api.runtimes.deepagents.reprs import UnreadableRepr, read_chunk, read_repr
from graphql_api.runtimes.deepagents.texts import error_of, first_of, result_of
from graphql_api.runtimes.normalizing.files import read_files
from graphql_api.runtimes.normalizing.messages import Conversation, role_of
from graphql_api.runtimes.normalizing.texts import list_of, mapping_of, name_of, text_of
from graphql_api.runtimes.protocol import FilesSnapshot, Frame, Normalized, RunEnded

_LOOKS_LIKE_MESSAGES = re.compile(r"\s*[\[(]\s*([A-Za-z_][\w.]*\(|[\])])")
_STATE_FIELDS = {"messages", "files", "todos", "result", "status", "error", "thread_id", "job_id", "trace_id"}
_FAILED = {"failed", "error", "cancelled", "timeout"}


class DeepAgentsNormalizer:
    """Turns the frames of one thread into events."""

    def __init__(self) -> None:
        self._conversation = Conversation()
        self._files: dict[str, Any] | None = None
        self._result: str | None = None
        self._messages = ""
        self._running: dict[str, deque[str]] = defaultdict(deque)
        self._tools = 0
        self._readers: Mapping[str, Callable[[Any], Iterator[Normalized]]] = {
            "on_state_update": self._state,
            "on_llm_stream": self._stream,
            "on_tool_start": self._tool_start,
            "on_tool_end": self._tool_end,
            "error": self._error,
            "end": self._end,
        }

    def normalize(self, frame: Frame) -> Iterable[Normalized]:
        """Give what a frame means; what can't be read becomes a `RuntimeEventReceived`."""
        read = self._readers.get(frame.kind)
        if read is not None:
            try:
                return list(read(frame.content))
            except UnreadableRepr:
                pass  # whoever follows is shown the text as it came
        return [_received(frame.kind, frame.content)]

    def missed(self) -> None:
        """Take it that frames may be missing from here: the last files that are known may not be the last."""
        self._conversation.missed()
        self._files = None

    def _state(self, content: Any) -> Iterator[Normalized]:  # noqa: ANN401 - frames carry any JSON value
        if not isinstance(content, Mapping):
            yield _received("on_state_update", content)
            return
        yield from self._said(content.get("messages"))
        yield from self._conversation.plan.update(content["todos"]) if "todos" in content else ()
        yield from self._snapshot(content.get("files") or first_of(content.get("result"), "files"))
        self._result = result_of(content.get("result")) or self._result
        if rest := {key: value for key, value in content.items() if key not in _STATE_FIELDS and value}:
            yield _received("on_state_update", rest)
        if str(content.get("status")).lower() in _FAILED:
            yield from self._failed(content)

    def _said(self, messages: Any) -> Iterator[Normalized]:  # noqa: ANN401 - frames carry any JSON value
        if isinstance(messages, str):
            if not _LOOKS_LIKE_MESSAGES.match(messages):
                yield from [NewEvent("ProposalProgressed", {"message": messages})] if messages.strip() else []
                return
            messages = self._new_messages(messages)
        for message in list_of(messages):
            parsed = read_repr(message) if isinstance(message, str) and _is_call(message) else message
            if role_of(parsed) is None:
                yield _received("on_state_update", {"messages": [message]})
            else:
                yield from self._conversation.read(parsed)

    def _new_messages(self, text: str) -> list[Any]:
        """Read a list that repeats all messages since the first: those at its beginning were read with the last one."""
        known = self._messages.removesuffix("]")
        is_longer = len(known) > 1 and text.startswith(f"{known}, ")
        try:
            messages = list_of(read_repr(f"[{text[len(known) + 2 :]}" if is_longer else text))
        except UnreadableRepr:
            if not is_longer:
                raise
            messages = list_of(read_repr(text))
        self._messages = text
        return messages

    def _snapshot(self, files: Any) -> Iterator[Normalized]:  # noqa: ANN401 - frames carry any JSON value
        if isinstance(files, str) and files.strip():
            files = read_repr(files)
        if not isinstance(files, Mapping):
            yield from [_received("on_state_update", {"files": files})] if files else []
        elif files:  # an empty map is what the runtime says when it keeps none
            self._files = read_files(files)
            yield FilesSnapshot(self._files, is_partial=True)

    def _stream(self, content: Any) -> Iterator[Normalized]:  # noqa: ANN401 - frames carry any JSON value
        raw = first_of(content, "raw_event")
        chunk = read_chunk(raw) if isinstance(raw, str) else raw or first_of(content, "chunk", "message") or content
        message, *origins = chunk if isinstance(chunk, list) and chunk else [chunk]
        origin = mapping_of(origins[0]) if origins else {}
        if role_of(message) is None:
            text = message if isinstance(message, str) else text_of(first_of(message, "content", "text", "token"))
            if not text:
                yield _received("on_llm_stream", content)
                return
            message_id = name_of(first_of(content, "message_id", "run_id", "id"))
            message = {"type": "AIMessageChunk", "content": text, "id": message_id}
        model = name_of(origin.get("ls_model_name"))
        yield from self._conversation.read(message, agent=_agent_of(origin), model=model)

    def _tool_start(self, content: Any) -> Iterator[Normalized]:  # noqa: ANN401 - frames carry any JSON value
        call = _readable(content)
        name = name_of(first_of(call, "name", "tool_name", "tool"))
        if name is None:
            yield _received("on_tool_start", content)
            return
        self._tools += 1
        call_id = name_of(first_of(call, "tool_call_id", "call_id", "run_id", "id")) or f"tool-{self._tools}"
        self._running[name].append(call_id)
        arguments = first_of(call, "input", "args", "arguments", "tool_input")
        yield from self._conversation.call(call_id, name, arguments, name_of(call.get("agent")))

    def _tool_end(self, content: Any) -> Iterator[Normalized]:  # noqa: ANN401 - frames carry any JSON value
        call = _readable(content)
        output = first_of(call, "output", "result", "content", "error")
        answer = _readable(output)
        name = name_of(first_of(call, "name", "tool_name", "tool") or answer.get("name"))
        if name is None:
            yield _received("on_tool_end", content)
            return
        running = self._running[name]
        call_id = name_of(first_of(call, "tool_call_id", "call_id", "run_id", "id") or answer.get("tool_call_id"))
        call_id = call_id or (running[0] if running else f"tool-{name}")
        if call_id in running:
            running.remove(call_id)
        has_failed = bool(call.get("error")) or "error" in {call.get("status"), answer.get("status")}
        text = text_of(answer["content"]) if "content" in answer else output
        text = text if isinstance(text, str) or text is None else repr(text)
        yield from self._conversation.result(call_id, name, text, name_of(call.get("agent")), has_failed=has_failed)

    def _error(self, content: Any) -> Iterator[Normalized]:  # noqa: ANN401 - frames carry any JSON value
        yield from self._conversation.close()
        yield RunEnded(error=error_of(content) or "The runtime failed, and did not say why.")

    def _end(self, content: Any) -> Iterator[Normalized]:  # noqa: ANN401 - frames carry any JSON value
        end = mapping_of(content)
        yield from self._snapshot(end.get("files"))
        self._result = result_of(end.get("result")) or self._result
        if end.get("error") or str(end.get("status")).lower() in _FAILED:
            yield from self._failed(end)
            return
        yield from self._conversation.close()
        if self._files is not None:
            yield FilesSnapshot(self._files)
        yield RunEnded(summary=self._result or self._conversation.last_words, has_files=self._files is not None)

    def _failed(self, content: Mapping[str, Any]) -> Iterator[Normalized]:
        yield from self._error(content.get("error") or self._result or content.get("messages"))


def _received(kind: str, content: Any) -> NewEvent:  # noqa: ANN401 - frames carry any JSON value
    return NewEvent("RuntimeEventReceived", {"event_type": kind, "data": content})


def _is_call(text: str) -> bool:
    return re.match(r"\s*\(?\s*[A-Za-z_][\w.]*\(", text) is not None and text.rstrip().endswith(")")


def _readable(value: Any) -> Mapping[str, Any]:  # noqa: ANN401 - frames carry any JSON value
    """Give an object, also one that came as a `repr`, or in parts; an empty one for anything else."""
    if isinstance(value, str) and _is_call(value):
        try:
            value = read_repr(value)
        except UnreadableRepr:
            return {}
    fields = mapping_of(value)
    inner = first_of(fields, "raw_event", "data")
    return fields if inner is None else {**fields, "raw_event": None, "data": None, **_readable(inner)}


def _agent_of(origin: Mapping[str, Any]) -> str | None:
    """Name the agent that speaks, when it is one that another called."""
    namespace = str(origin.get("langgraph_checkpoint_ns") or origin.get("checkpoint_ns") or "")
    if "|" not in namespace:
        return None
    return name_of(origin.get("lc_agent_name")) or namespace.partition(":")[0]
