import asyncio
import hashlib
import inspect
from collections.abc import AsyncIterator
from importlib.metadata import version

import pytest
from starlette.websockets import WebSocket
from strawberry.http.exceptions import WebSocketDisconnected
from support.frames import Wire
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from graphql_api.kit.batches import Batch
from graphql_api.transport.delivery.batching import EXTENSION
from graphql_api.transport.delivery.outlets import AsgiOutlet, BatchOutlet, outlet_of

_METHODS = (
    *("connection_made", "connection_lost", "pause_writing", "resume_writing", "run_asgi", "send", "shutdown"),
    *("handle_close", "handle_connect", "handle_parser_exception", "keepalive_timeout", "receive", "start_keepalive"),
)


@pytest.fixture
async def wire(anyio_backend: str) -> AsyncIterator[Wire]:
    wire = Wire()
    await wire.open()
    yield wire
    await wire.close()


async def _turn() -> None:
    await asyncio.sleep(0)


class TestBatch:
    async def test_the_messages_of_a_batch_are_one_write_and_do_not_wait(self, wire: Wire) -> None:
        wire.protocol.put(b'{"n":', Batch([b"0", b"1", b"2"]), b"}")
        assert len(wire.transport.writes) == 1
        assert wire.read() == [b'{"n":0}', b'{"n":1}', b'{"n":2}']

    async def test_a_batch_may_be_sent_by_many_each_with_a_prefix_of_its_own(self, wire: Wire) -> None:
        batch = Batch([b"0", b"1" * 200])
        for prefix in (b"a", b"b", b"c" * 130, b"", b"a"):
            wire.protocol.put(prefix, batch, b"}")
        assert wire.read() == [
            prefix + payload + b"}" for prefix in (b"a", b"b", b"c" * 130, b"", b"a") for payload in batch
        ]

    @pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 70000])
    async def test_a_message_of_any_size_arrives_whole(self, wire: Wire, size: int) -> None:
        wire.protocol.put(b"", Batch([b"x" * size]), b"")
        wire.protocol.put(b"", Batch([b"after"]), b"")
        assert wire.read() == [b"x" * size, b"after"]

    async def test_what_asgi_sends_comes_after_what_was_put_before(self, wire: Wire) -> None:
        wire.protocol.put(b"", Batch([b"first"]), b"")
        await wire.protocol.send({"type": "websocket.send", "text": "second"})
        wire.protocol.put(b"", Batch([b"third"]), b"")
        assert wire.read() == [b"first", b"second", b"third"]

    async def test_a_close_comes_after_what_was_put_before_and_ends_it(self, wire: Wire) -> None:
        wire.protocol.put(b"", Batch([b"last"]), b"")
        await wire.protocol.send({"type": "websocket.close", "code": 4400, "reason": "no"})
        with pytest.raises(ClientDisconnected):
            wire.protocol.put(b"", Batch([b"too late"]), b"")
        assert wire.read() == [b"last"]
        assert wire.client.close_rcvd is not None
        assert wire.client.close_rcvd.code == 4400
        wire.protocol.close_timer.cancel()  # type: ignore[union-attr]  # it was just set

    async def test_a_shutdown_comes_after_what_was_put_before(self, wire: Wire) -> None:
        wire.protocol.put(b"", Batch([b"last"]), b"")
        wire.protocol.shutdown()
        assert wire.read() == [b"last"]
        assert wire.client.close_rcvd is not None
        assert wire.client.close_rcvd.code == 1012
        with pytest.raises(ClientDisconnected):
            wire.protocol.put(b"", Batch([b"too late"]), b"")

    async def test_nothing_is_written_to_a_lost_connection(self, wire: Wire) -> None:
        wire.transport.close()
        with pytest.raises(ClientDisconnected):
            wire.protocol.put(b"", Batch([b"lost"]), b"")
        assert wire.transport.writes == []


class TestBackPressure:
    async def test_a_client_that_does_not_read_is_waited_for(self, wire: Wire) -> None:
        outlet = BatchOutlet(wire.protocol, "a")
        await outlet.send(Batch([b"1"]))
        wire.protocol.pause_writing()
        sending = asyncio.create_task(outlet.send(Batch([b"2"])))
        await _turn()
        assert not sending.done()
        wire.protocol.resume_writing()
        await sending
        assert wire.read() == [b'{"id":"a","type":"next","payload":%d}' % number for number in (1, 2)]

    async def test_a_client_that_goes_is_not_waited_for(self, anyio_backend: str) -> None:
        wire = Wire()
        await wire.open()
        outlet = BatchOutlet(wire.protocol, "a")
        wire.protocol.pause_writing()
        sending = asyncio.create_task(outlet.send(Batch([b"1"])))
        await _turn()
        wire.transport.close()
        await wire.close()
        with pytest.raises(WebSocketDisconnected):
            await sending
        with pytest.raises(WebSocketDisconnected):
            await outlet.send(Batch([b"2"]))


class TestOutletOf:
    def _websocket(self, wire: Wire) -> WebSocket:
        return WebSocket(wire.scope, receive=wire.protocol.receive, send=wire.protocol.send)

    async def test_it_is_past_asgi_where_the_server_offers_that(self, wire: Wire) -> None:
        assert isinstance(outlet_of(self._websocket(wire), "a"), BatchOutlet)

    async def test_compressed_messages_go_through_asgi(self, anyio_backend: str) -> None:
        wire = Wire([ClientPerMessageDeflateFactory()])
        await wire.open()
        assert EXTENSION not in wire.scope["extensions"]
        assert isinstance(outlet_of(self._websocket(wire), "a"), AsgiOutlet)
        await wire.close()

    async def test_it_is_asgi_under_another_server(self, anyio_backend: str) -> None:
        sent = []

        async def send(message: object) -> None:
            sent.append(message)

        async def receive() -> dict[str, object]:
            return {"type": "websocket.connect"}

        websocket = WebSocket({"type": "websocket"}, receive=receive, send=send)
        await websocket.accept()
        await outlet_of(websocket, "a").send(Batch(['"é"'.encode(), b"2"]))
        assert sent[1:] == [
            {"type": "websocket.send", "text": '{"id":"a","type":"next","payload":"é"}'},
            {"type": "websocket.send", "text": '{"id":"a","type":"next","payload":2}'},
        ]

    async def test_asgi_tells_when_the_client_is_gone(self, anyio_backend: str) -> None:
        async def send(message: dict[str, object]) -> None:
            if message["type"] == "websocket.send":
                raise OSError

        async def receive() -> dict[str, object]:
            return {"type": "websocket.connect"}

        websocket = WebSocket({"type": "websocket"}, receive=receive, send=send)  # type: ignore[arg-type]  # ASGI's own
        await websocket.accept()
        with pytest.raises(WebSocketDisconnected):
            await outlet_of(websocket, "a").send(Batch([b"1"]))


class TestSeam:
    def test_uvicorns_protocol_is_the_one_that_was_looked_at(self) -> None:
        # Whoever sees this fail: read what changed in these methods, then `batching.py`, and put the new digest here.
        sources = "".join(inspect.getsource(getattr(WebSocketsSansIOProtocol, method)) for method in _METHODS)
        digest = hashlib.sha256(sources.encode()).hexdigest()[:16]
        assert (version("uvicorn").rpartition(".")[0], digest) == ("0.54", "6fb6ba5122aab402")
