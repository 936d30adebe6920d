"""What is refused before anything is done for it, over real sockets."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.types import Message
from support.server import Person, Site, quick_settings, site
from support.waiting import WAIT_SECONDS

from graphql_api.kit.database import Database
from graphql_api.settings import Environment
from graphql_api.transport.answers import media_type, weights
from graphql_api.transport.requests import ANONYMOUS_BODY_BYTES, MAX_MEDIA_TYPES_LENGTH, Body, Refused

pytestmark = pytest.mark.anyio

GRAPHQL_RESPONSE = "application/graphql-response+json"
JSON = {"content-type": "application/json"}
HEAD = b"POST /graphql HTTP/1.1\r\nhost: here\r\ncontent-type: application/json\r\n"


def operation(padding: int) -> bytes:
    return json.dumps({"query": "{ __typename }", "extensions": {"padding": "x" * padding}}).encode()


@asynccontextmanager
async def connection(site: Site) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(site.url).port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def status_of(reader: asyncio.StreamReader) -> int:
    async with asyncio.timeout(WAIT_SECONDS):
        return int((await reader.readline()).split()[1])


def error_of(answer: httpx.Response) -> dict[str, Any]:
    (error,) = answer.json()["errors"]
    assert len(error["extensions"]["requestId"]) == 32
    found: dict[str, Any] = error
    return found


class TestBodies:
    async def test_a_stranger_may_send_a_mebibyte(self, running_site: Site, ada: Person) -> None:
        size = ANONYMOUS_BODY_BYTES
        sent = {"content": operation(size), "headers": {"content-type": "application/json"}}
        as_ada = {**sent["headers"], "authorization": f"Bearer {ada.token}"}

        refused = await running_site.request("POST", "/graphql", **sent)
        taken = await running_site.request("POST", "/graphql", content=sent["content"], headers=as_ada)
        small = await running_site.request("POST", "/graphql", content=operation(size - 100), headers=sent["headers"])

        assert (refused.status_code, error_of(refused)["extensions"]["code"]) == (413, "QUERY_TOO_COMPLEX")
        assert f"at most {size}" in error_of(refused)["message"]
        assert [taken.json(), small.json()] == [{"data": {"__typename": "Query"}}] * 2

    async def test_what_announces_more_is_refused_unread(self, running_site: Site) -> None:
        async with connection(running_site) as (reader, writer):
            writer.write(HEAD + b"content-length: 99999999999\r\n\r\n{")

            assert await status_of(reader) == 413

    async def test_chunks_without_end_are_not_read(self, running_site: Site) -> None:
        async with connection(running_site) as (reader, writer):
            writer.write(HEAD + b"transfer-encoding: chunked\r\n\r\n")
            status = asyncio.create_task(status_of(reader))
            chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
            while not status.done():
                writer.write(chunk)
                await asyncio.wait([status], timeout=0.01)

            assert await status == 413

    async def test_a_body_comes_in_time(self) -> None:
        async def receive() -> Message:
            await asyncio.Event().wait()
            raise AssertionError

        request = Request({"type": "http", "method": "POST", "headers": []})

        with pytest.raises(Refused) as refusal:
            await Body(request, receive, max_bytes=10, seconds=0).read()

        assert (refusal.value.status, refusal.value.headers) == (408, {"connection": "close"})

    async def test_the_most_is_a_setting(self, own_database: Database) -> None:
        async with site(own_database, settings=quick_settings(max_body_bytes=2000)) as running:
            person = await running.person()
            answers = [
                await running.request(
                    "POST",
                    "/graphql",
                    content=operation(size),
                    headers={"content-type": "application/json", "authorization": f"Bearer {person.token}"},
                )
                for size in (1000, 3000)
            ]

        assert [answer.status_code for answer in answers] == [200, 413]


class TestOtherSites:
    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({}, 200),
            ({"sec-fetch-site": "same-origin"}, 200),
            ({"sec-fetch-site": "none"}, 200),
            ({"sec-fetch-site": "cross-site"}, 403),
            ({"sec-fetch-site": "same-site"}, 403),
            ({"sec-fetch-site": "cross-site", "origin": "https://evil.example.com"}, 403),
            ({"origin": "https://evil.example.com"}, 403),
            ({"origin": "null"}, 403),
            ({"sec-fetch-site": "cross-site", "origin": "https://app.example.com"}, 200),
            ({"sec-fetch-site": "cross-site", "apollo-require-preflight": "1"}, 200),
            ({"sec-fetch-site": "cross-site", "graphql-require-preflight": "1"}, 200),
            ({"sec-fetch-site": "cross-site", "x-apollo-operation-name": "A"}, 200),
            ({"sec-fetch-site": "cross-site", "content-type": "application/json"}, 200),
            ({"sec-fetch-site": "cross-site", "content-type": "text/plain"}, 403),
        ],
    )
    async def test_may_not_ask_unasked(self, production: Site, headers: dict[str, str], status: int) -> None:
        answer = await production.request("GET", "/graphql", params={"query": "{ __typename }"}, headers=headers)

        assert answer.status_code == status
        if status == 403:
            assert error_of(answer)["extensions"]["code"] == "FORBIDDEN"

    async def test_a_link_to_the_page_works(self, running_site: Site) -> None:
        headers = {"accept": "text/html", "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}

        assert (await running_site.request("GET", "/graphql", headers=headers)).status_code == 200


class TestHeaders:
    @pytest.mark.parametrize("path", ["/graphql", "/health", "/schema.graphql", "/nowhere"])
    async def test_every_answer_has_those_that_browsers_mind(self, running_site: Site, path: str) -> None:
        answer = await running_site.request("GET", path, params={"query": "{ __typename }"})

        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]

    async def test_the_page_keeps_its_own_policy(self, running_site: Site) -> None:
        answer = await running_site.request("GET", "/graphql", headers={"accept": "text/html"})

        assert "script-src 'self'" in answer.headers["content-security-policy"]
        assert answer.headers.get_list("content-security-policy") == [answer.headers["content-security-policy"]]


class TestMediaTypes:
    @pytest.mark.parametrize("name", ["accept", "content-type"])
    async def test_of_so_many_none_is_read(self, running_site: Site, name: str) -> None:
        known = media_type.cache_info().currsize, weights.cache_info().currsize
        headers = JSON | {name: "application/json;a=b," * 1000}
        refused = await running_site.request("POST", "/graphql", content=operation(0), headers=headers)

        assert (refused.status_code, error_of(refused)["extensions"]["code"]) == (431, "VALIDATION_FAILED")
        assert f"at most {MAX_MEDIA_TYPES_LENGTH} are read" in error_of(refused)["message"]
        assert (media_type.cache_info().currsize, weights.cache_info().currsize) == known

    async def test_as_many_as_may_be_are_read(self, running_site: Site) -> None:
        accept = f"{GRAPHQL_RESPONSE},".ljust(MAX_MEDIA_TYPES_LENGTH, ",")
        answer = await running_site.request("POST", "/graphql", content=operation(0), headers=JSON | {"accept": accept})

        assert (answer.status_code, answer.headers["content-type"]) == (200, GRAPHQL_RESPONSE)

    @pytest.mark.parametrize(
        ("accept", "chosen"),
        [
            (None, "application/json"),
            ("*/*", "application/json"),
            ("application/json", "application/json"),
            ("text/html", "application/json"),
            (GRAPHQL_RESPONSE, GRAPHQL_RESPONSE),
            (f"{GRAPHQL_RESPONSE}, application/json", GRAPHQL_RESPONSE),
            (f"application/json, {GRAPHQL_RESPONSE};q=0.9", "application/json"),
            (f"{GRAPHQL_RESPONSE};q=0", "application/json"),
        ],
    )
    async def test_the_one_that_is_preferred_is_sent(self, running_site: Site, accept: str | None, chosen: str) -> None:
        headers = {} if accept is None else {"accept": accept}

        for query in ("{ __typename }", "{"):
            answer = await running_site.request("POST", "/graphql", json={"query": query}, headers=headers)
            assert answer.headers["content-type"] == chosen
        refused = await running_site.request("POST", "/graphql", content=b"", headers=headers)
        assert refused.headers["content-type"] == chosen

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            ({"query": "{"}, 400),
            ({"query": "{ nothing }"}, 400),
            ({"query": "query($n: Int!) { workflows(first: $n) { nodes { id } } }"}, 400),
            ({"query": "query A { __typename } query B { __typename }"}, 400),
            ({"query": "{ a: __typename " + "b: __typename " * 70 + "}"}, 400),
            ({"query": "{ viewer { id } }"}, 200),
        ],
    )
    async def test_what_did_not_run_has_no_data_and_says_so(
        self, running_site: Site, body: dict[str, Any], status: int
    ) -> None:
        own = await running_site.request("POST", "/graphql", json=body, headers={"accept": GRAPHQL_RESPONSE})
        plain = await running_site.request("POST", "/graphql", json=body)

        assert (own.status_code, plain.status_code) == (status, 200)
        assert ("data" in own.json(), "data" in plain.json()) == (status == 200, status == 200)


@pytest.fixture(scope="module")
async def production(own_database: Database) -> AsyncIterator[Site]:
    settings = quick_settings(
        environment=Environment.PRODUCTION, cors_origins=("https://app.example.com",), rate_limit_mutations="3/hour"
    )
    async with site(own_database, settings=settings) as running:
        yield running


class TestProduction:
    INTROSPECTION = "{ __schema { queryType { name } } }"

    async def test_strangers_learn_nothing_of_the_schema(self, production: Site) -> None:
        person = await production.person()
        strangers = await production.ask(self.INTROSPECTION)
        known = await production.ask(self.INTROSPECTION, token=person.token)

        assert [error["extensions"]["code"] for error in strangers["errors"]] == ["UNAUTHENTICATED"]
        assert known == {"data": {"__schema": {"queryType": {"name": "Query"}}}}

    @pytest.mark.parametrize(
        ("query", "variables"),
        [
            ("{ vewer { id } }", {}),
            (
                "mutation($i: LoginInput!) { login(input: $i) { errors { code } } }",
                {"i": {"emai": "a", "password": ""}},
            ),
        ],
    )
    async def test_strangers_are_not_told_names(self, production: Site, query: str, variables: dict[str, Any]) -> None:
        person = await production.person()
        strangers = json.dumps(await production.ask(query, variables))
        known = json.dumps(await production.ask(query, variables, token=person.token))

        assert ("Did you mean" in strangers, "Did you mean" in known) == (False, True)

    async def test_the_schema_in_its_language_takes_a_sign_in(self, production: Site) -> None:
        person = await production.person()
        refused = await production.request("GET", "/schema.graphql")
        given = await production.request("GET", "/schema.graphql", headers={"authorization": f"Bearer {person.token}"})

        assert (refused.status_code, error_of(refused)["extensions"]["code"]) == (401, "UNAUTHENTICATED")
        assert "type Query" in given.text

    async def test_there_is_no_page(self, production: Site) -> None:
        assert (await production.request("GET", "/graphql", headers={"accept": "text/html"})).status_code == 404


class TestRates:
    LOGOUT = 'mutation { logout(input: {refreshToken: "x"}) { loggedOut } }'

    async def test_one_mutation_too_many_says_when_to_come_back(self, production: Site) -> None:
        person = await production.person()
        headers = {"authorization": f"Bearer {person.token}", "accept": GRAPHQL_RESPONSE}
        answers = [
            await production.request("POST", "/graphql", json={"query": self.LOGOUT}, headers=headers) for _ in range(4)
        ]

        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        error = error_of(answers[-1])
        assert error["extensions"]["code"] == "RATE_LIMITED"
        assert answers[-1].headers["retry-after"] == str(error["extensions"]["retryAfter"])
        assert answers[-1].headers["ratelimit-remaining"] == "0"
        assert 3000 < error["extensions"]["retryAfter"] <= 3600

    async def test_aliases_count_each(self, production: Site) -> None:
        person = await production.person()
        many = "mutation {" + "".join(
            f'a{number}: logout(input: {{refreshToken: "x"}}) {{ loggedOut }} ' for number in range(4)
        )

        answer = await production.ask(many + "}", token=person.token)

        assert [error["extensions"]["code"] for error in answer["errors"]] == ["RATE_LIMITED"]

    async def test_the_cost_is_counted_and_told(self, running_site: Site) -> None:
        person = await running_site.person()
        headers = {"authorization": f"Bearer {person.token}", "graphql-cost": "1"}
        query = {"query": "{ workflows(first: 10) { nodes { id name } } }"}
        left = []
        for _ in range(2):
            answer = await running_site.request("POST", "/graphql", json=query, headers=headers)
            left.append(int(answer.headers["ratelimit-remaining"]))

        assert answer.json()["extensions"] == {"cost": {"requested": 31, "limit": 50_000}}
        assert left[0] - left[1] == 31
        assert int(answer.headers["ratelimit-limit"]) == 1_000_000
        assert 0 < int(answer.headers["ratelimit-reset"]) <= 60
