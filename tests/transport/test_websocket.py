"""graphql-transport-ws, spoken by hand against a server."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import strawberry
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.types import Message
from strawberry.scalars import JSON
from structlog.testing import capture_logs
from support.databases import another
from support.log_lines import troubles
from support.server import Person, Site, engines_for, quick_settings, serving, site
from support.sockets import Socket, connected, opened
from support.waiting import until
from websockets.exceptions import InvalidStatus

from graphql_api.kit.columns import now
from graphql_api.kit.database import Database
from graphql_api.kit.errors import BROKEN
from graphql_api.kit.ids import key_of
from graphql_api.schema import schema
from graphql_api.transport.graphql import GraphQLApp

pytestmark = pytest.mark.anyio

VIEWER = "{ viewer { email } }"
CREATE = (
    "mutation($input: CreateWorkflowInput!) { createWorkflow(input: $input) { workflow { id } errors { message } } }"
)
EVENTS = "subscription($id: ID!) { workflowEvents(workflowId: $id) { __typename sequence } }"


async def workflow_of(site: Site, person: Person) -> str:
    answer = await site.ask(CREATE, {"input": {"name": "Support"}}, token=person.token)
    id_: str = answer["data"]["createWorkflow"]["workflow"]["id"]
    return id_


def operations_running() -> list[str]:
    """Name the tasks of operations that nobody ended."""
    coroutines = [getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks()]
    names = ("run_operation", "_end_of_access", "handle_connection_init_timeout", "async_generator")
    return [name for name in coroutines if any(part in name for part in names)]


async def nothing_is_left(site: Site, workflow: str) -> None:
    """Wait until no task and no mailbox of a subscription is left."""
    subject = key_of(workflow, "Workflow")
    assert subject is not None
    await until(lambda: not site.engines.log._hub.follows(subject))
    await until(lambda: not operations_running())


async def begin_following(site: Site, socket: Socket, workflow: str) -> str:
    """Subscribe to a workflow's events, and wait for the first."""
    id_ = await socket.subscribe(EVENTS, {"id": workflow})
    assert await socket.next() == {"data": {"workflowEvents": {"__typename": "WorkflowCreated", "sequence": 1}}}
    return id_


class TestHandshake:
    @pytest.mark.parametrize("protocols", [("graphql-ws",), ("graphql-sse",), ()])
    async def test_only_graphql_transport_ws_is_spoken(self, running_site: Site, protocols: tuple[str, ...]) -> None:
        async with opened(running_site.socket_url, protocols=protocols) as socket:
            assert await socket.close_code() == 4406

    async def test_it_is_picked_among_others(self, running_site: Site) -> None:
        async with opened(running_site.socket_url, protocols=("graphql-ws", "graphql-transport-ws")) as socket:
            assert socket.connection.subprotocol == "graphql-transport-ws"
            assert await socket.init() == {"type": "connection_ack"}

    async def test_a_page_of_another_origin_is_refused(self, own_database: Database) -> None:
        settings = quick_settings(cors_origins=("https://app.example.com",))
        async with site(own_database, settings=settings) as running:
            async with opened(running.socket_url, origin="https://app.example.com") as socket:
                assert await socket.init() == {"type": "connection_ack"}
            async with opened(running.socket_url, origin=running.url) as socket:
                assert await socket.init() == {"type": "connection_ack"}
            with pytest.raises(InvalidStatus) as refusal:
                async with opened(running.socket_url, origin="https://evil.example.com"):
                    pass
        assert refusal.value.response.status_code == 403


@pytest.fixture(scope="module")
async def hasty_url(own_database: Database) -> AsyncIterator[str]:
    """An endpoint that waits for `connection_init` for no time at all."""
    endpoint = GraphQLApp(schema, engines_for(own_database), graphiql=None, init_timeout=timedelta(milliseconds=1))
    async with alone(endpoint) as url:
        yield url


