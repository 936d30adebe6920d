import subprocess
import sys
from pathlib import Path
from typing import Any, cast

from support.happenings import EVERYTHING, Item, Source, Upset, executed, make_schema, noted

from graphql_api.kit.execution import EventExecutor, Takeover

_RESOLVED = "subscription { happenings { later ... on Noted { text item { owner { name } children { name } } } } }"

_LEAK = """
import asyncio, resource, sys
sys.path.insert(0, sys.argv[2])
from support.happenings import Source, make_schema, noted

class Endless(Source):
    async def follow(self):
        event = noted()
        for number in range(int(sys.argv[1])):
            yield event

async def main():
    schema = make_schema(Endless())
    results = await schema.stream(sys.argv[3])
    number = 0
    async for result in results:
        assert not result.errors, result.errors
        number += 1
        if number == 5000:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / (number - 5000))

asyncio.run(main())
"""


class TestLiveSubscription:
    def test_it_keeps_nothing_of_its_events(self) -> None:
        tests = Path(__file__).parent.parent
        command = [sys.executable, "-c", _LEAK, "50000", str(tests), _RESOLVED]
        measured = subprocess.run(command, check=True, capture_output=True, text=True, timeout=100)
        assert float(measured.stdout) < 20, "bytes an event"

    async def test_its_events_are_executed_one_by_one(self, anyio_backend: str) -> None:
        source = Source([noted(sequence=1), noted(sequence=2, item=Item(name="z", mood=None, children=[]))])
        stock, ours = make_schema(source, executor=None, extensions=[]), make_schema(source)
        for query in (_RESOLVED, EVERYTHING):
            assert await executed(ours, query) == await executed(stock, query)


class TestTakeover:
    async def _begin(self, source: Source, extensions: dict[str, Any]) -> Any:  # noqa: ANN401 - Strawberry's stream
        return await make_schema(source).stream(_RESOLVED, operation_extensions=extensions)

    async def test_events_come_from_the_source_and_results_only_for_what_is_handed_back(
        self, anyio_backend: str
    ) -> None:
        source = Source([noted(sequence=1), noted(sequence=2), noted(sequence=3)])
        takeover = Takeover()
        results = await self._begin(source, takeover.as_extensions())
        await anext(results)
        assert takeover.is_offered
        assert isinstance(takeover.executor, EventExecutor)
        events = takeover.source
        assert events is not None
        assert cast("Any", await anext(events)).sequence == 1
        takeover.hand_back(await anext(events))
        assert (await anext(results)).data["happenings"]["later"] == 2
        assert cast("Any", await anext(events)).sequence == 3
        assert [result async for result in results] == []
        assert source.closed == 1

    async def test_closing_the_results_closes_the_source(self, anyio_backend: str) -> None:
        source = Source([noted(), noted()])
        takeover = Takeover()
        results = await self._begin(source, takeover.as_extensions())
        await anext(results)
        assert takeover.source is not None
        await anext(takeover.source)
        await results.aclose()
        assert source.closed == 1

    async def test_an_exception_that_is_handed_back_is_the_last_result(self, anyio_backend: str) -> None:
        takeover = Takeover()
        results = await self._begin(Source(), takeover.as_extensions())
        await anext(results)
        takeover.hand_back(Upset("gone"))
        [last] = [result async for result in results]
        assert last.data is None
        assert [error.message for error in last.errors] == ["gone"]

    async def test_a_client_can_not_ask_for_it(self, anyio_backend: str) -> None:
        results = await self._begin(Source([noted(sequence=1)]), {"takeover": {"source": True}})
        assert [result.data["happenings"]["later"] async for result in results] == [1]

    async def test_a_query_has_nothing_to_take_over(self, anyio_backend: str) -> None:
        takeover = Takeover()
        results = await make_schema(Source()).stream("{ __typename }", operation_extensions=takeover.as_extensions())
        assert [result.data async for result in results] == [{"__typename": "Query"}]
        assert not takeover.is_offered
