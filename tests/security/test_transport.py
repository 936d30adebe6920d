"""Requests and messages that are too long, too slow, too deep, or no requests at all."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from support.server import Person, Site
from support.sockets import Socket, opened
from support.waiting import WAIT_SECONDS
from websockets.exceptions import ConnectionClosed

pytestmark = pytest.mark.anyio

MEBIBYTE = 1024 * 1024
AS_JSON = {"content-type": "application/json"}


async def by_hand(target: Site, request: bytes) -> bytes:
    """Send bytes; give the first of what comes back, nothing when the connection is closed."""
    host, _, port = target.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(request)
        await writer.drain()
        async with asyncio.timeout(WAIT_SECONDS):
            return await reader.readline()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def lives(target: Site) -> bool:
    return (await target.ask("{ __typename }")) == {"data": {"__typename": "Query"}}


async def until_closed(target: Site, begin: bytes, more: bytes) -> bytes:
    """Send more and more, until the connection is closed; give what came back."""
    host, _, port = target.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    answer = asyncio.create_task(reader.read())
    try:
        writer.write(begin)
        for _ in range(64 * MEBIBYTE // len(more)):
            writer.write(more)
            await writer.drain()
            await asyncio.wait([answer], timeout=0)
            if answer.done():
                return await answer
        raise AssertionError("it took 64 MiB")
    except ConnectionError:
        return b""
    finally:
        answer.cancel()
        writer.close()


class TestHead:
    @pytest.mark.parametrize(
        ("begin", "more"),
        [
            (b"GET /" + b"x" * 100, b"x" * 4096),
            (b"GET / HTTP/1.1\r\nhost: x\r\nx: ", b"x" * 4096),
            (b"GET / HTTP/1.1\r\nhost: x\r\n" + b"x" * 100, b"x" * 4096),
            (b"GET / HTTP/1.1\r\nhost: x\r\n", b"a: b\r\n" * 512),
            (b"", b"\r\n" * 2048),
        ],
        ids=["target", "value", "name", "headers", "nothing"],
    )
    async def test_one_without_an_end_is_refused(self, target: Site, begin: bytes, more: bytes) -> None:
        answer = await until_closed(target, begin, more)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert await lives(target)

    async def test_a_foreign_upgrade_does_not_make_a_request_of_a_body(self, target: Site) -> None:
        body = b'{"query":"{ __typename }","variables":{"padding":"GET /health HTTP/1.1"}}'
        head = b"POST /graphql HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n"
        head += b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
        host, _, port = target.url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            for part in (head, body, b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"):
                writer.write(part)
                await writer.drain()
                await target.ask("{ __typename }")  # what was written has been read by then
            async with asyncio.timeout(WAIT_SECONDS):
                answer = await reader.read()
        finally:
            writer.close()
        assert answer.count(b"HTTP/1.1 ") == 2
        assert b'{"data":{"__typename":"Query"}}HTTP/1.1 200 OK' in answer

    @pytest.mark.parametrize("hosts", [b"", b"host: x\r\nhost: y\r\n"], ids=["none", "two"])
    async def test_one_that_does_not_name_one_host_is_refused(self, target: Site, hosts: bytes) -> None:
        assert b" 400 " in await by_hand(target, b"GET /health HTTP/1.1\r\n" + hosts + b"\r\n")

    async def test_a_large_one_is_read(self, target: Site) -> None:
        answer = await target.request("GET", "/health", headers={"x": "x" * 32_000})
        assert answer.status_code == 200


class TestBody:
    async def test_one_that_is_announced_too_long_is_refused_unread(self, target: Site) -> None:
        head = b"POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        assert b" 413 " in await by_hand(target, head + b"content-length: 99999999999\r\n\r\n")

    async def test_one_that_turns_out_too_long_is_refused(self, target: Site) -> None:
        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(64):
                yield b" " * MEBIBYTE

        try:
            answer = await target.request("POST", "/graphql", content=chunks(), headers=AS_JSON)
        except httpx.TransportError:
            answer = None  # the answer came while the body was still on its way
        if answer is not None:
            (error,) = answer.json()["errors"]
            assert (answer.status_code, error["extensions"]["code"]) == (413, "QUERY_TOO_COMPLEX")
        assert await lives(target)

    @pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "gzip, gzip"])
    async def test_a_bomb_is_not_unpacked(self, target: Site, encoding: str) -> None:
        body = gzip.compress(b'{"query":"{__typename}' + b" " * MEBIBYTE * 20 + b'"}')
        headers = {**AS_JSON, "content-encoding": encoding}
        answer = await target.request("POST", "/graphql", content=body, headers=headers)

        assert answer.status_code == 415
        assert answer.headers["content-type"].startswith("application/")

    async def test_a_batch_is_not_taken(self, target: Site, ada: Person) -> None:
        headers = {"authorization": f"Bearer {ada.token}"}
        batch = [{"query": "{ viewer { id } }"}] * 1000
        answer = await target.request("POST", "/graphql", json=batch, headers=headers)

        assert answer.status_code == 400
        assert answer.json()["errors"][0]["extensions"]["code"] == "VALIDATION_FAILED"


class TestHttp:
    @pytest.mark.parametrize(
        "request_",
        [
            pytest.param(b"GARBAGE\r\n\r\n", id="garbage"),
            pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", id="TLS"),
            pytest.param(b"GET /graphql HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n", id="no header"),
            pytest.param(
                b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
                id="two lengths",
            ),
            pytest.param(b"POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n", id="negative length"),
            pytest.param(b"GET /" + b"x" * 200_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", id="long path"),
        ],
    )
    async def test_what_is_none_is_refused_and_the_server_goes_on(self, target: Site, request_: bytes) -> None:
        assert b" 200 " not in await by_hand(target, request_)
        assert await lives(target)

    @pytest.mark.parametrize(
        "path", ["/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/graphql/../../x", "/static/..%2f..%2fapp.py", "//"]
    )
    async def test_no_path_leads_to_a_file(self, target: Site, path: str) -> None:
        line = await by_hand(target, f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
        assert b" 404 " in line

    @pytest.mark.parametrize("method", ["PUT", "DELETE", "TRACE", "PATCH", "PROPFIND"])
    async def test_no_other_method_is_taken(self, target: Site, method: str) -> None:
        assert (await target.request(method, "/graphql")).status_code == 405


POISON: dict[str, Any] = {
    "no JSON": "{",
    "a number": "1",
    "nothing": "null",
    "a list": "[]",
    "a text": '"subscribe"',
    "no type": "{}",
    "a type that is a number": '{"type": 1}',
    "an unknown type": '{"type": "' + "x" * 2000 + '"}',
    "an operation without an id": '{"type": "subscribe", "payload": {"query": "{ __typename }"}}',
    "an id that is a list": '{"type": "subscribe", "id": [], "payload": {"query": "{ __typename }"}}',
    "no payload": '{"type": "subscribe", "id": "1"}',
    "a payload that is a list": '{"type": "subscribe", "id": "1", "payload": []}',
    "a document that is a number": '{"type": "subscribe", "id": "1", "payload": {"query": 1}}',
    "variables in a list": '{"type": "subscribe", "id": "1", "payload": {"query": "{ __typename }", "variables": []}}',
    "a lone surrogate": '{"type": "subscribe", "id": "\\ud800", "payload": {"query": "{ __typename }"}}',
    "depth": "[" * 100_000,
    "bytes": b"\x00\x01",
    "bytes that are no text": b"\xff\xfe",
}


class TestMessages:
    @pytest.mark.parametrize("name", POISON)
    async def test_what_is_none_closes_the_connection_politely(self, target: Site, name: str) -> None:
        async with opened(target.socket_url) as socket:
            await socket.init()
            await socket.send(POISON[name])
            assert await socket.close_code() == 4400
        assert await lives(target)

    async def test_one_that_is_too_long_closes_it(self, target: Site) -> None:
        async with opened(target.socket_url) as socket:
            await socket.init()
            message = {"type": "ping", "payload": {"a": "x" * 20 * MEBIBYTE}}
            await self.send_until_closed(socket, json.dumps(message))
            assert await socket.close_code() in {1009, 1006, 4400}
        assert await lives(target)

    async def send_until_closed(self, socket: Socket, message: str) -> None:
        try:
            await socket.send(message)
        except ConnectionClosed:
            return

    async def test_nothing_runs_before_it_is_acknowledged(self, target: Site) -> None:
        async with opened(target.socket_url) as socket:
            await socket.subscribe("{ __typename }")
            assert await socket.close_code() == 4401

    async def test_one_id_has_one_operation(self, target: Site, ada: Person, workflow: str) -> None:
        watch = "subscription($id: ID!) { workflowEvents(workflowId: $id) { sequence } }"
        async with opened(target.socket_url) as socket:
            await socket.init({"authorization": f"Bearer {ada.token}"})
            for _ in range(2):
                await socket.subscribe(watch, {"id": workflow}, id_="same")
            assert await socket.close_code() == 4409

    @pytest.mark.parametrize("protocol", ["graphql-ws", "soap", "GRAPHQL-TRANSPORT-WS"])
    async def test_no_other_protocol_is_spoken(self, target: Site, protocol: str) -> None:
        async with opened(target.socket_url, protocols=(protocol,)) as socket:
            assert await socket.close_code() == 4406
