"""Pages of other sites that have a browser act for its user."""

from collections.abc import AsyncIterator

import httpx
import pytest
from support.databases import Server
from support.server import Person, Site, engines_for, quick_settings, site
from support.sockets import opened
from websockets.exceptions import InvalidStatus

pytestmark = pytest.mark.anyio

FRIEND = "https://app.example.com"
EVIL = "https://evil.example"
MUTATION = 'mutation { createWorkflow(input: { name: "Forged" }) { workflow { id } } }'
QUERY = "{ __typename }"


@pytest.fixture(scope="module")
async def target(anyio_backend: str, database_server: Server) -> AsyncIterator[Site]:
    """A server that knows one other origin."""
    database = await database_server.create()
    settings = quick_settings(cors_origins=(FRIEND,))
    async with site(database, settings=settings, engines=engines_for(database, settings)) as running:
        yield running
    await database_server.drop(database)


async def count(target: Site, ada: Person) -> int:
    answer = await target.ask("{ workflows { totalCount } }", token=ada.token)
    total: int = answer["data"]["workflows"]["totalCount"]
    return total


def refusal(answer: httpx.Response) -> tuple[int, str]:
    (error,) = answer.json()["errors"]
    return answer.status_code, error["extensions"]["code"]


class TestForms:
    @pytest.mark.parametrize(
        "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
    )
    async def test_what_a_form_can_send_is_not_taken(self, target: Site, ada: Person, content_type: str) -> None:
        headers = {"origin": EVIL, "authorization": f"Bearer {ada.token}", "content-type": content_type}
        body = '{"query":"' + MUTATION.replace('"', '\\"') + '"}'
        answer = await target.request("POST", "/graphql", content=body, headers=headers)

        assert refusal(answer) == (415, "VALIDATION_FAILED")
        assert await count(target, ada) == 0

    @pytest.mark.parametrize("name", ["operations", "query"])
    async def test_neither_are_files_and_fields(self, target: Site, ada: Person, name: str) -> None:
        headers = {"authorization": f"Bearer {ada.token}"}
        answer = await target.request("POST", "/graphql", files={name: MUTATION}, headers=headers)

        assert refusal(answer) == (415, "VALIDATION_FAILED")


class TestLinks:
    async def test_no_link_changes_anything(self, target: Site, ada: Person) -> None:
        headers = {"authorization": f"Bearer {ada.token}"}
        answer = await target.request("GET", "/graphql", params={"query": MUTATION}, headers=headers)

        assert refusal(answer) == (405, "VALIDATION_FAILED")
        assert answer.headers["allow"] == "POST"
        assert await count(target, ada) == 0

    @pytest.mark.parametrize(
        "headers",
        [{"origin": EVIL}, {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, {"origin": "null"}],
        ids=["fetch", "image", "sandbox"],
    )
    async def test_a_page_of_another_site_asks_nothing_unasked(self, target: Site, headers: dict[str, str]) -> None:
        answer = await target.request("GET", "/graphql", params={"query": QUERY}, headers=headers)

        assert refusal(answer) == (403, "FORBIDDEN")

    @pytest.mark.parametrize(
        "headers", [{}, {"origin": FRIEND}, {"origin": EVIL, "graphql-require-preflight": "1"}], ids=str
    )
    async def test_a_neighbour_does(self, target: Site, headers: dict[str, str]) -> None:
        answer = await target.request("GET", "/graphql", params={"query": QUERY}, headers=headers)

        assert answer.json() == {"data": {"__typename": "Query"}}


class TestPreflight:
    async def preflight(self, target: Site, origin: str) -> httpx.Response:
        headers = {
            "origin": origin,
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization,content-type",
        }
        return await target.request("OPTIONS", "/graphql", headers=headers)

    @pytest.mark.parametrize("origin", [EVIL, "null", f"{FRIEND}.evil.example", FRIEND.replace("https", "http"), "*"])
    async def test_a_stranger_is_not_let_in(self, target: Site, origin: str) -> None:
        answer = await self.preflight(target, origin)

        assert "access-control-allow-origin" not in answer.headers

    async def test_a_friend_is_and_brings_no_cookies(self, target: Site) -> None:
        answer = await self.preflight(target, FRIEND)

        assert answer.headers["access-control-allow-origin"] == FRIEND
        assert "access-control-allow-credentials" not in answer.headers

    async def test_an_answer_is_readable_for_friends_alone(self, target: Site) -> None:
        answers = [
            await target.request("POST", "/graphql", json={"query": QUERY}, headers={"origin": origin})
            for origin in (FRIEND, EVIL)
        ]
        assert [answer.headers.get("access-control-allow-origin") for answer in answers] == [FRIEND, None]


class TestSockets:
    @pytest.mark.parametrize("origin", [EVIL, "null", f"{FRIEND}.evil.example", "http://127.0.0.1.evil.example"])
    async def test_a_page_of_another_site_opens_none(self, target: Site, origin: str) -> None:
        with pytest.raises(InvalidStatus) as refused:
            async with opened(target.socket_url, origin=origin):
                pass
        assert refused.value.response.status_code == 403

    async def test_friends_our_own_and_programs_do(self, target: Site) -> None:
        for options in ({"origin": FRIEND}, {"origin": target.url}, {}):
            async with opened(target.socket_url, **options) as socket:
                assert await socket.init() == {"type": "connection_ack"}


class TestFrames:
    @pytest.mark.parametrize("path", ["/graphql?query={__typename}", "/schema.graphql", "/health", "/elsewhere"])
    async def test_no_answer_is_shown_in_a_frame_or_taken_for_something_else(self, target: Site, path: str) -> None:
        headers = (await target.request("GET", path)).headers

        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
