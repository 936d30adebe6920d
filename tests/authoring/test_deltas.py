import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from itertools import groupby
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.logs import count_kept
from support.waiting import until

from graphql_api.authoring import deltas
from graphql_api.authoring.deltas import DeltaMode, with_deltas
from graphql_api.events.records import LiveEvent, StoredEvent
from graphql_api.kit.batches import Batch, Batched
from graphql_api.kit.columns import now

pytestmark = pytest.mark.anyio

Event = StoredEvent | LiveEvent
SUBJECT = UUID(int=1)


def stored(sequence: int, message: str | None = None) -> StoredEvent:
    payload = {"message_id": message, "text": "whole"} if message else {}
    return StoredEvent(SUBJECT, sequence, "Happened", payload, now(), is_terminal=False)


def piece(sequence: int, message: str, offset: int, text: str) -> LiveEvent:
    payload = {"message_id": message, "agent": None, "offset": offset, "text": text}
    return LiveEvent(SUBJECT, sequence, "AgentMessageDelta", payload, now())


async def stream(events: Sequence[Event]) -> AsyncGenerator[Sequence[Event]]:
    for event in events:
        yield [event]


async def through(mode: DeltaMode, *events: Event) -> list[Event]:
    return [event async for event in with_deltas(Batched(stream(events)), mode)]


def shown(events: Sequence[Event]) -> list[object]:
    """Show stored events by their sequence, pieces by message, offset and text."""
    return [
        event.sequence
        if isinstance(event, StoredEvent)
        else (event.payload["message_id"], event.payload["offset"], event.payload["text"])
        for event in events
    ]


class TestAll:
    async def test_everything_passes(self) -> None:
        events: list[Event] = [stored(1), piece(1, "a", 0, "Hel"), piece(1, "a", 3, "lo"), stored(2, "a")]

        assert await through(DeltaMode.ALL, *events) == events

    async def test_a_repeated_piece_is_cut_to_what_is_new(self) -> None:
        events = [
            piece(1, "a", 0, "Hello"),
            piece(1, "a", 0, "Hel"),
            piece(1, "a", 3, "lo wor"),
            piece(1, "a", 9, "ld"),
        ]

        assert shown(await through(DeltaMode.ALL, *events)) == [("a", 0, "Hello"), ("a", 5, " wor"), ("a", 9, "ld")]

    async def test_who_comes_late_gets_the_offset(self) -> None:
        assert shown(await through(DeltaMode.ALL, piece(1, "a", 7, "late"))) == [("a", 7, "late")]

    async def test_a_hole_stays_visible(self) -> None:
        events = [piece(1, "a", 0, "He"), piece(1, "a", 4, "o")]

        assert shown(await through(DeltaMode.ALL, *events)) == [("a", 0, "He"), ("a", 4, "o")]

    async def test_a_finished_message_is_forgotten(self) -> None:
        events: list[Event] = [piece(1, "a", 0, "One"), stored(2, "a"), piece(2, "a", 0, "Two")]

        assert shown(await through(DeltaMode.ALL, *events)) == [("a", 0, "One"), 2, ("a", 0, "Two")]


class TestNone:
    async def test_only_stored_events_pass(self) -> None:
        events: list[Event] = [stored(1), piece(1, "a", 0, "Hello"), stored(2, "a")]

        assert shown(await through(DeltaMode.NONE, *events)) == [1, 2]