class TestConnectionInit:
    @pytest.mark.parametrize("payload", [None, {}, {"other": 1}, {"Authorization": ""}, {"headers": {}}])
    async def test_without_credentials_it_is_anonymous(self, running_site: Site, payload: object) -> None:
        async with opened(running_site.socket_url) as socket:
            assert await socket.init(payload) == {"type": "connection_ack"}
            answer, _ = await socket.run(VIEWER)

        assert [error["extensions"]["code"] for error in answer["payload"]["errors"]] == ["UNAUTHENTICATED"]

    async def test_null_is_no_payload(self, running_site: Site) -> None:
        async with opened(running_site.socket_url) as socket:
            await socket.send({"type": "connection_init", "payload": None})

            assert await socket.receive() == {"type": "connection_ack"}

    @pytest.mark.parametrize("payload", [[], "", "token", 0, 1, False, ["Authorization"]])
    async def test_a_payload_is_an_object(self, running_site: Site, payload: object) -> None:
        async with opened(running_site.socket_url) as socket:
            await socket.send({"type": "connection_init", "payload": payload})

            assert await socket.close_code() == 4400

    @pytest.mark.parametrize(
        "payload",
        [
            {"Authorization": "Bearer TOKEN"},
            {"authorization": "TOKEN"},
            {"AUTHORIZATION": "bearer TOKEN"},
            {"token": "TOKEN"},
            {"Token": "Bearer TOKEN"},
            {"headers": {"Authorization": "Bearer TOKEN"}},
            {"Headers": {"authorization": "Bearer TOKEN"}},
            {"headers": {}, "Authorization": "Bearer TOKEN"},
            {"headers": None, "token": "TOKEN"},
            {"Authorization": "", "token": "TOKEN"},
            {"Authorization": 1, "token": "TOKEN"},
        ],
        ids=str,
    )
    async def test_the_token_has_many_names(self, running_site: Site, ada: Person, payload: dict[str, Any]) -> None:
        filled = json.loads(json.dumps(payload).replace("TOKEN", ada.token))
        async with opened(running_site.socket_url) as socket:
            assert await socket.init(filled) == {"type": "connection_ack"}

            (answer, end) = await socket.run(VIEWER)

        assert answer["payload"] == {"data": {"viewer": {"email": ada.user.email}}}
        assert end["type"] == "complete"

    async def test_the_token_may_come_in_the_header(self, running_site: Site, ada: Person) -> None:
        headers = {"authorization": f"Bearer {ada.token}"}
        async with opened(running_site.socket_url, additional_headers=headers) as socket:
            assert await socket.init() == {"type": "connection_ack"}

            (answer, _) = await socket.run(VIEWER)

        assert answer["payload"] == {"data": {"viewer": {"email": ada.user.email}}}

    async def test_the_payload_wins_over_the_header(self, running_site: Site, ada: Person) -> None:
        async with opened(running_site.socket_url, additional_headers={"authorization": "stale"}) as socket:
            assert await socket.init({"token": ada.token}) == {"type": "connection_ack"}

            (answer, _) = await socket.run(VIEWER)

        assert answer["payload"] == {"data": {"viewer": {"email": ada.user.email}}}

    async def test_a_wrong_token_closes(self, running_site: Site) -> None:
        async with opened(running_site.socket_url) as socket:
            await socket.send({"type": "connection_init", "payload": {"Authorization": "Bearer nonsense"}})

            assert await socket.close_code() == 4401

    async def test_a_wrong_token_in_the_header_closes(self, running_site: Site) -> None:
        async with opened(running_site.socket_url, additional_headers={"authorization": "Bearer nonsense"}) as socket:
            await socket.send({"type": "connection_init"})

            assert await socket.close_code() == 4401

    async def test_headers_in_headers_are_not_followed(self, running_site: Site) -> None:
        nested = '{"headers":' * 900 + "{}" + "}" * 900
        async with opened(running_site.socket_url) as socket:
            await socket.send(f'{{"type": "connection_init", "payload": {nested}}}')

            assert await socket.receive() == {"type": "connection_ack"}

    async def test_it_comes_once(self, running_site: Site, ada: Person) -> None:
        async with connected(running_site.socket_url, ada.token) as socket:
            await socket.send({"type": "connection_init", "payload": {"token": "nonsense"}})

            assert await socket.close_code() == 4429

    async def test_it_comes_in_time(self, hasty_url: str) -> None:
        async with opened(hasty_url) as socket:
            assert await socket.close_code() == 4408


