"""The journey in GraphiQL, in a real browser that reaches this machine and no other."""

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from support.browser import chromium, graphiql
from support.processes import STOP_SECONDS, free_port, started

from graphql_api.kit import embedded_postgres

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

ROOT = Path(__file__).parents[2]
SCREENSHOT = os.environ.get("SCREENSHOT")
"""Where to keep a picture of the running subscription; the README shows it."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run `orchestrator dev` on data of its own; give its address."""
    chromium()
    directory = tmp_path_factory.mktemp("dev")
    environment = {
        "ORCHESTRATOR_HOME": str(directory / "home"),
        "DATABASE_URL": "",
        "EMBEDDED_RUNTIME_PACE_MS": "40",
    }
    port = free_port()
    with started("dev", "--no-demo-data", "--port", str(port), environment=environment, log=directory / "dev.log"):
        address = f"http://127.0.0.1:{port}"
        wait_for(f"{address}/ready")
        yield address
    embedded_postgres.remove(directory / "home")


def wait_for(url: str) -> None:
    limit = time.monotonic() + STOP_SECONDS
    while time.monotonic() < limit:
        try:
            if httpx.get(url).is_success:
                return
        except httpx.TransportError:
            pass
    raise TimeoutError(url)


class TestTheJourneyInGraphiQL:
    def test_runs_from_signing_in_to_production_without_another_machine(self, address: str, tmp_path: Path) -> None:
        with graphiql() as page:
            page.open(f"{address}/graphql")

            assert page.run("SignIn")["login"]["errors"] == []
            assert page.run("CreateWorkflow")["createWorkflow"]["errors"] == []
            assert page.run("Refine")["refineWorkflow"]["proposal"]["status"] == "PENDING"

            page.select("Watch")
            page.execute()
            page.wait_for_response("FilesChanged")
            assert page.is_busy()
            page.screenshot(SCREENSHOT or str(tmp_path / "graphiql.png"))
            page.wait_for_response("ProposalCompleted")

            assert page.run("Review")["proposal"]["mergePreview"]["conflicts"] == []
            assert page.run("Approve")["approveProposal"]["proposal"]["status"] == "APPROVED"
            assert page.run("Publish")["publishDraft"]["version"]["number"] == 1
            production = page.run("Deploy")["deployVersion"]["workflow"]["productionVersion"]
            assert production["number"] == 1
            assert page.run("AllWorkflows")["workflows"]["totalCount"] == 1

            assert page.foreign == []
            assert page.complaints == []

    def test_fits_a_phone(self, address: str, tmp_path: Path) -> None:
        with graphiql(width=390, height=844) as page:
            page.open(f"{address}/graphql")
            assert page.run("SignIn")["login"]["errors"] == []
            page.screenshot(str(tmp_path / "phone.png"))

            assert page.foreign == []
            assert page.complaints == []


class TestBeforeTheEditor:
    def test_what_is_typed_goes_on_in_the_editor(self, address: str) -> None:
        with graphiql() as page:
            with page.opening(f"{address}/graphql#query=query%20Kind%20%7B%20__typename%20%7D"):
                page.focus_early()
                page.type("Control+End", "Enter", "#", "o", "n", "e", "ArrowLeft")
            assert page.operation() == "query Kind { __typename }\n#one"
            page.type("!")
            page.wait_for_operation("\n#on!e")
            assert page.complaints == []

    @pytest.mark.parametrize("by", ["button", "keys"])
    def test_what_is_ordered_runs_once_the_editor_is_there(self, address: str, by: str) -> None:
        with graphiql() as page:
            with page.opening(f"{address}/graphql#query=query%20Kind%20%7B%20__typename%20%7D"):
                if by == "button":
                    page.execute()
                else:
                    page.focus_early()
                    page.type("Control+Enter")
            page.wait_for_response('"__typename": "Query"')
            assert ["IntrospectionQuery" in query for query in page.posted] == [True, False]
            assert page.complaints == []


class TestGraphiQL:
    def test_opens_the_operation_of_a_link_and_runs_it_only_when_asked(self, address: str) -> None:
        page_of_examples = (ROOT / "docs" / "examples" / "curl.md").read_text(encoding="utf-8")
        (link,) = re.findall(r"<!-- graphiql -->\n```\nhttp://127.0.0.1:8080(.*)\n```", page_of_examples)
        with graphiql() as page:
            page.open(f"{address}{link}")

            assert page.response() == ""
            assert page.run("Preset")["template"]["name"] == "Multiple agents"
            assert page.tabs()[:2] == ["Preset", "SignIn"]
            page.reload()
            assert page.tabs()[:3] == ["Preset", "SignIn", "CreateWorkflow"]
            assert page.complaints == []

    def test_asks_for_the_schema_once_and_again_when_told_to(self, address: str) -> None:
        with graphiql() as page:
            page.open(f"{address}/graphql")
            page.wait_for_schema()
            assert [query.count("query IntrospectionQuery") for query in page.posted] == [1]

            page.press("Re-fetch GraphQL schema")
            page.wait_for_schema()
            assert [query.count("query IntrospectionQuery") for query in page.posted] == [1, 1]
            assert page.complaints == []

    def test_the_explorer_writes_a_field_into_the_operation(self, address: str) -> None:
        with graphiql() as page:
            page.open(f"{address}/graphql#query=query%20Own%20%7B%20viewer%20%7B%20id%20%7D%20%7D")
            page.press("Show GraphiQL Explorer")
            page.choose("createdAt")
            page.wait_for_operation("createdAt")
            assert page.complaints == []

    def test_an_error_is_readable_and_marked_where_it_is(self, address: str) -> None:
        with graphiql(color_scheme="dark") as page:
            page.open(f"{address}/graphql#query=query%20Wrong%20%7B%20viewer%20%7B%20nothing%20%7D%20%7D")
            page.execute()
            page.wait_for_response("Cannot query field", "'nothing'", "'User'", "VALIDATION_FAILED")
            page.wait_for_mark()
            assert page.is_dark()

    def test_the_keys_are_told_and_work(self, address: str) -> None:
        with graphiql() as page:
            page.open(f"{address}/graphql#query=query%20Kind%20%7B%20__typename%20%7D")
            page.press("Open short keys dialog")
            assert "Execute query" in page.dialog()
            page.type("Escape")
            page.focus()
            page.type("Control+Enter")
            page.wait_for_response('"__typename": "Query"')
            assert page.complaints == []
