"""GraphQL over HTTP: every answer is JSON, every error has a code."""

import gzip
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from types import MappingProxyType
from typing import Any, cast
from uuid import UUID

import httpx
import pytest
import strawberry
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import Message
from strawberry.scalars import JSON
from structlog.testing import capture_logs
from support.log_lines import troubles, written
from support.logs import append
from support.people import PASSWORD
from support.server import Person, Site, engines_for, quick_settings, serving, site

from graphql_api.events.cursors import encode_cursor
from graphql_api.events.records import NewEvent
from graphql_api.kit.columns import now
from graphql_api.kit.database import Database
from graphql_api.kit.errors import BROKEN
from graphql_api.kit.ids import key_of
from graphql_api.schema import schema
from graphql_api.transport.access import AccessLog
from graphql_api.transport.graphql import GraphQLApp

pytestmark = pytest.mark.anyio

AS_JSON = {"content-type": "application/json"}
CREATE = (
    "mutation($input: CreateWorkflowInput!) { createWorkflow(input: $input) { workflow { id } errors { message } } }"
)
LOGIN = "mutation($input: LoginInput!) { login(input: $input) { session { accessToken } errors { code } } }"


def refusal_of(answer: httpx.Response) -> dict[str, Any]:
    """Check the shape of a refusal, and give its only error."""
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert set(body) == {"errors"}
    (error,) = body["errors"]
    assert len(error["extensions"]["requestId"]) == 32
    return {"status": answer.status_code, "code": error["extensions"]["code"], "message": error["message"]}


async def workflow_of(site: Site, person: Person) -> str:
    answer = await site.ask(CREATE, {"input": {"name": "Support"}}, token=person.token)
    id_: str = answer["data"]["createWorkflow"]["workflow"]["id"]
    return id_


