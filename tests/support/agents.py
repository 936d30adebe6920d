"""Runtimes that need the dependency group `agents`: a real LangGraph Server, and a graph in this process."""

import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest

from graphql_api.app import make_runtime
from graphql_api.runtimes.embedded.agents import AgentsRuntime
from support.adapters import Adapter, Stage
from support.measuring import unmeasured
from support.processes import free_port
from support.server import quick_settings
from support.waiting import WAIT_SECONDS

EMBEDDED_AGENTS = Adapter("embedded-agents", None, "[slow]", failure="The agent failed with RuntimeError")
LANGGRAPH_DEV = Adapter("langgraph-dev", None, "[slow]")

OFFLINE = {
    "LANGSMITH_TRACING": "false",
    "LANGCHAIN_TRACING_V2": "false",
    "LANGGRAPH_CLI_NO_ANALYTICS": "1",
    "NO_PROXY": "127.0.0.1,localhost",
}
"""What keeps LangGraph Server from calling home."""


def need_agents() -> None:
    """Skip a test when the group is not installed; continuous integration has to have it."""
    if any(find_spec(package) is None for package in ("deepagents", "langgraph_cli", "langgraph_api")):
        message = "the dependency group `agents` is not installed: .venv/bin/python scripts/bootstrap.py agents"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)


@asynccontextmanager
async def embedded_agents() -> AsyncIterator[Stage]:
    """Give the embedded runtime on a language model that is scripted."""
    need_agents()
    runtime = AgentsRuntime(import_module("support.scripted_model").ScriptedModel())
    yield Stage(EMBEDDED_AGENTS, runtime, None)
    await runtime.close()


@asynccontextmanager
async def on_langgraph_dev(url: str, *, assistant: str = "agent") -> AsyncIterator[Stage]:
    """Give the adapter of a real LangGraph Server."""
    runtime = make_runtime(quick_settings(runtime_url=f"langgraph+{url}?assistant={assistant}"))
    yield Stage(LANGGRAPH_DEV, runtime, None)
    await runtime.close()


@contextmanager
def langgraph_dev(home: Path) -> Iterator[str]:
    """Run `langgraph dev` on the scripted graph; give its address.

    Args:
        home: Where it keeps what it keeps.
    """
    need_agents()
    graph = Path(__file__).with_name("scripted_graph.py")
    (home / "langgraph.json").write_text(
        json.dumps({"dependencies": [str(home)], "graphs": {"agent": f"{graph}:graph"}})
    )
    url = f"http://127.0.0.1:{(port := free_port())}"
    options = ["--no-browser", "--no-reload", "--allow-blocking", "--n-jobs-per-worker", "10"]
    with (home / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [Path(sys.executable).parent / "langgraph", "dev", "--host", "127.0.0.1", "--port", str(port), *options],
            cwd=home,
            env={**{name: value for name, value in unmeasured().items() if "LANGSMITH" not in name}, **OFFLINE},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        _await_answer(url, server, home / "server.log")
        yield url
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _await_answer(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            if httpx.get(f"{url}/ok", trust_env=False).is_success:
                return
        except httpx.TransportError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(log.read_text(errors="replace")[-4000:]) from None
            time.sleep(0.1)
