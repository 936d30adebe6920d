from collections.abc import AsyncIterator

import pytest
from support.adapters import ADAPTERS, Stage


@pytest.fixture(params=ADAPTERS, ids=lambda adapter: adapter.name)
async def stage(request: pytest.FixtureRequest, anyio_backend: str) -> AsyncIterator[Stage]:
    """Give each adapter that is built in, at work."""
    async with request.param.runtime() as stage:
        yield stage