class TestPost:
    async def test_a_result_is_data_alone_and_nobody_keeps_it(self, running_site: Site, ada: Person) -> None:
        answer = await running_site.request(
            "POST",
            "/graphql",
            json={"query": "{ viewer { email } }"},
            headers={"authorization": f"Bearer {ada.token}"},
        )

        assert answer.status_code == 200
        assert answer.json() == {"data": {"viewer": {"email": ada.user.email}}}
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "no-store"

    @pytest.mark.parametrize("name", ["One", "Other"])
    async def test_the_named_operation_runs(self, running_site: Site, name: str) -> None:
        query = "query One { a: __typename } query Other { a: __typename }"

        assert await running_site.ask(query, operationName=name) == {"data": {"a": "Query"}}

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            pytest.param({"query": "{ __typename }", "operationName": "Absent"}, '"Absent"', id="absent name"),
            pytest.param({"query": "{ __typename }", "operationName": 1}, "`operationName`", id="number as name"),
            pytest.param({"query": "{ __typename }", "operationName": []}, "`operationName`", id="list as name"),
            pytest.param({}, "There is no operation", id="no query"),
            pytest.param({"query": ""}, "There is no operation", id="empty query"),
            pytest.param({"query": 1}, "`query`", id="query that is a number"),
            pytest.param({"query": "{ __typename }", "variables": []}, "`variables`", id="variables in a list"),
            pytest.param({"query": "{ __typename }", "extensions": 1}, "`extensions`", id="extensions in a number"),
            pytest.param([{"query": "{ __typename }"}], "one JSON object", id="batch"),
            pytest.param([], "one JSON object", id="empty batch"),
            pytest.param(1, "JSON object", id="number"),
            pytest.param("{ __typename }", "JSON object", id="text"),
            pytest.param({"query": "subscription { x }"}, "graphql-transport-ws", id="subscription"),
        ],
    )
    async def test_what_is_no_operation_is_refused(self, running_site: Site, body: object, message: str) -> None:
        refusal = refusal_of(await running_site.request("POST", "/graphql", json=body))

        assert (refusal["status"], refusal["code"]) == (400, "VALIDATION_FAILED")
        assert message in refusal["message"]

    @pytest.mark.parametrize(
        "body",
        [
            pytest.param(b"", id="nothing"),
            pytest.param(b"{", id="half"),
            pytest.param(b"null", id="null"),
            pytest.param(b'{"query": "\xff\xfe"}', id="invalid UTF-8"),
            pytest.param('{"query": "{ __typename }"}'.encode("utf-16"), id="UTF-16"),
            pytest.param(b"[" * 100_000, id="deep"),
            pytest.param(b'{"variables":' + b'{"a":' * 5000 + b"1" + b"}" * 5001, id="deep and closed"),
            pytest.param(b'{"query": "\\ud800"}', id="lone surrogate"),
            pytest.param(b'{"query": "{ __typename }", "variables": {"a": NaN}}', id="NaN"),
        ],
    )
    async def test_poison_in_a_body_is_a_refusal(self, running_site: Site, body: bytes) -> None:
        refusal = refusal_of(await running_site.request("POST", "/graphql", content=body, headers=AS_JSON))

        assert refusal["status"] == 400

    async def test_a_huge_number_is_refused_where_it_stands(self, running_site: Site, ada: Person) -> None:
        headers = {**AS_JSON, "authorization": f"Bearer {ada.token}"}
        query = '{"query": "query($n: Int) { workflows(first: $n) { nodes { id } } }", "variables": {"n": %s}}'

        answers = [
            await running_site.request("POST", "/graphql", content=query % ("9" * digits), headers=headers)
            for digits in (20, 400)
        ]

        assert [answer.status_code < 500 for answer in answers] == [True, True]
        assert all(answer.json()["errors"][0]["extensions"]["code"] == "VALIDATION_FAILED" for answer in answers)

    @pytest.mark.parametrize("value", ["9" * 30, "1e999", '"\\ud800"', '"\\u0000"'])
    async def test_poison_in_a_json_literal_is_not_our_fault(self, running_site: Site, ada: Person, value: str) -> None:
        query = (
            'mutation { createWorkflow(input: {name: "a", templateSlug: "single-agent", '
            f"customization: {{agentName: {value}}}}}) {{ errors {{ code }} }} }}"
        )

        answer = await running_site.ask(query, token=ada.token)

        codes = [error["extensions"]["code"] for error in answer.get("errors", [])]
        codes += [error["code"] for error in ((answer.get("data") or {}).get("createWorkflow") or {}).get("errors", [])]
        assert codes == ["VALIDATION_FAILED"]

    @pytest.mark.parametrize(
        ("headers", "message"),
        [
            ({"content-type": "text/plain"}, "application/json"),
            ({"content-type": "application/x-www-form-urlencoded"}, "application/json"),
            ({"content-type": "multipart/form-data; boundary=x"}, "application/json"),
            ({"content-type": "application/jsonp"}, "application/json"),
            ({"content-type": "application/json; charset=utf-16"}, "UTF-8"),
            ({"content-type": b"application/json; \xff=\xfe"}, None),
            ({}, "application/json"),
            ({**AS_JSON, "content-encoding": "gzip"}, "content encoding"),
        ],
    )
    async def test_another_kind_of_content_is_not_read(
        self, running_site: Site, headers: dict[str, str], message: str | None
    ) -> None:
        body = json.dumps({"query": "{ __typename }"}).encode()
        content = gzip.compress(body) if "content-encoding" in headers else body

        answer = await running_site.request("POST", "/graphql", content=content, headers=headers)

        if message is None:
            assert answer.json() == {"data": {"__typename": "Query"}}
        else:
            refusal = refusal_of(answer)
            assert (refusal["status"], refusal["code"]) == (415, "VALIDATION_FAILED")
            assert message in refusal["message"]

    async def test_the_charset_may_be_named(self, running_site: Site) -> None:
        answer = await running_site.request(
            "POST",
            "/graphql",
            content='{"query": "{ __typename }"}',
            headers={"content-type": 'application/json; charset="UTF-8"'},
        )

        assert answer.json() == {"data": {"__typename": "Query"}}

    @pytest.mark.parametrize(
        ("query", "variables"),
        [
            ("{", None),
            ("{ nothing }", None),
            ("query A { __typename } query B { __typename }", None),
            ("query($n: Int!) { workflows(first: $n) { nodes { id } } }", {}),
            ("query($n: Int) { workflows(first: $n) { nodes { id } } }", {"n": "one"}),
            ('query($at: DateTime = "soon") { workflows(first: $at) { nodes { id } } }', {}),
        ],
    )
    async def test_a_wrong_document_is_the_callers_fault(
        self, running_site: Site, query: str, variables: dict[str, Any] | None
    ) -> None:
        with capture_logs() as logs:
            answer = await running_site.ask(query, variables)

        assert {error["extensions"]["code"] for error in answer["errors"]} == {"VALIDATION_FAILED"}
        assert not answer.get("data")
        assert troubles(logs) == []