class TestCoalesced:
    async def test_pieces_that_follow_each_other_are_joined(self) -> None:
        events: list[Event] = [stored(1), piece(1, "a", 0, "Hel"), piece(1, "a", 3, "lo"), stored(2, "a")]

        assert shown(await through(DeltaMode.COALESCED, *events)) == [1, ("a", 0, "Hello"), 2]

    @pytest.mark.parametrize(
        "other",
        [piece(1, "b", 3, "lo"), piece(1, "a", 4, "o"), piece(2, "a", 3, "lo")],
        ids=["of another message", "after a hole", "after another event"],
    )
    async def test_pieces_that_do_not_belong_together_are_not(self, other: LiveEvent) -> None:
        got = await through(DeltaMode.COALESCED, piece(1, "a", 0, "Hel"), other)

        assert shown(got) == [("a", 0, "Hel"), *shown([other])]

    async def test_the_last_piece_is_not_lost(self) -> None:
        assert shown(await through(DeltaMode.COALESCED, piece(1, "a", 0, "Hello"))) == [("a", 0, "Hello")]

    async def test_a_piece_does_not_wait_for_the_next_one(self) -> None:
        never = asyncio.Event()

        async def events() -> AsyncGenerator[Sequence[Event]]:
            yield [piece(1, "a", 0, "Hello")]
            await never.wait()

        async with aclosing(with_deltas(Batched(events()), DeltaMode.COALESCED)) as got:
            assert shown([await anext(got)]) == [("a", 0, "Hello")]

    async def test_a_steady_flow_does_not_hold_it_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(deltas, "COALESCE_SECONDS", 0.002)
        given = 0

        async def events() -> AsyncGenerator[Sequence[Event]]:
            nonlocal given
            while True:
                await asyncio.sleep(0)
                yield [piece(1, "a", given, "x"), piece(1, "a", given + 1, "y")]
                given += 2

        async with aclosing(with_deltas(Batched(events()), DeltaMode.COALESCED)) as got:
            first, second = await anext(got), await anext(got)

        assert first.payload["offset"] == 0
        assert second.payload["offset"] == len(first.payload["text"]) > 1  # even where the moment is over at once

    async def test_an_error_of_the_source_comes_out(self) -> None:
        async def events() -> AsyncGenerator[Sequence[Event]]:
            yield [stored(1)]
            raise LookupError

        async with aclosing(with_deltas(Batched(events()), DeltaMode.COALESCED)) as got:
            assert shown([await anext(got)]) == [1]
            with pytest.raises(LookupError):
                await anext(got)

    @pytest.mark.parametrize("mode", list(DeltaMode))
    async def test_closing_closes_the_source(self, mode: DeltaMode) -> None:
        is_closed = False

        async def events() -> AsyncGenerator[Sequence[Event]]:
            nonlocal is_closed
            try:
                yield [stored(1)]
                await asyncio.Event().wait()
            finally:
                is_closed = True

        got = with_deltas(Batched(events()), mode)
        await anext(got)
        await got.aclose()

        assert is_closed

    @pytest.mark.parametrize("mode", list(DeltaMode))
    async def test_cancelling_closes_the_source(self, mode: DeltaMode) -> None:
        is_closed, is_waiting = False, False

        async def events() -> AsyncGenerator[Sequence[Event]]:
            nonlocal is_closed, is_waiting
            try:
                yield [piece(1, "a", 0, "Hello")]
                is_waiting = True
                await asyncio.Event().wait()
            finally:
                is_closed = True

        task = asyncio.create_task(_exhaust(with_deltas(Batched(events()), mode)))
        await until(lambda: is_waiting)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert is_closed

    @pytest.mark.parametrize("mode", list(DeltaMode))
    async def test_what_was_given_is_not_kept_while_the_next_is_waited_for(self, mode: DeltaMode) -> None:
        subject = uuid4()

        async def events() -> AsyncGenerator[Sequence[Event]]:
            yield [StoredEvent(subject, 1, "Happened", {}, now(), is_terminal=False)]
            await asyncio.Event().wait()

        async with aclosing(with_deltas(Batched(events()), mode)) as got:
            assert len(await got.batch()) == 1
            waiting = asyncio.create_task(got.batch())
            await until(lambda: not count_kept(subject))
            assert not waiting.done()
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)

    @pytest.mark.parametrize("mode", [DeltaMode.ALL, DeltaMode.COALESCED])
    async def test_a_batch_of_stored_events_is_handed_on_as_it_is(self, mode: DeltaMode) -> None:
        batch = Batch([stored(1), stored(2)])

        async def events() -> AsyncGenerator[Sequence[Event]]:
            yield batch

        assert await with_deltas(Batched(events()), mode).batch() is batch


async def _exhaust(events: Batched[Event]) -> None:
    async with aclosing(events):
        async for _ in events:
            pass


@st.composite
def logs(draw: st.DrawFn) -> list[Event]:
    """Make a log in which messages are written in pieces, some of them several times, with events between them."""
    events: list[Event] = []
    sequence = 0
    for number in range(draw(st.integers(1, 3))):
        message, given = f"message-{number}", 0
        text = draw(st.text(alphabet="abcdefgh", min_size=1, max_size=12))
        while given < len(text):
            size = draw(st.integers(1, 4))
            start = draw(st.integers(0, given))
            events.append(piece(sequence, message, start, text[start : given + size]))
            given += size
            if draw(st.booleans()):
                sequence += 1
                events.append(stored(sequence))
        sequence += 1
        events.append(stored(sequence, message))
    return events


class TestAnyLog:
    @given(logs(), st.sampled_from([DeltaMode.ALL, DeltaMode.COALESCED]))
    def test_order_and_text_are_kept(self, log: list[Event], mode: DeltaMode) -> None:
        got = asyncio.run(through(mode, *log))

        assert [event for event in got if isinstance(event, StoredEvent)] == [
            event for event in log if isinstance(event, StoredEvent)
        ]
        assert [event.sequence for event in got] == sorted(event.sequence for event in got)
        assert _texts(got) == _texts(log)
        pieces = [event.payload for event in got if isinstance(event, LiveEvent)]
        for _, of_message in groupby(pieces, key=lambda payload: payload["message_id"]):
            position = 0
            for payload in of_message:
                assert payload["offset"] == position
                position += len(payload["text"])


def _texts(events: Sequence[Event]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for event in events:
        if isinstance(event, LiveEvent):
            written = texts.get(event.payload["message_id"], "")
            texts[event.payload["message_id"]] = written[: event.payload["offset"]] + event.payload["text"]
    return texts
