"""The messages of a thread as LangChain writes them, in pieces and whole: what is new in each."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql_api.events.records import NewEvent
from graphql_api.kit.files import digest_of
from graphql_api.runtimes.normalizing.plans import Plan
from graphql_api.runtimes.normalizing.texts import count_of, list_of, mapping_of, name_of, text_of
from graphql_api.runtimes.protocol import MessageDelta, Normalized, TokensUsed

PLAN_TOOL = "write_todos"
"""The tool by which agents of deepagents change their plan."""

_ROLES = {
    "ai": "ASSISTANT",
    "assistant": "ASSISTANT",
    "AIMessage": "ASSISTANT",
    "AIMessageChunk": "ASSISTANT",
    "human": "USER",
    "user": "USER",
    "HumanMessage": "USER",
    "HumanMessageChunk": "USER",
    "system": "SYSTEM",
    "developer": "SYSTEM",
    "SystemMessage": "SYSTEM",
    "SystemMessageChunk": "SYSTEM",
    "tool": "TOOL",
    "function": "TOOL",
    "ToolMessage": "TOOL",
    "ToolMessageChunk": "TOOL",
    "FunctionMessage": "TOOL",
}
_PIECES = {"AIMessageChunk"}
# LangChain adds the number of the generation to the id of the whole message, and not to that of its pieces.
_GENERATION = re.compile(r"^((?:lc_)?run-.*[0-9a-f]{12})-\d+$")


def role_of(message: Any) -> str | None:  # noqa: ANN401 - any JSON value
    """Tell who speaks in what may be a message; None when it is none."""
    return _ROLES.get(str(mapping_of(message).get("type") or mapping_of(message).get("role")))


@dataclass(slots=True)
class _Call:
    """A tool call while it is written."""

    id: str | None = None
    name: str = ""
    arguments: str = ""


@dataclass(slots=True)
class _Draft:
    """A message while it is written."""

    agent: str | None
    model: str | None = None
    pieces: list[str] = field(default_factory=list)
    input_tokens: int = 0
    output_tokens: int = 0
    calls: dict[str | None, _Call] = field(default_factory=dict)


class Conversation:
    """The messages of one thread.

    Each is told in deltas while its pieces come, and once as a whole: when the last piece or the whole message came,
    or else at the end of the run. Tool calls, their results and the cost of a message are told once, too, however often
    the runtime repeats them.

    Attributes:
        plan: The plan of the thread; the calls of the tool that changes it are heard here.
        last_words: What the agent that was asked said last; None before it said anything.
    """

    def __init__(self) -> None:
        self.plan = Plan()
        self.last_words: str | None = None
        self._drafts: dict[str, _Draft] = {}
        self._whole: set[str] = set()
        self._paid: set[str] = set()
        self._calls: dict[str, str] = {}
        self._results: set[str] = set()
        self._has_gap = False

    def read(self, message: Any, *, agent: str | None = None, model: str | None = None) -> Iterator[Normalized]:  # noqa: ANN401 - any JSON value
        """Give what is new in a message, or in a piece of one.

        Args:
            message: An object with `type` (or `role`), `content`, `id` and so on, as LangChain serializes it; nothing
                is given for what is none.
            agent: Who speaks, where the runtime tells; None when there is but one.
            model: Which language model speaks, where the runtime tells.
        """
        match role_of(message):
            case None:
                return
            case "TOOL":
                yield from self._result(message, agent)
            case "ASSISTANT" if message.get("type") in _PIECES:
                yield from self._piece(message, agent, model)
            case role:
                yield from self._message(message, str(role), agent, model)

    def missed(self) -> None:
        """Take it that pieces may be missing from here: what is unfinished can't be put together any more."""
        self._drafts.clear()
        self._has_gap = True

    def close(self) -> Iterator[Normalized]:
        """Give the messages and tool calls that came in pieces and never as a whole."""
        for message_id, draft in list(self._drafts.items()):
            yield from self._finish(message_id, draft)

    def call(self, call_id: str, name: str, arguments: Any, agent: str | None) -> Iterator[Normalized]:  # noqa: ANN401 - any JSON value
        """Tell that a tool is called, once."""
        if call_id in self._calls:
            return
        self._calls[call_id] = name
        payload = {"tool_call_id": call_id, "agent": agent, "name": name, "arguments": arguments}
        yield NewEvent("ToolCallStarted", payload)
        if name == PLAN_TOOL:
            yield from self.plan.update(mapping_of(arguments).get("todos"))

    def result(
        self, call_id: str, name: str | None, output: str | None, agent: str | None, *, has_failed: bool = False
    ) -> Iterator[Normalized]:
        """Tell what a tool gave, once; a call that nobody heard of is told first."""
        if call_id in self._results:
            return
        self._results.add(call_id)
        if call_id not in self._calls:
            yield from self._call_in_pieces(call_id, name or "tool", agent)
        status = "FAILED" if has_failed else "SUCCEEDED"
        payload = {"tool_call_id": call_id, "agent": agent, "name": name or self._calls[call_id]}
        yield NewEvent("ToolCallFinished", {**payload, "status": status, "output": output})

    def _piece(self, chunk: Mapping[str, Any], agent: str | None, model: str | None) -> Iterator[Normalized]:
        message_id = _id_of(chunk) or f"{agent or 'agent'}-{len(self._whole)}"
        if message_id in self._whole:
            return
        text = text_of(chunk.get("content"))
        if message_id not in self._drafts:
            if self._has_gap and text:
                return  # its beginning was missed, so that nobody could tell where this piece belongs
            self._drafts[message_id] = _Draft(agent or name_of(chunk.get("name")), model)
        draft = self._drafts[message_id]
        usage = mapping_of(chunk.get("usage_metadata"))
        draft.input_tokens += count_of(usage.get("input_tokens"))
        draft.output_tokens += count_of(usage.get("output_tokens"))
        for part in list_of(chunk.get("tool_call_chunks")):
            if isinstance(part, Mapping):
                _add(draft.calls, part)
        if text:
            draft.pieces.append(text)
            yield MessageDelta(message_id, draft.agent, text)
        draft.model = _model_of(chunk) or draft.model
        if chunk.get("chunk_position") == "last":
            yield from self._finish(message_id, draft)

    def _message(
        self, message: Mapping[str, Any], role: str, agent: str | None, model: str | None
    ) -> Iterator[Normalized]:
        message_id = _id_of(message) or _id_from(message)
        is_known = message_id in self._whole
        self._whole.add(message_id)
        draft = self._drafts.pop(message_id, _Draft(agent))
        speaker = (agent or draft.agent or name_of(message.get("name"))) if role == "ASSISTANT" else agent
        if not is_known and (text := text_of(message.get("content"))):
            yield self._completed(message_id, speaker, role, text)
        usage = mapping_of(message.get("usage_metadata"))
        yield from self._used(
            message_id,
            _model_of(message) or model or draft.model,
            count_of(usage.get("input_tokens")) or draft.input_tokens,
            count_of(usage.get("output_tokens")) or draft.output_tokens,
        )
        for index, call in enumerate(map(mapping_of, list_of(message.get("tool_calls")))):
            call_id = name_of(call.get("id")) or f"{message_id}-{index}"
            yield from self.call(call_id, name_of(call.get("name")) or "tool", call.get("args"), speaker)

    def _result(self, message: Mapping[str, Any], agent: str | None) -> Iterator[Normalized]:
        call_id = name_of(message.get("tool_call_id")) or _id_of(message) or _id_from(message)
        output, has_failed = text_of(message.get("content")), message.get("status") == "error"
        yield from self.result(call_id, name_of(message.get("name")), output, agent, has_failed=has_failed)

    def _call_in_pieces(self, call_id: str, name: str, agent: str | None) -> Iterator[Normalized]:
        for draft in self._drafts.values():
            for call in draft.calls.values():
                if call.id == call_id:
                    yield from self.call(call_id, call.name or name, _arguments(call), draft.agent)
                    return
        yield from self.call(call_id, name, None, agent)

    def _finish(self, message_id: str, draft: _Draft) -> Iterator[Normalized]:
        del self._drafts[message_id]
        self._whole.add(message_id)
        if draft.pieces:
            yield self._completed(message_id, draft.agent, "ASSISTANT", "".join(draft.pieces))
        yield from self._used(message_id, draft.model, draft.input_tokens, draft.output_tokens)
        for index, call in enumerate(draft.calls.values()):
            yield from self.call(call.id or f"{message_id}-{index}", call.name or "tool", _arguments(call), draft.agent)

    def _completed(self, message_id: str, agent: str | None, role: str, text: str) -> NewEvent:
        if role == "ASSISTANT" and agent is None:
            self.last_words = text
        payload = {"message_id": message_id, "agent": agent, "role": role, "text": text}
        return NewEvent("AgentMessageCompleted", payload)

    def _used(self, message_id: str, model: str | None, input_tokens: int, output_tokens: int) -> Iterator[Normalized]:
        """Tell what a message cost, once: some runtimes know it with the last piece, others with the whole message."""
        if (input_tokens or output_tokens) and message_id not in self._paid:
            self._paid.add(message_id)
            yield TokensUsed(model, input_tokens, output_tokens, message_id)


def _model_of(message: Mapping[str, Any]) -> str | None:
    return name_of(mapping_of(message.get("response_metadata")).get("model_name"))


def _add(calls: dict[str | None, _Call], part: Mapping[str, Any]) -> None:
    call = calls.setdefault(name_of(part.get("index")) or name_of(part.get("id")), _Call())
    call.id = call.id or name_of(part.get("id"))
    call.name += part["name"] if isinstance(part.get("name"), str) else ""
    call.arguments += part["args"] if isinstance(part.get("args"), str) else ""


def _arguments(call: _Call) -> Any:  # noqa: ANN401 - any JSON value
    try:
        return json.loads(call.arguments)
    except (ValueError, RecursionError):
        return call.arguments or None


def _id_of(message: Mapping[str, Any]) -> str | None:
    message_id = name_of(message.get("id"))
    return None if message_id is None else _GENERATION.sub(r"\1", message_id)


def _id_from(message: Mapping[str, Any]) -> str:
    """Name a message that has no name, so that it has the same one whenever it is repeated."""
    return digest_of(repr([message.get(key) for key in ("type", "role", "content", "tool_calls", "tool_call_id")]))[:32]
