import gzip
import json
import re
from importlib.resources import files
from itertools import count
from typing import Any

import pytest
from support.server import Site, quick_settings, site

from graphql_api.kit.database import Database
from graphql_api.settings import Environment

pytestmark = pytest.mark.anyio

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HTML = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
ASSETS = files("graphql_api.transport") / "graphiql" / "assets"
COMPRESSED = min(asset.name.removesuffix(".br") for asset in ASSETS.iterdir() if asset.name.endswith(".js.br"))
PLAIN = sorted(asset.name for asset in ASSETS.iterdir() if not asset.name.endswith((".br", ".gz")))


def configuration_of(page: str) -> dict[str, Any]:
    """Read what the page was given."""
    (found,) = re.findall(r'<script type="application/json" id="orchestrator-config">([^<]*)</script>', page)
    configuration: dict[str, Any] = json.loads(found)
    return configuration


class TestPage:
    async def test_a_browser_is_shown_it(self, running_site: Site) -> None:
        answer = await running_site.request("GET", "/graphql", headers=HTML)

        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers["content-security-policy"] == POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert configuration_of(answer.text) == {
            "endpoint": "/graphql",
            "subscriptionEndpoint": "/graphql",
            "title": "IDE Orchestrator",
            "headers": None,
        }

    async def test_its_header_can_be_anything(self, own_database: Database) -> None:
        numbers = count(1)

        def authorization() -> str:
            return f"Bearer {next(numbers)}</script><script>alert(1)</script>"

        async with site(own_database, authorization=authorization) as running:
            pages = [(await running.request("GET", "/graphql", headers=HTML)).text for _ in range(2)]

        assert [configuration_of(page)["headers"] for page in pages] == [
            {"Authorization": f"Bearer {number}</script><script>alert(1)</script>"} for number in (1, 2)
        ]

    @pytest.mark.parametrize("accept", ["*/*", "application/json", "application/graphql-response+json"])
    async def test_a_program_is_not_shown_it(self, running_site: Site, accept: str) -> None:
        answer = await running_site.request("GET", "/graphql", headers={"accept": accept})

        chosen = "application/json" if accept == "*/*" else accept
        assert (answer.status_code, answer.headers["content-type"]) == (400, chosen)

    async def test_a_query_is_answered_even_to_a_browser(self, running_site: Site) -> None:
        answer = await running_site.request("GET", "/graphql", params={"query": "{ __typename }"}, headers=HTML)

        assert answer.json() == {"data": {"__typename": "Query"}}


class TestAssets:
    @pytest.mark.parametrize(
        ("accepted", "encoding"),
        [
            ("br", "br"),
            ("gzip, deflate, br, zstd", "br"),
            ("gzip", "gzip"),
            ("GZIP;q=0.5", "gzip"),
            ("br;q=0, gzip", "gzip"),
            ("br; q=0.0", None),
            ("identity", None),
            ("brotli", None),
            ("", None),
        ],
    )
    async def test_they_come_as_the_client_can_take_them(
        self, running_site: Site, accepted: str, encoding: str | None
    ) -> None:
        path = f"/graphiql/assets/{COMPRESSED}"

        answer = await running_site.request("HEAD", path, headers={"accept-encoding": accepted})
        full = await running_site.request("GET", path, headers={"accept-encoding": "identity"})

        assert answer.status_code == 200
        assert answer.headers.get("content-encoding") == encoding
        stored = {"br": f"{COMPRESSED}.br", "gzip": f"{COMPRESSED}.gz"}
        size = len((ASSETS / stored[encoding]).read_bytes()) if encoding else len(full.content)
        assert int(answer.headers["content-length"]) == size
        assert "accept-encoding" in answer.headers["vary"]
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["content-security-policy"] == POLICY
        assert answer.headers["content-type"].startswith(("text/javascript", "application/javascript"))
        assert full.content == gzip.decompress((ASSETS / f"{COMPRESSED}.gz").read_bytes())

    @pytest.mark.parametrize("name", PLAIN)
    async def test_what_is_not_compressed_comes_as_it_is(self, running_site: Site, name: str) -> None:
        answer = await running_site.request("GET", f"/graphiql/assets/{name}")

        assert (answer.status_code, answer.content) == (200, (ASSETS / name).read_bytes())
        assert "content-encoding" not in answer.headers

    @pytest.mark.parametrize("name", ["absent.js", f"{COMPRESSED}.br", "..%2Findex.html", "%2e%2e/index.html", ""])
    async def test_there_are_no_others(self, running_site: Site, name: str) -> None:
        assert (await running_site.request("GET", f"/graphiql/assets/{name}")).status_code == 404


class TestProduction:
    async def test_there_is_no_page(self, own_database: Database) -> None:
        async with site(own_database, settings=quick_settings(environment=Environment.PRODUCTION)) as running:
            page = await running.request("GET", "/graphql", headers=HTML)
            asset = await running.request("GET", f"/graphiql/assets/{COMPRESSED}")
            answer = await running.ask("{ __typename }")

        assert (page.status_code, page.headers["content-type"]) == (404, "application/json")
        assert page.json()["errors"][0]["message"] == "There is no page here."
        assert asset.status_code == 404
        assert answer == {"data": {"__typename": "Query"}}