class TestGet:
    async def test_a_query_runs(self, running_site: Site) -> None:
        parameters = {"query": "query A($n: Boolean!) { t: __typename @include(if: $n) }", "variables": '{"n": true}'}

        answer = await running_site.request("GET", "/graphql", params=parameters)

        assert (answer.status_code, answer.json()) == (200, {"data": {"t": "Query"}})

    async def test_empty_variables_are_none(self, running_site: Site) -> None:
        parameters = {"query": "{ __typename }", "variables": "", "extensions": ""}

        answer = await running_site.request("GET", "/graphql", params=parameters)

        assert answer.json() == {"data": {"__typename": "Query"}}

    async def test_there_is_no_operation_without_a_query(self, running_site: Site) -> None:
        refusal = refusal_of(await running_site.request("GET", "/graphql"))

        assert (refusal["status"], refusal["message"]) == (
            400,
            "There is no operation in the request: send it as `query`.",
        )

    @pytest.mark.parametrize("variables", ["{", "[]", "1"])
    async def test_variables_are_an_object(self, running_site: Site, variables: str) -> None:
        parameters = {"query": "{ __typename }", "variables": variables}

        assert refusal_of(await running_site.request("GET", "/graphql", params=parameters))["status"] == 400

    async def test_a_mutation_takes_post(self, running_site: Site) -> None:
        query = 'mutation { logout(input: {refreshToken: "x"}) { loggedOut } }'

        answer = await running_site.request("GET", "/graphql", params={"query": query})

        assert refusal_of(answer) == {"status": 405, "code": "VALIDATION_FAILED", "message": "A mutation takes POST."}
        assert answer.headers["allow"] == "POST"

    async def test_a_subscription_takes_a_web_socket(self, running_site: Site) -> None:
        query = 'subscription { workflowEvents(workflowId: "x") { sequence } }'

        refusal = refusal_of(await running_site.request("GET", "/graphql", params={"query": query}))

        assert (refusal["status"], "graphql-transport-ws" in refusal["message"]) == (400, True)


class TestOtherMethods:
    @pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
    async def test_they_are_not_allowed(self, running_site: Site, method: str) -> None:
        answer = await running_site.request(method, "/graphql")

        assert refusal_of(answer) == {
            "status": 405,
            "code": "VALIDATION_FAILED",
            "message": "GraphQL takes GET and POST.",
        }
        assert answer.headers["allow"] == "GET, POST"


