"""A graph of deepagents for `langgraph dev`, on a language model that does what a script says."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from deepagents import create_deep_agent
from langchain.agents.middleware import TodoListMiddleware

from support.scripted_model import ScriptedModel


def deploy(target: str) -> str:
    """Deploy, once somebody has agreed."""
    return f"Deployed to {target}."


graph = create_deep_agent(
    model=ScriptedModel(), tools=[deploy], middleware=[TodoListMiddleware()], interrupt_on={"deploy": True}
)
