import asyncio

import pytest
from support.waiting import until

from graphql_api.kit.signals import Inbox, Signal

pytestmark = pytest.mark.anyio


class TestSignal:
    async def test_who_comes_when_it_is_set_does_not_wait(self) -> None:
        await Signal(is_set=True).wait()

    async def test_all_who_wait_are_woken(self) -> None:
        signal = Signal()
        waiting = [asyncio.create_task(signal.wait()) for _ in range(3)]
        await until(lambda: len(signal._waiting) == len(waiting))
        signal.set()
        await asyncio.gather(*waiting)
        assert signal.is_set()
        assert signal._waiting == ()

    async def test_who_was_woken_goes_on_although_it_is_cleared(self) -> None:
        signal = Signal()
        waiting = asyncio.create_task(signal.wait())
        await until(lambda: len(signal._waiting) == 1)
        signal.set()
        signal.clear()
        await waiting
        assert not signal.is_set()

    async def test_who_gives_up_is_forgotten_and_stops_nobody(self) -> None:
        signal = Signal()
        first, second = (asyncio.create_task(signal.wait()) for _ in range(2))
        await until(lambda: len(signal._waiting) == 2)
        first.cancel()
        signal.set()
        await second
        assert first.cancelled()
        assert signal._waiting == ()


class TestInbox:
    async def test_what_was_put_in_is_taken_out_in_order(self) -> None:
        inbox = Inbox[int]()
        for item in (1, 2, 3):
            inbox.put_nowait(item)
        assert [await inbox.get() for _ in range(3)] == [1, 2, 3]
        assert inbox.empty()

    async def test_its_reader_waits_for_what_comes(self) -> None:
        inbox = Inbox[int]()
        for item in (1, 2):
            reading = asyncio.create_task(inbox.get())
            await until(lambda: len(inbox._filled._waiting) == 1)
            inbox.put_nowait(item)
            assert await reading == item

    async def test_what_came_while_its_reader_gave_up_is_there_for_the_next(self) -> None:
        inbox = Inbox[int]()
        reading = asyncio.create_task(inbox.get())
        await until(lambda: len(inbox._filled._waiting) == 1)
        inbox.put_nowait(1)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        assert await inbox.get() == 1
