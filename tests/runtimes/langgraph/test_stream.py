from collections.abc import AsyncIterator, Iterable

import httpx
import pytest

from graphql_api.runtimes.langgraph.stream import RECENT_EVENTS, REFUSED, Position, SentEvent, frames_of
from graphql_api.runtimes.protocol import Frame

pytestmark = pytest.mark.anyio

MOST = 100


class Chunks(httpx.AsyncByteStream):
    """A body that arrives in pieces."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk


async def read(*chunks: bytes) -> list[Frame]:
    response = httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Chunks(chunks))
    return [frame async for frame in frames_of(response, Position(), max_frame_bytes=MOST)]


def event(content: bytes, name: bytes = b"custom", number: int = 1) -> bytes:
    return b"event: %s\r\ndata: %s\r\nid: %d-0\r\n\r\n" % (name, content, number)


class TestFrames:
    async def test_each_event_is_one(self) -> None:
        assert await read(event(b'{"a": 1}', b"updates|tools:1"), event(b"null", b"metadata")) == [
            Frame("updates|tools:1", {"a": 1}),
            Frame("metadata", None),
        ]

    async def test_pieces_are_put_together_wherever_they_were_cut(self) -> None:
        whole = event('{"a": "ä\u2028\x85"}'.encode()) + event(b"2")
        assert await read(*(whole[index : index + 1] for index in range(len(whole)))) == [
            Frame("custom", {"a": "ä\u2028\x85"}),
            Frame("custom", 2),
        ]

    @pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
    async def test_lines_end_in_any_way(self, end: bytes) -> None:
        whole = event(b"1").replace(b"\r\n", end) + event(b"[2,\r\ndata:3]").replace(b"\r\n", end)
        for size in (1, 2, 3, len(whole)):
            chunks = [whole[index : index + size] for index in range(0, len(whole), size)]
            assert await read(*chunks) == [Frame("custom", 1), Frame("custom", [2, 3])]

    async def test_what_has_no_name_is_a_message(self) -> None:
        assert await read(b"retry: 5\n\ndata: 1\n\ndata\n\n: data: 2\n\n") == [Frame("message", 1)]

    async def test_heartbeats_are_none(self) -> None:
        assert await read(b": heartbeat\r\n\r\n", event(b"1"), b": heartbeat\r\n\r\n: heartbeat\r\n\r\n") == [
            Frame("custom", 1)
        ]

    async def test_an_event_that_was_cut_off_is_none(self) -> None:
        assert await read(event(b"1"), b"event: custom\r\ndata: 2\r\n") == [Frame("custom", 1)]

    async def test_what_is_not_utf_8_is_replaced(self) -> None:
        assert await read(event(b'"\xff\xfe"')) == [Frame("custom", "��")]

    async def test_what_python_writes_beyond_json_is_read(self) -> None:
        (frame,) = await read(event(b'["\\ud800", Infinity, 123456789012345678901234567890]'))
        assert frame.content == ["\ud800", float("inf"), 123456789012345678901234567890]


class TestRefusals:
    @pytest.mark.parametrize("content", [b"this is no JSON {", b"[" * 80])
    async def test_what_is_not_json_is_refused_and_the_stream_goes_on(self, content: bytes) -> None:
        assert await read(event(content), event(b"2", number=2)) == [
            Frame(REFUSED, {"event": "custom", "reason": "It is not JSON."}),
            Frame("custom", 2),
        ]

    @pytest.mark.parametrize("size", [1, 7, 10_000])
    async def test_a_huge_event_is_refused_and_the_stream_goes_on(self, size: int) -> None:
        whole = event(b'"%s"' % (b"x" * 500)) + event(b"2", number=2)
        assert await read(*(whole[index : index + size] for index in range(0, len(whole), size))) == [
            Frame(REFUSED, {"event": "custom", "reason": "It has more than 100 bytes."}),
            Frame("custom", 2),
        ]

    async def test_many_lines_of_one_event_are_bounded_together(self) -> None:
        lines = b"".join(b"data: 1\r\n" for _ in range(1000))
        refused, following = await read(b"event: custom\r\n" + lines + b"\r\n", event(b"2"))
        assert refused.kind == REFUSED
        assert following == Frame("custom", 2)


def sent(event_id: str, data: str = "x") -> SentEvent:
    return SentEvent("custom", data.encode(), event_id)


class TestPosition:
    async def test_what_lies_far_back_is_forgotten(self) -> None:
        position = Position()
        for number in range(RECENT_EVENTS + 1):
            assert position.pass_by(sent(f"{number}-0"))
        assert not position.pass_by(sent("1-0"))
        position = Position()
        for number in range(RECENT_EVENTS + 1):
            assert position.pass_by(sent(f"{number}-0"))
        assert position.pass_by(sent("0-0"))

    async def test_at_the_beginning_nothing_was_read(self) -> None:
        assert (Position().before, Position().skip) == ("-1", 0)

    async def test_who_goes_on_does_so_before_all_that_share_the_last_id(self) -> None:
        position = Position()
        for number, event_id in enumerate(("100-0", "102-0", "102-1", "102-1")):
            assert position.pass_by(sent(event_id, str(number)))
        assert (position.before, position.skip) == ("101-0", 3)

    @pytest.mark.parametrize("event_id", ["", "seven", "9" * 5000])
    async def test_without_ids_all_is_passed_by_again(self, event_id: str) -> None:
        position = Position()
        assert all(position.pass_by(sent(event_id)) for _ in range(3))
        assert (position.before, position.skip) == ("-1", 3)

    async def test_what_the_server_sends_twice_is_read_once(self) -> None:
        position = Position()
        kept = [sent("100-0", "a"), sent("101-0", "b"), sent("101-0", "c"), sent("103-0", "d")]
        assert all(position.pass_by(event, 50.0) for event in kept)
        assert not any(position.pass_by(event, 50.0) for event in kept[1:])
        assert position.pass_by(sent("103-0", "e"), 50.0)
        assert (position.before, position.skip) == ("102-0", 2)

    async def test_within_a_millisecond_it_is_so_only_around_the_connection(self) -> None:
        for connected_at, is_new in ((0.0, False), (None, False), (50.0, True)):
            position = Position()
            assert position.pass_by(sent("100-0"), connected_at)
            assert position.pass_by(sent("100-0"), connected_at) is is_new

    async def test_a_clock_that_goes_back_repeats_nothing(self) -> None:
        position = Position()
        assert all(position.pass_by(sent(event_id, event_id)) for event_id in ("100-0", "90-0", "91-0"))

    async def test_the_server_tells_when_a_stream_began(self) -> None:
        body = event(b"1", number=100) * 2
        for date, count in (("Thu, 01 Jan 1970 00:00:00 GMT", 1), ("Thu, 01 Jan 1970 00:01:00 GMT", 2), ("soon", 1)):
            headers = {"content-type": "text/event-stream", "date": date}
            response = httpx.Response(200, headers=headers, stream=Chunks([body]))
            assert len([frame async for frame in frames_of(response, Position())]) == count
