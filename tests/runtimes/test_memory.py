"""What a worker holds while it reads runtimes: little for what it read, and nothing for what is over."""

import gc
import json
import tracemalloc
from collections.abc import Iterator
from functools import partial

import pytest
from sqlalchemy import text
from support.adapters import REMOTE, Adapter
from support.executions import Engine, working
from support.measuring import paused
from support.waiting import until

from graphql_api.runtimes import batches
from graphql_api.runtimes.fakes.faults import Fault
from graphql_api.runtimes.protocol import Frame

pytestmark = pytest.mark.anyio

EXECUTIONS = 2
PIECES = 18

OURS = (tracemalloc.Filter(True, "*/graphql_api/*"), tracemalloc.Filter(False, "*/runtimes/fakes/*"))  # noqa: FBT003


def turns(count: int, _prompt: object, _files: object, _thread: object) -> Iterator[Frame]:
    """Say something in pieces and as a whole, and write a file, so many times."""
    for number in range(count):
        message = {"id": f"message-{number}", "agent": "author"}
        words = [f"word-{number}-{index} " for index in range(PIECES)]
        for word in words:
            yield Frame("message_delta", {**message, "text": word})
        yield Frame("message", {**message, "text": "".join(words)})
        yield Frame("files", {"files": {"page.md": f"# Page\n\n{number}\n" * 50}})
    yield Frame("end", {"error": None, "summary": "Done."})


@pytest.fixture
def tracing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Trace allocations, with so few frames in flight that they do not count."""
    monkeypatch.setattr(batches, "BATCH", 4)
    with paused():
        tracemalloc.start()
        yield
        tracemalloc.stop()


def held() -> int:
    """Measure the memory that the product's code has allocated and not let go of."""
    gc.collect()
    statistics = tracemalloc.take_snapshot().filter_traces(OURS).statistics("filename")
    return sum(statistic.size for statistic in statistics)


async def stored(engine: Engine, event_type: str) -> int:
    async with engine.database.transaction() as session:
        counted = await session.execute(
            text(
                "SELECT count(*) FROM events JOIN executions ON executions.id = subject_id "
                "WHERE type = :type AND state <> 'FORGOTTEN'"
            ),
            {"type": event_type},
        )
        return int(counted.scalar_one())


async def read(engine: Engine, adapter: Adapter, count: int) -> tuple[int, int]:
    """Let a worker read some executions that do not end; give what they sent, and what is held when all is stored."""
    async with adapter.runtime(script=partial(turns, count), faults=[Fault.NEVER_ENDS]) as stage:
        for _ in range(EXECUTIONS):
            await engine.order()

        async def has_read_all() -> bool:
            return await stored(engine, "AgentMessageCompleted") >= EXECUTIONS * count

        async with working(engine.worker(stage.runtime)):
            await until(has_read_all)
            assert stage.fake is not None
            sent = sum(len(json.dumps(cue.data)) for thread in stage.fake.threads.values() for cue in thread.cues)
            return sent, held()


@pytest.mark.usefixtures("tracing")
@pytest.mark.parametrize("adapter", REMOTE, ids=lambda adapter: adapter.name)
class TestMemory:
    async def test_reading_on_costs_next_to_nothing(self, engine: Engine, adapter: Adapter) -> None:
        little, at_first = await read(engine, adapter, 4)
        await engine.forget_all()
        much, at_last = await read(engine, adapter, 20)
        assert at_last - at_first < (much - little) / 5

    async def test_what_is_over_is_let_go_of(self, engine: Engine, adapter: Adapter) -> None:
        after = []
        async with adapter.runtime(script=partial(turns, 2)) as stage, working(engine.worker(stage.runtime)):
            for _ in range(4):
                ordered = {await engine.order() for _ in range(EXECUTIONS)}
                await until(lambda ordered=ordered: ordered <= engine.listener.outcomes.keys())
                after.append(held())
        assert after[-1] - after[1] < 20_000
