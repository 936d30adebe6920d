import asyncio
import json
import socket
import struct
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from support.log_lines import Lines, written
from support.server import Person, Site
from support.sockets import connected, opened
from support.waiting import until

pytestmark = pytest.mark.anyio

SECRET = "a prompt that nobody but the agent reads"
CREATE = 'mutation Make { createWorkflow(input: { name: "W" }) { workflow { id } errors { code } } }'
REFINE = """mutation Refine($id: ID!, $prompt: String!) {
  refineWorkflow(input: { workflowId: $id, prompt: $prompt }) { proposal { id } errors { code } }
}"""
FOLLOW = "subscription Follow($id: ID!) { workflowEvents(workflowId: $id) { sequence } }"


async def new_workflow(site: Site, person: Person) -> str:
    return str((await site.ask(CREATE, token=person.token))["data"]["createWorkflow"]["workflow"]["id"])


async def has(lines: Lines, event: str, count: int = 1) -> None:
    await until(lambda: len(lines.of(event)) >= count)


class TestRequests:
    async def test_each_writes_a_line_that_says_who_what_and_how(self, running_site: Site, ada: Person) -> None:
        with written() as lines:
            answer = await running_site.request(
                "POST",
                "/graphql",
                json={"query": "query Look { viewer { id } }"},
                headers={"authorization": f"Bearer {ada.token}"},
            )
            await has(lines, "request_ended")

        (line,) = lines.of("request_ended")
        assert line.pop("milliseconds") > 0
        assert line.pop("timestamp")
        assert line == {
            "event": "request_ended",
            "level": "info",
            "logger": "graphql_api.transport.access",
            "method": "POST",
            "path": "/graphql",
            "status": 200,
            "operation": "Look",
            "operation_type": "query",
            "outcome": "ok",
            "request_id": answer.headers["x-request-id"],
            "user_id": str(ada.user.id),
        }

    async def test_an_error_names_the_request_that_the_answer_and_the_log_name(
        self, running_site: Site, ada: Person, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(type(running_site.engines.runtime), "health", None)
        with written() as lines:
            told = await running_site.ask("query Broken { runtime { healthy } }", token=ada.token)
            await has(lines, "request_ended")

        (failed,), (ended,) = lines.of("operation_failed"), lines.of("request_ended")
        assert failed["request_id"] == ended["request_id"] == told["errors"][0]["extensions"]["requestId"]
        assert (failed["operation"], failed["user_id"]) == ("Broken", str(ada.user.id))
        assert ended["outcome"] == "failed"

    async def test_one_request_knows_nothing_of_another_on_its_connection(
        self, running_site: Site, ada: Person
    ) -> None:
        with written() as lines:
            await running_site.ask("query First { viewer { id } }", token=ada.token)
            await running_site.request("GET", "/elsewhere?token=hunter2")
            await has(lines, "request_ended", 2)

        second = next(line for line in lines.of("request_ended") if line["path"] == "/elsewhere")
        assert second["status"] == 404
        assert not {"operation", "user_id", "outcome"} & set(second)
        assert "hunter2" not in lines.text

    @pytest.mark.parametrize("path", ["/health", "/ready", "/metrics"])
    async def test_probes_are_quiet(self, running_site: Site, path: str) -> None:
        with written() as lines:
            await running_site.request("GET", path)
            await running_site.request("GET", "/elsewhere")
            await has(lines, "request_ended")

        assert [line["path"] for line in lines.of("request_ended")] == ["/elsewhere"]

    async def test_a_path_is_no_way_to_fill_the_log(self, running_site: Site) -> None:
        with written() as lines:
            await running_site.request("GET", "/" + "a" * 5000)
            await has(lines, "request_ended")

        assert len(lines.text) < 600

    async def test_no_prompt_and_no_token_is_in_it(self, running_site: Site, ada: Person) -> None:
        with written("debug") as lines:
            workflow = await new_workflow(running_site, ada)
            await running_site.ask(REFINE, {"id": workflow, "prompt": SECRET}, token=ada.token)
            async with connected(running_site.socket_url, ada.token) as opened_socket:
                await opened_socket.subscribe(FOLLOW, {"id": workflow})
                await opened_socket.next()
            await has(lines, "websocket_ended")

        assert SECRET not in lines.text
        assert ada.token not in lines.text
        assert ada.token.split(".")[2] not in lines.text


class TestWebSockets:
    async def test_each_operation_has_its_own_lines(self, running_site: Site, ada: Person) -> None:
        workflow = await new_workflow(running_site, ada)
        with written() as lines:
            async with connected(running_site.socket_url, ada.token) as opened_socket:
                id_ = await opened_socket.subscribe(FOLLOW, {"id": workflow})
                await opened_socket.next()
                await opened_socket.run("query Look { viewer { id } }")
                await opened_socket.send({"type": "complete", "id": id_})
                await has(lines, "operation_ended", 2)
            await has(lines, "websocket_ended")

        (started,), (look, follow), (ended,) = map(
            lines.of, ("subscription_started", "operation_ended", "websocket_ended")
        )
        assert (look["operation"], look["operation_type"], look["outcome"]) == ("Look", "query", "ok")
        assert (follow["operation"], follow["outcome"]) == ("Follow", "cancelled")
        assert follow["request_id"] == started["request_id"]
        assert len({follow["request_id"], look["request_id"], ended["request_id"]}) == 3
        assert {line["user_id"] for line in (started, look, follow, ended)} == {str(ada.user.id)}
        assert ended["code"] == 1000
        assert "outcome" not in ended

    async def test_the_code_tells_who_closed_it_and_why(self, running_site: Site) -> None:
        with written() as lines:
            async with opened(running_site.socket_url) as opened_socket:
                await opened_socket.send([])
                assert await opened_socket.close_code() == 4400
            await has(lines, "websocket_ended")

        assert lines.of("websocket_ended")[0]["code"] == 4400


def reset(connection: socket.socket) -> None:
    """Close a connection so that the other end gets a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def half_a_body(site: Site, _token: str) -> None:
    with socket.create_connection((urlsplit(site.url).hostname, urlsplit(site.url).port)) as connection:
        connection.sendall(
            b"POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"
        )
        reset(connection)


def an_unread_answer(site: Site, token: str) -> None:
    body = json.dumps({"query": "{ viewer { id } }"})
    with socket.create_connection((urlsplit(site.url).hostname, urlsplit(site.url).port)) as connection:
        connection.sendall(
            f"POST /graphql HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n\r\n{body}".encode()
        )
        reset(connection)


def no_http(site: Site, _token: str) -> None:
    with socket.create_connection((urlsplit(site.url).hostname, urlsplit(site.url).port)) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00" * 20)
        reset(connection)


def half_a_handshake(site: Site, _token: str) -> None:
    with socket.create_connection((urlsplit(site.url).hostname, urlsplit(site.url).port)) as connection:
        connection.sendall(
            b"GET /graphql HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
            b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            b"sec-websocket-protocol: graphql-transport-ws\r\n\r\n"
        )
        reset(connection)


class TestFlood:
    @pytest.mark.parametrize("attack", [half_a_body, an_unread_answer, no_http, half_a_handshake])
    async def test_who_hangs_up_writes_a_line_at_most_and_no_traceback(
        self, running_site: Site, ada: Person, attack: Callable[[Site, str], None]
    ) -> None:
        with written() as lines:
            for _ in range(20):
                await asyncio.to_thread(attack, running_site, ada.token)
            await running_site.request("GET", "/elsewhere")
            await until(lambda: any(line["path"] == "/elsewhere" for line in lines.of("request_ended")))

        assert "Traceback" not in lines.text
        assert '"level":"error"' not in lines.text
        assert len(lines.text.splitlines()) < 30  # what was there before may still write its own

    async def test_a_subscriber_who_vanishes_writes_no_traceback(self, running_site: Site, ada: Person) -> None:
        workflow = await new_workflow(running_site, ada)
        with written() as lines:
            for _ in range(5):
                async with connected(running_site.socket_url, ada.token) as opened_socket:
                    await opened_socket.subscribe(FOLLOW, {"id": workflow})
                    await opened_socket.next()
                    transport = opened_socket.connection.transport
                    reset_at_close = transport.get_extra_info("socket")
                    reset_at_close.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    transport.abort()
            await has(lines, "websocket_ended", 5)

        assert "Traceback" not in lines.text
        assert '"level":"error"' not in lines.text
        assert 15 <= len(lines.text.splitlines()) < 20
        assert {line["outcome"] for line in lines.of("operation_ended")} == {"cancelled"}