class TestMessages:
    @pytest.mark.parametrize(
        "message",
        [
            "[]",
            "1",
            "null",
            '"ping"',
            "{",
            "",
            "{}",
            '{"type": null}',
            '{"type": {}}',
            '{"type": "nothing"}',
            '{"type": "' + "long" * 1000 + '"}',
            '{"type": "\\ud800"}',
            "[" * 100_000,
            '{"type": "subscribe"}',
            '{"type": "subscribe", "id": "1"}',
            '{"type": "complete"}',
            b"bytes",
        ],
        ids=lambda message: repr(message)[:40],
    )
    async def test_what_is_none_of_the_protocols_closes(self, running_site: Site, message: str | bytes) -> None:
        async with connected(running_site.socket_url) as socket:
            await socket.send(message)

            assert await socket.close_code() == 4400

    @pytest.mark.parametrize("type_", ["subscribe", "complete"])
    @pytest.mark.parametrize("id_", [None, "", 1, [], {}, True])
    async def test_an_id_is_a_text(self, running_site: Site, type_: str, id_: object) -> None:
        async with connected(running_site.socket_url) as socket:
            await socket.send({"type": type_, "id": id_, "payload": {"query": VIEWER}})

            assert await socket.close_code() == 4400

    @pytest.mark.parametrize(
        "payload",
        [
            None,
            [],
            "query",
            {},
            {"query": 1},
            {"query": VIEWER, "variables": []},
            {"query": VIEWER, "variables": ""},
            {"query": VIEWER, "extensions": []},
            {"query": VIEWER, "operationName": 0},
            {"query": VIEWER, "operationName": {}},
        ],
        ids=str,
    )
    async def test_an_operation_has_a_shape(self, running_site: Site, payload: object) -> None:
        async with connected(running_site.socket_url) as socket:
            await socket.send({"type": "subscribe", "id": "1", "payload": payload})

            assert await socket.close_code() == 4400

    async def test_a_ping_is_answered_even_before_the_init(self, running_site: Site) -> None:
        async with opened(running_site.socket_url) as socket:
            await socket.send({"type": "ping", "payload": {"any": "thing"}})

            assert await socket.receive() == {"type": "pong"}

    async def test_a_pong_is_not_answered(self, running_site: Site) -> None:
        async with connected(running_site.socket_url) as socket:
            await socket.send({"type": "pong"})

            assert await socket.is_alive()