class TestCredentials:
    async def test_without_any_there_is_no_viewer(self, running_site: Site) -> None:
        answer = await running_site.ask("{ templates { slug } }")

        (error,) = answer["errors"]
        assert error["message"].startswith("Sign in first")
        assert error["extensions"]["code"] == "UNAUTHENTICATED"

    @pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", "{}", "BEARER   {}"])
    async def test_the_token_comes_with_or_without_its_scheme(self, running_site: Site, ada: Person, form: str) -> None:
        answer = await running_site.request(
            "POST",
            "/graphql",
            json={"query": "{ viewer { email } }"},
            headers={"authorization": form.format(ada.token)},
        )

        assert answer.json() == {"data": {"viewer": {"email": ada.user.email}}}

    async def test_a_wrong_token_is_told_from_none(self, running_site: Site) -> None:
        answer = await running_site.ask("{ templates { slug } }", token="nonsense")

        (error,) = answer["errors"]
        assert error["message"] == "This is not an access token of this API. Sign in again."
        assert error["extensions"]["code"] == "UNAUTHENTICATED"

    async def test_an_expired_token_asks_for_a_refresh(self, running_site: Site, ada: Person) -> None:
        stale = running_site.token(ada.user, expires_at=now() - timedelta(seconds=1))

        answer = await running_site.ask("{ templates { slug } }", token=stale)

        (error,) = answer["errors"]
        assert "Refresh the session" in error["message"]
        assert error["extensions"]["code"] == "UNAUTHENTICATED"

    async def test_signing_in_works_with_a_stale_header(self, running_site: Site, ada: Person) -> None:
        variables = {"input": {"email": ada.user.email, "password": PASSWORD}}

        answer = await running_site.ask(LOGIN, variables, token="nonsense")

        session = answer["data"]["login"]["session"]
        assert (await running_site.ask("{ viewer { email } }", token=session["accessToken"])) == {
            "data": {"viewer": {"email": ada.user.email}}
        }


@strawberry.type
class Echo:
    """A query that answers with what a resolver should not return."""

    @strawberry.field
    def mapping(self) -> JSON:
        return cast("JSON", MappingProxyType({"a": 1}))

    @strawberry.field
    def thing(self) -> JSON:
        return cast("JSON", object())


