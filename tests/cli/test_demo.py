import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from support.commands import Invoke, Running, assert_one_line
from support.server import serving

pytestmark = pytest.mark.anyio

Json = dict[str, Any]
SESSION = {
    "accessToken": "token",
    "refreshToken": "old",
    "expiresAt": "2999-01-01T00:00:00+00:00",
    "user": {"name": "Ada", "email": "ada@example.com"},
}
ANSWERS: dict[str, Json] = {
    "login": {"session": SESSION, "errors": []},
    "refreshSession": {"session": SESSION, "errors": []},
    "createWorkflow": {"workflow": {"id": "w", "name": "W", "draft": {"fileCount": 1, "revision": 1}}, "errors": []},
    "refineWorkflow": {"proposal": {"id": "p", "status": "PENDING", "baseRevision": 1}, "errors": []},
}


class ScriptedApi:
    """An API of which only the first steps work, whose agent sends what a test says.

    Args:
        messages: What the subscription is sent, as messages of graphql-transport-ws without their ids.
        answers: Payloads of mutations that differ from the usual ones.
    """

    def __init__(self, *messages: Json, **answers: Json) -> None:
        self.asked: list[str] = []
        self._messages = messages
        self._answers = {**ANSWERS, **answers}
        self.app = Starlette(
            routes=[Route("/graphql", self._answer, methods=["POST"]), WebSocketRoute("/graphql", self._watch)]
        )

    async def _answer(self, request: Request) -> Response:
        query = (await request.json())["query"]
        name = next(name for name in self._answers if name in query)
        self.asked.append(name)
        return JSONResponse({"data": {name: self._answers[name]}})

    async def _watch(self, socket: WebSocket) -> None:
        await socket.accept("graphql-transport-ws")
        await socket.receive_json()
        await socket.send_json({"type": "connection_ack"})
        request = await socket.receive_json()
        for message in (*self._messages, {"type": "complete"}):
            await socket.send_json({"id": request["id"], **message})
        await socket.receive()


def event(kind: str, **fields: object) -> Json:
    shared = {"__typename": kind, "cursor": "c", "sequence": 1, "occurredAt": "2026-01-01T00:00:00Z"}
    return {"type": "next", "payload": {"data": {"proposalEvents": {**shared, **fields}}}}


class Line:
    """A connection to a server through which everything passes, until it is cut."""

    def __init__(self, url: str) -> None:
        self._target = urlsplit(url)
        self.cuts = 0

    @asynccontextmanager
    async def open(self, *, cut_after: int) -> AsyncIterator[str]:
        """Listen; the first WebSocket is cut once this many bytes came down through it."""
        self._left = cut_after
        server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(self._target.hostname, self._target.port)
        first = await reader.read(65536)
        up_writer.write(first)
        is_cut = b"upgrade: websocket" in first.lower() and not self.cuts
        ways = (self._copy(reader, up_writer), self._copy(up_reader, writer, is_cut=is_cut))
        tasks = [asyncio.create_task(way) for way in ways]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for end in (writer, up_writer):
            end.close()
            with suppress(OSError):
                await end.wait_closed()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_cut: bool = False) -> None:
        while piece := await reader.read(1024):
            if is_cut:
                self._left -= len(piece)
                if self._left < 0:
                    self.cuts += 1
                    return
            writer.write(piece)
            await writer.drain()


class TestLostConnection:
    async def test_the_stream_goes_on_after_the_last_event(self, invoke: Invoke, dev: Running) -> None:
        line = Line(dev.url)
        async with line.open(cut_after=4096) as url:
            code, out, err = await invoke.off_loop("demo", "--url", url, "--json")

        lines = [orjson.loads(text) for text in out.splitlines()]
        events = [text["event"] for text in lines if "event" in text]
        stored = [event["sequence"] for event in events if event["__typename"] != "AgentMessageDelta"]
        assert (code, err, line.cuts) == (0, "", 1)
        assert [text for text in lines if "lost" in text] != []
        assert stored == list(range(1, len(stored) + 1))

    async def test_lines_tell_where_it_goes_on(self, invoke: Invoke, dev: Running) -> None:
        async with Line(dev.url).open(cut_after=4096) as url:
            result = await invoke.off_loop("demo", "--url", url)

        assert result.code == 0
        assert "  link    lost (" in result.out
        assert "going on after event " in result.out


class TestRefusals:
    def test_without_a_server_the_way_to_one_is_told(self, invoke: Invoke) -> None:
        assert_one_line(invoke("demo", "--url", "http://127.0.0.1:1"), "http://127.0.0.1:1/graphql", "orchestrator dev")

    @pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://host/graphql", "http://", "http://h:99999", "http://[x"])
    def test_an_address_that_is_none_is_told(self, invoke: Invoke, url: str) -> None:
        assert_one_line(invoke("demo", "--url", url), f"{url} is no address of an API")

    @pytest.mark.parametrize("body", ["not found", '["json"]', "{}"])
    async def test_a_server_of_something_else_is_told(self, invoke: Invoke, body: str) -> None:
        async def answer(_request: Request) -> Response:
            return PlainTextResponse(body, 404)

        async with serving(Starlette(routes=[Route("/graphql", answer, methods=["POST"])])) as url:
            assert_one_line(await invoke.off_loop("demo", "--url", url), "no GraphQL endpoint", "HTTP 404")

    async def test_a_wrong_password_is_told(self, invoke: Invoke, dev: Running) -> None:
        invoke.type("not-to-be-shown\n")
        result = await invoke.off_loop("demo", "--url", dev.url, "--email", "eve@example.com")
        assert_one_line(result, "The e-mail address or the password is not right")

    async def test_a_prompt_that_breaks_a_rule_is_told(self, invoke: Invoke, dev: Running) -> None:
        code, _, err = await invoke.off_loop("demo", "--url", dev.url, "--prompt", "x" * 100_001)
        assert (code, len(err.splitlines())) == (1, 1)

    async def test_an_error_of_the_whole_operation_is_told(self, invoke: Invoke) -> None:
        async def answer(_request: Request) -> Response:
            return JSONResponse({"data": None, "errors": [{"message": "Something\nbroke."}]})

        async with serving(Starlette(routes=[Route("/graphql", answer, methods=["POST"])])) as url:
            assert_one_line(await invoke.off_loop("demo", "--url", url), "Error: Something broke\n")


class TestEnds:
    @pytest.mark.parametrize(
        ("message", "reason"),
        [
            (event("ProposalFailed", failure={"code": "X", "message": "Out of luck."}), "failed: Out of luck"),
            (event("ProposalCancelled", reason=None), "stopped the agent: they did not say why"),
            (event("ProposalQueued"), "The subscription ended before the work did"),
            ({"type": "error", "payload": [{"message": "Not yours."}]}, "Not yours"),
        ],
    )
    async def test_an_end_without_a_result_is_a_problem(self, invoke: Invoke, message: Json, reason: str) -> None:
        async with serving(ScriptedApi(message).app) as url:
            code, _, err = await invoke.off_loop("demo", "--url", url)

        assert code == 1
        assert len(err.splitlines()) == 1
        assert reason in err

    async def test_a_token_that_is_about_to_expire_is_exchanged_first(self, invoke: Invoke) -> None:
        old: Json = {"session": {**SESSION, "expiresAt": "2020-01-01T00:00:00+00:00"}, "errors": []}
        api = ScriptedApi(event("ProposalQueued"), login=old)
        async with serving(api.app) as url:
            await invoke.off_loop("demo", "--url", url)

        assert api.asked == ["login", "refreshSession", "createWorkflow", "refineWorkflow"]