class TestOperations:
    async def test_there_are_none_before_the_init(self, running_site: Site) -> None:
        async with opened(running_site.socket_url) as socket:
            await socket.subscribe(VIEWER)

            assert await socket.close_code() == 4401

    @pytest.mark.parametrize("id_", ["1", "long" * 1000])
    async def test_an_id_is_used_once_at_a_time(self, running_site: Site, ada: Person, id_: str) -> None:
        workflow = await workflow_of(running_site, ada)
        async with connected(running_site.socket_url, ada.token) as socket:
            await socket.subscribe(EVENTS, {"id": workflow}, id_=id_)
            await socket.subscribe(EVENTS, {"id": workflow}, id_=id_)

            assert await socket.close_code() == 4409
        await nothing_is_left(running_site, workflow)

    async def test_an_id_is_free_again_after_the_end(self, running_site: Site) -> None:
        async with connected(running_site.socket_url) as socket:
            for _ in range(2):
                await socket.subscribe("{ __typename }", id_="again")
                assert [(await socket.receive())["type"] for _ in range(2)] == ["next", "complete"]

    async def test_queries_and_mutations_run(self, running_site: Site, ada: Person) -> None:
        async with connected(running_site.socket_url, ada.token) as socket:
            created, end = await socket.run(CREATE, {"input": {"name": "By socket"}})
            id_ = created["payload"]["data"]["createWorkflow"]["workflow"]["id"]
            read, _ = await socket.run("query($id: ID!) { workflow(id: $id) { name } }", {"id": id_})

        assert end["type"] == "complete"
        assert read["payload"] == {"data": {"workflow": {"name": "By socket"}}}

    @pytest.mark.parametrize(
        ("query", "variables"),
        [
            ("{", None),
            ("", None),
            ("{ nothing }", None),
            ("query A { __typename } query B { __typename }", None),
            ("fragment F on Query { __typename }", None),
            ("query($n: Int!) { workflows(first: $n) { nodes { id } } }", None),
            ("subscription($id: ID!) { workflowEvents(workflowId: $id) { sequence } }", {}),
            ("subscription { a: workflowEvents(workflowId: 1) { sequence } __typename }", {}),
        ],
    )
    async def test_a_wrong_one_is_an_error_of_its_own(
        self, running_site: Site, query: str, variables: dict[str, Any] | None
    ) -> None:
        async with connected(running_site.socket_url) as socket:
            with capture_logs() as logs:
                (error,) = await socket.run(query, variables)

            assert error["type"] == "error"
            codes = [each["extensions"]["code"] for each in error["payload"]]
            assert set(codes) == {"VALIDATION_FAILED"}
            assert troubles(logs) == []
            assert await socket.is_alive()

    async def test_the_name_picks_one_and_must_be_there(self, running_site: Site) -> None:
        query = "query One { a: __typename } query Other { b: __typename }"
        async with connected(running_site.socket_url) as socket:
            await socket.subscribe(query, operationName="Other")
            assert await socket.next() == {"data": {"b": "Query"}}
            assert (await socket.receive())["type"] == "complete"
            await socket.subscribe(query, operationName="Absent")
            error = await socket.receive()

        assert (error["type"], error["payload"][0]["message"]) == ("error", 'Unknown operation named "Absent".')

    async def test_an_anonymous_subscription_is_refused(self, running_site: Site, ada: Person) -> None:
        workflow = await workflow_of(running_site, ada)
        async with connected(running_site.socket_url) as socket:
            (error,) = await socket.run(EVENTS, {"id": workflow})

            assert error["type"] == "error"
            assert [each["extensions"]["code"] for each in error["payload"]] == ["UNAUTHENTICATED"]
            assert await socket.is_alive()

    async def test_each_has_a_context_of_its_own(self, running_site: Site) -> None:
        async with connected(running_site.socket_url) as socket:
            answers = [await socket.run("{ templates { slug } }") for _ in range(3)]

        ids = {answer[0]["payload"]["errors"][0]["extensions"]["requestId"] for answer in answers}
        assert len(ids) == 3

    async def test_many_run_at_once(self, running_site: Site, ada: Person) -> None:
        async with connected(running_site.socket_url, ada.token) as socket:
            ids = {await socket.subscribe(VIEWER) for _ in range(20)}
            messages = [await socket.receive() for _ in range(40)]

        assert {message["id"] for message in messages if message["type"] == "complete"} == ids

    async def test_one_connection_has_a_hundred_at_most(self, running_site: Site, ada: Person) -> None:
        workflow = await workflow_of(running_site, ada)
        async with connected(running_site.socket_url, ada.token) as socket:
            for _ in range(100):
                await begin_following(running_site, socket, workflow)
            (error,) = await socket.run(EVENTS, {"id": workflow})

            (told,) = error["payload"]
            assert (error["type"], told["extensions"]["code"]) == ("error", "QUOTA_EXCEEDED")
            assert told["message"].startswith("At most 100 operations run at once")
        await nothing_is_left(running_site, workflow)

    async def test_they_end_with_the_token(self, running_site: Site, ada: Person) -> None:
        moment = now() + timedelta(seconds=1)
        async with connected(running_site.socket_url, running_site.token(ada.user, expires_at=moment)) as socket:
            await until(lambda: now() > moment)
            answer, _ = await socket.run("{ templates { slug } }")

            (error,) = answer["payload"]["errors"]
            assert error["extensions"]["code"] == "UNAUTHENTICATED"
            assert "expired" in error["message"]


class TestComplete:
    async def test_it_stops_the_subscription(self, running_site: Site, ada: Person) -> None:
        workflow = await workflow_of(running_site, ada)
        async with connected(running_site.socket_url, ada.token) as socket:
            id_ = await begin_following(running_site, socket, workflow)
            await socket.send({"type": "complete", "id": id_})

            await nothing_is_left(running_site, workflow)
            assert await socket.is_alive()

    async def test_of_an_unknown_operation_it_means_nothing(self, running_site: Site) -> None:
        async with connected(running_site.socket_url) as socket:
            await socket.send({"type": "complete", "id": "never begun"})

            assert await socket.is_alive()


