"""The journey in GraphiQL, in a real browser that reaches this machine and no other."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from support.browser import chromium, graphiql
from support.processes import STOP_SECONDS, free_port, started

from graphql_api.kit import embedded_postgres

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

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
    with started("dev", "--port", str(port), environment=environment, log=directory / "dev.log"):
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
