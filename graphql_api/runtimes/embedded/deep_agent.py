"""A deepagents graph that works on a draft. Imported when it is used: its packages come with the extra `agents`."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any

import structlog
from deepagents import create_deep_agent
from langchain.agents.middleware import TodoListMiddleware
from langchain.chat_models import init_chat_model
from langchain_core.messages import BaseMessage
from langgraph.errors import GraphRecursionError
from langgraph.types import Interrupt, Overwrite

from graphql_api.runtimes.normalizing.graphs import RUN
from graphql_api.runtimes.protocol import Frame

MAX_STEPS = 400
"""Steps of the graph in one run; each call of the model and each of its tools is one."""

INSTRUCTIONS = """\
You author workflows of AI agents as specification files. The draft is in your file system: look at it with `ls` and
`read_file`, and change it with `write_file` and `edit_file`. Nobody sees what you do not write into files.

The draft has these files, and you keep them in line with each other:
- `/THE_SPEC/requirements.md`: what is wanted, each requirement with acceptance criteria.
- `/THE_SPEC/plan.md`: the steps that are to be taken.
- `/THE_CAST/<Agent>.md`: one brief for each agent: its purpose, responsibilities, and whom it works with.
- `/definition.json`: the graph of agents, with `name`, `nodes` and `edges`; keep the shape that it has.

Plan with `write_todos` first. Edit what is there rather than writing it anew, change nothing that was not asked for,
and do not ask back: decide, and say what you decided. End with a short summary in Markdown of what you changed and
why: it is what reviewers read.
"""

_log = structlog.get_logger()


class DeepAgent:
    """One graph for all runs; it keeps nothing of them.

    Args:
        model: For `init_chat_model`, or a chat model.
    """

    def __init__(self, model: Any) -> None:  # noqa: ANN401 - a chat model, or its name
        self._graph = create_deep_agent(
            model=init_chat_model(model) if isinstance(model, str) else model,
            system_prompt=INSTRUCTIONS,
            middleware=[TodoListMiddleware()],
        )

    async def frames(self, given: Mapping[str, Any]) -> AsyncGenerator[Frame]:
        """Run the graph, and give its frames as LangGraph Server would send them, with a `RUN` as the last.

        Args:
            given: The input of the graph.
        """
        values: Mapping[str, Any] = {}
        status, error = "success", None
        try:
            async for namespace, mode, content in self._graph.astream(
                given,
                {"recursion_limit": MAX_STEPS},
                stream_mode=["updates", "messages", "custom", "values"],
                subgraphs=True,
            ):
                if mode != "values":
                    yield Frame("|".join((mode, *namespace)), _plain(content))
                elif not namespace:
                    values = content
        except GraphRecursionError:
            status, error = "error", f"The agent was stopped after {MAX_STEPS} steps."
        except Exception as failure:  # noqa: BLE001 - whatever breaks a run ends it, and nothing else
            _log.exception("agent_failed")
            status, error = "error", f"The agent failed with {type(failure).__name__}: see the worker's log."
        state = {key: _plain(values[key]) for key in ("files", "todos") if key in values}
        yield Frame(RUN, {"status": status, "error": error, "interrupts": [], "values": state})


def _plain(value: Any) -> Any:  # noqa: ANN401 - what graphs stream
    """Make JSON of what a graph streams, as LangGraph Server does."""
    if isinstance(value, BaseMessage):
        return _plain(value.model_dump())
    if isinstance(value, Interrupt):
        return {"id": value.id, "value": _plain(value.value)}
    if isinstance(value, Overwrite):
        return {"value": _plain(value.value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, str | int | float) else repr(value)
