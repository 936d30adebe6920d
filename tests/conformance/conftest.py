from collections.abc import AsyncIterator

import pytest
from support.adapters import ADAPTERS, Stage
from support.agents import EMBEDDED_AGENTS, LANGGRAPH_DEV, embedded_agents, on_langgraph_dev


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
