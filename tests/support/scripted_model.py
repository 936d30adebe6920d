"""A language model that does what a script says, through a graph of deepagents: no network, and the same every time."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import uuid4

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langgraph.config import get_stream_writer

FAILURE = "The embedded author was asked to fail."
PIECE = 16
USAGE = {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120}

Turn = tuple[str, str | None, dict[str, Any]]
"""What the model says, the tool that it calls, and with what."""


def turns(prompt: str) -> list[Turn]:
    """Say what the model does for a prompt, call after call."""
    if "Look it up" in prompt:  # as another agent, which has no plan
        return [("", "write_file", _file("THE_SPEC/research.md", "# Research\n")), ("I looked it up.", None, {})]
    todos = ["Look at the draft", "Write it down"]
    if "[task]" in prompt:
        work: list[Turn] = [("", "task", {"description": "Look it up.", "subagent_type": "general-purpose"})]
    elif "Remove" in prompt:
        work = [("", "delete", {"file_path": "/THE_CAST/Old.md"})]
    elif "[approve]" in prompt:
        work = [("", "deploy", {"target": "prod"})]
    else:
        work = [
            ("", "write_file", _file("THE_CAST/Reviewer.md", "# Reviewer\n\nChecks every answer.\n")),
            ("", "write_file", _file("THE_SPEC/plan.md", "# Plan\n")),
            ("", "write_file", _file("definition.json", '{"name": "wf", "nodes": []}\n')),
            ("", "edit_file", {"file_path": "/definition.json", "old_string": '"wf"', "new_string": '"workflow"'}),
        ]
    plan = {"todos": [{"content": todo, "status": "in_progress"} for todo in todos]}
    done = {"todos": [{"content": todo, "status": "completed"} for todo in todos]}
    beginning: Turn = ("I look at the draft first.", "write_todos", plan)
    return [beginning, *work, ("", "write_todos", done), ("Done: the draft is as you asked.", None, {})]


def _file(path: str, content: str) -> dict[str, Any]:
    return {"file_path": f"/{path}", "content": content}


class ScriptedModel(BaseChatModel):
    """Says what comes next in its script, in pieces."""

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **options: Any) -> Runnable[Any, AIMessage]:  # noqa: ANN401 - LangChain's
        return self

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:  # noqa: ANN401 - LangChain's
        raise NotImplementedError

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,  # noqa: ANN401 - LangChain's
        **_: Any,  # noqa: ANN401 - LangChain's
    ) -> AsyncIterator[ChatGenerationChunk]:
        prompt = next(message.text for message in messages if isinstance(message, HumanMessage))
        if "[fail]" in prompt:
            raise RuntimeError(FAILURE)
        number = sum(isinstance(message, AIMessage) for message in messages)
        get_stream_writer()({"progress": f"Turn {number + 1}"})
        if "[slow]" in prompt and number:
            await asyncio.sleep(600)
        text, tool, arguments = turns(prompt)[number]
        for word in text.split(" ") if text else ():
            yield _chunk(content=f"{word} ")
        if tool is None:
            yield _chunk(content="", usage_metadata=USAGE)
            return
        yield _call(tool, str(uuid4()), "")
        written = json.dumps(arguments)
        for start in range(0, len(written), PIECE):
            yield _call(None, None, written[start : start + PIECE])


def _chunk(**fields: Any) -> ChatGenerationChunk:  # noqa: ANN401 - of a chunk
    return ChatGenerationChunk(message=AIMessageChunk(**fields))


def _call(name: str | None, call_id: str | None, arguments: str) -> ChatGenerationChunk:
    return _chunk(content="", tool_call_chunks=[{"name": name, "args": arguments, "id": call_id, "index": 0}])
