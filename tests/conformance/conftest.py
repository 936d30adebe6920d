from collections.abc import AsyncIterator, Iterator

import pytest
from support.adapters import ADAPTERS, Stage
from support.agents import EMBEDDED_AGENTS, LANGGRAPH_DEV, embedded_agents, langgraph_dev, on_langgraph_dev


@pytest.fixture(scope="session")
def langgraph_dev_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the address of a real LangGraph Server, on a graph whose language model is scripted."""
    with langgraph_dev(tmp_path_factory.mktemp("langgraph")) as url:
        yield url


@pytest.fixture(params=[*ADAPTERS, EMBEDDED_AGENTS, LANGGRAPH_DEV], ids=lambda adapter: adapter.name)
async def stage(request: pytest.FixtureRequest, anyio_backend: str) -> AsyncIterator[Stage]:
    """Give each adapter that is built in, at work."""
    if request.param is EMBEDDED_AGENTS:
        staged = embedded_agents()
    elif request.param is LANGGRAPH_DEV:
        staged = on_langgraph_dev(request.getfixturevalue("langgraph_dev_url"))
    else:
        staged = request.param.runtime()
    async with staged as stage:
        yield stage