class TestBreakage:
    async def test_an_unknown_error_is_masked_and_found_in_the_log(self, running_site: Site, ada: Person) -> None:
        workflow = await workflow_of(running_site, ada)
        key = key_of(workflow, "Workflow")
        assert key is not None
        await append(running_site.engines.database, running_site.engines.log, key, NewEvent("NeverHeardOf", {}))
        query = "query($id: ID!) { workflow(id: $id) { name events(first: 5) { nodes { sequence } } } }"

        with capture_logs() as logs:
            answer = await running_site.ask(query, {"id": workflow}, token=ada.token)

        (error,) = answer["errors"]
        assert error["message"] == BROKEN
        assert error["extensions"]["code"] == "INTERNAL_ERROR"
        assert "NeverHeardOf" not in json.dumps(answer)
        (line,) = troubles(logs)
        assert (line["event"], line["request_id"]) == ("operation_failed", error["extensions"]["requestId"])
        assert isinstance(line["exc_info"], KeyError)
        assert await running_site.ask("{ __typename }") == {"data": {"__typename": "Query"}}

    async def test_a_request_that_breaks_before_its_operation_is_json_too(self, own_database: Database) -> None:
        nowhere = Database(own_database.url.set(database="there_is_none"))
        endpoint = AccessLog(GraphQLApp(schema, engines_for(nowhere), graphiql=None))
        token = engines_for(nowhere).keys.issue(UUID(int=1), now())[0]
        async with serving(Starlette(routes=[Route("/graphql", endpoint)])) as url, httpx.AsyncClient() as client:
            with written() as lines:
                answer = await client.post(
                    f"{url}/graphql", json={"query": "{ __typename }"}, headers={"authorization": f"Bearer {token}"}
                )

        error = answer.json()["errors"][0]
        assert refusal_of(answer) == {"status": 500, "code": "INTERNAL_ERROR", "message": BROKEN}
        (line,) = lines.of("request_failed")
        assert line["request_id"] == error["extensions"]["requestId"]

    async def test_any_mapping_is_json_and_what_is_none_is_masked(self, own_database: Database) -> None:
        endpoint = GraphQLApp(strawberry.Schema(Echo), engines_for(own_database), graphiql=None)
        async with serving(Starlette(routes=[Route("/graphql", endpoint)])) as url, httpx.AsyncClient() as client:
            told = await client.post(f"{url}/graphql", json={"query": "{ mapping }"})
            with capture_logs() as logs:
                broken = await client.post(f"{url}/graphql", json={"query": "{ thing }"})

        assert told.json() == {"data": {"mapping": {"a": 1}}}
        assert refusal_of(broken) == {"status": 500, "code": "INTERNAL_ERROR", "message": BROKEN}
        assert [line["event"] for line in troubles(logs)] == ["request_failed"]

    async def test_who_hangs_up_in_the_middle_of_a_body_is_not_answered(self, own_database: Database) -> None:
        endpoint = GraphQLApp(schema, engines_for(own_database), graphiql=None)
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/graphql",
            "query_string": b"",
            "headers": [(b"content-type", b"application/json")],
        }
        arriving: list[Message] = [
            {"type": "http.request", "body": b'{"query', "more_body": True},
            {"type": "http.disconnect"},
        ]
        answered: list[Message] = []

        async def receive() -> Message:
            return arriving.pop(0)

        async def send(message: Message) -> None:
            answered.append(message)

        with capture_logs() as logs:
            await endpoint(scope, receive, send)

        assert (answered, troubles(logs)) == ([], [])

    async def test_a_cursor_of_another_list_has_its_code(self, running_site: Site, ada: Person) -> None:
        workflow = await workflow_of(running_site, ada)
        query = (
            "query($id: ID!, $after: EventCursor) { workflow(id: $id) { events(after: $after) { nodes { cursor } } } }"
        )

        answer = await running_site.ask(
            query, {"id": workflow, "after": encode_cursor(UUID(int=7), 1)}, token=ada.token
        )

        assert [error["extensions"]["code"] for error in answer["errors"]] == ["CURSOR_INVALID"]


@pytest.fixture(scope="module")
async def guarded_site(own_database: Database) -> AsyncIterator[Site]:
    settings = quick_settings(cors_origins=("https://app.example.com",))
    async with site(own_database, settings=settings) as running:
        yield running


class TestOtherOrigins:
    async def test_a_page_of_an_allowed_origin_may_ask(self, guarded_site: Site) -> None:
        answer = await guarded_site.request(
            "OPTIONS",
            "/graphql",
            headers={
                "origin": "https://app.example.com",
                "access-control-request-method": "POST",
                "access-control-request-headers": "authorization,content-type",
            },
        )

        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "https://app.example.com"
        assert "POST" in answer.headers["access-control-allow-methods"]
        assert "authorization" in answer.headers["access-control-allow-headers"]
        assert "access-control-allow-credentials" not in answer.headers

    async def test_its_requests_are_answered_for_it(self, guarded_site: Site) -> None:
        answer = await guarded_site.request(
            "POST", "/graphql", json={"query": "{ __typename }"}, headers={"origin": "https://app.example.com"}
        )

        assert answer.headers["access-control-allow-origin"] == "https://app.example.com"

    @pytest.mark.parametrize("origin", ["https://evil.example.com", "null", "http://app.example.com"])
    async def test_a_page_of_another_origin_may_not(self, guarded_site: Site, origin: str) -> None:
        headers = {"origin": origin, "access-control-request-method": "POST"}

        preflight = await guarded_site.request("OPTIONS", "/graphql", headers=headers)
        answer = await guarded_site.request("POST", "/graphql", json={"query": "{ __typename }"}, headers=headers)

        assert preflight.status_code == 400
        assert "access-control-allow-origin" not in preflight.headers
        assert "access-control-allow-origin" not in answer.headers