class TestDisconnect:
    @pytest.mark.parametrize("is_abrupt", [False, True])
    async def test_nothing_is_left_and_nothing_is_logged(
        self, running_site: Site, ada: Person, caplog: pytest.LogCaptureFixture, *, is_abrupt: bool
    ) -> None:
        workflow = await workflow_of(running_site, ada)
        with capture_logs() as logs:
            async with connected(running_site.socket_url, ada.token) as socket:
                for _ in range(3):
                    await begin_following(running_site, socket, workflow)
                if is_abrupt:
                    await socket.subscribe(VIEWER)
                    socket.connection.transport.abort()
            await nothing_is_left(running_site, workflow)

        assert troubles(logs) == []
        assert [record for record in caplog.records if record.levelname in {"WARNING", "ERROR"}] == []

    async def test_an_answer_that_nobody_takes_is_dropped(self, running_site: Site) -> None:
        endpoint = GraphQLApp(schema, running_site.engines, graphiql=None)
        scope = {
            "type": "websocket",
            "path": "/graphql",
            "query_string": b"",
            "headers": [],
            "subprotocols": ["graphql-transport-ws"],
        }
        operation = {"type": "subscribe", "id": "1", "payload": {"query": "{ __typename }"}}
        arriving: asyncio.Queue[Message] = asyncio.Queue()
        arriving.put_nowait({"type": "websocket.connect"})
        for message in ({"type": "connection_init"}, operation):
            arriving.put_nowait({"type": "websocket.receive", "text": json.dumps(message)})

        async def send(message: Message) -> None:
            if '"next"' in message.get("text", ""):
                arriving.put_nowait({"type": "websocket.disconnect", "code": 1006})
                raise OSError

        with capture_logs() as logs:
            await endpoint(scope, arriving.get, send)

        assert troubles(logs) == []
        assert operations_running() == []

    async def test_when_a_page_leaves_while_its_token_is_looked_up(self, running_site: Site, ada: Person) -> None:
        with capture_logs() as logs:
            async with opened(running_site.socket_url) as socket:
                await socket.send({"type": "connection_init", "payload": {"token": ada.token}})
                socket.connection.transport.abort()
            await until(lambda: not operations_running())

        assert troubles(logs) == []


@strawberry.type
class Unspeakable:
    """A query whose answer is no JSON."""

    @strawberry.field
    def number(self) -> JSON:
        return JSON(2**70)


@asynccontextmanager
async def alone(endpoint: GraphQLApp) -> AsyncIterator[str]:
    """Serve an endpoint without the application around it; give the address of its WebSockets."""
    async with serving(Starlette(routes=[WebSocketRoute("/graphql", endpoint)])) as url:
        yield url.replace("http", "ws", 1) + "/graphql"


class TestBreakage:
    async def test_what_breaks_is_masked_and_the_connection_lives_on(self, own_database: Database) -> None:
        async with another(own_database) as database:
            endpoint = GraphQLApp(strawberry.Schema(Unspeakable), engines_for(database), graphiql=None)
            async with alone(endpoint) as url, connected(url) as socket:
                with capture_logs() as logs:
                    (error,) = await socket.run("{ number }")
                assert await socket.is_alive()

        ((line,), (told,)) = troubles(logs), error["payload"]
        assert (error["type"], told["message"], told["extensions"]["code"]) == ("error", BROKEN, "INTERNAL_ERROR")
        assert (line["event"], line["request_id"]) == ("operation_broke", told["extensions"]["requestId"])

    async def test_a_server_without_its_database_closes(self, own_database: Database) -> None:
        nowhere = engines_for(Database(own_database.url.set(database="there_is_none")))
        token = nowhere.keys.issue(UUID(int=1), now())[0]
        async with alone(GraphQLApp(schema, nowhere, graphiql=None)) as url, opened(url) as socket:
            with capture_logs() as logs:
                await socket.send({"type": "connection_init", "payload": {"token": token}})

                assert await socket.close_code() == 1011
        assert [line["event"] for line in logs] == ["websocket_failed"]
