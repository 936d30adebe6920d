import asyncio
from collections import Counter
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from support.waiting import until

from graphql_api.events import pages as module
from graphql_api.events.pages import MAX_PAGE_BYTES, MAX_PAGES, PAGE, Pages
from graphql_api.events.records import StoredEvent

pytestmark = pytest.mark.anyio


class Logs:
    """Logs in memory, whose readings wait while a gate is closed."""

    def __init__(self, length: int, *, payload: str = "") -> None:
        self.length = length
        self.payload = payload
        self.readings: Counter[int] = Counter()
        self.gate = asyncio.Event()
        self.gate.set()
        self.is_broken = False

    async def read(self, subject: UUID, after: int) -> list[StoredEvent]:
        self.readings[after] += 1
        last = min(self.length, after + PAGE)
        await self.gate.wait()
        if self.is_broken:
            raise TimeoutError
        at = datetime(2026, 1, 1, tzinfo=UTC)
        return [
            StoredEvent(subject, sequence, "Happened", {"text": self.payload}, at, is_terminal=False)
            for sequence in range(after + 1, last + 1)
        ]


async def sequences(pages: Pages, subject: UUID, position: int) -> list[int]:
    return [event.sequence for event in await pages.after(subject, position)]


class TestPages:
    @pytest.mark.parametrize("position", [0, 1, PAGE - 1, PAGE, PAGE + 3, 249, 250])
    async def test_it_gives_what_comes_after_to_the_end_of_the_page(self, position: int) -> None:
        pages = Pages(Logs(250).read)

        end = min(250, (position // PAGE + 1) * PAGE)
        assert await sequences(pages, uuid4(), position) == list(range(position + 1, end + 1))

    async def test_a_whole_page_is_read_once(self) -> None:
        logs, subject = Logs(250), uuid4()
        pages = Pages(logs.read)
        for position in (0, 5, 99, 0):
            await pages.after(subject, position)

        assert logs.readings == {0: 1}

    async def test_one_that_is_being_filled_is_read_again(self) -> None:
        logs, subject = Logs(250), uuid4()
        pages = Pages(logs.read)
        await pages.after(subject, 240)
        logs.length = 251

        assert await sequences(pages, subject, 249) == [250, 251]

    async def test_who_asks_while_it_is_read_gets_what_was_committed_until_then(self) -> None:
        logs, subject = Logs(10), uuid4()
        pages = Pages(logs.read)
        logs.gate.clear()
        early = asyncio.create_task(sequences(pages, subject, 0))
        await until(lambda: logs.readings[0] == 1)
        logs.length = 11
        late = [asyncio.create_task(sequences(pages, subject, 10)) for _ in range(50)]
        await until(lambda: pages._readings[subject, 0].waiting == 51)
        logs.gate.set()

        assert await early == list(range(1, 11))
        assert await asyncio.gather(*late) == [[11]] * 50
        assert logs.readings == {0: 2}
        assert pages._readings == {}

    async def test_a_reading_that_breaks_is_made_again_by_the_next(self) -> None:
        logs, subject = Logs(10), uuid4()
        pages = Pages(logs.read)
        logs.is_broken = True
        with pytest.raises(TimeoutError):
            await pages.after(subject, 0)
        logs.is_broken = False

        assert len(await pages.after(subject, 0)) == 10

    async def test_who_is_cancelled_leaves_the_reading_to_others(self) -> None:
        logs, subject = Logs(10), uuid4()
        pages = Pages(logs.read)
        logs.gate.clear()
        first, second = (asyncio.create_task(sequences(pages, subject, 0)) for _ in range(2))
        await until(lambda: logs.readings[0] == 1)
        first.cancel()
        logs.gate.set()

        assert await second == list(range(1, 11))
        assert first.cancelled()

    async def test_the_least_recently_used_is_forgotten(self) -> None:
        logs, subject = Logs((MAX_PAGES + 1) * PAGE), uuid4()
        pages = Pages(logs.read)
        for number in range(MAX_PAGES + 1):
            await pages.after(subject, number * PAGE)
            await pages.after(subject, 0)
        await pages.after(subject, PAGE)

        assert logs.readings[0] == 1
        assert logs.readings[PAGE] == 2

    async def test_one_that_was_read_a_while_ago_is_read_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        logs, subject = Logs(2 * PAGE), uuid4()
        pages = Pages(logs.read)
        await pages.after(subject, 0)
        monkeypatch.setattr(module, "KEPT_SECONDS", 0.0)
        await pages.after(subject, PAGE)

        assert list(pages._kept) == [(subject, PAGE)]
        await pages.after(subject, 0)
        assert logs.readings == {0: 2, PAGE: 1}

    async def test_a_large_one_is_not_kept(self) -> None:
        logs, subject = Logs(PAGE, payload="x" * (MAX_PAGE_BYTES // PAGE)), uuid4()
        pages = Pages(logs.read)
        for _ in range(2):
            await pages.after(subject, 0)

        assert logs.readings == {0: 2}
