import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest
from support.commands import running
from support.demo_author import DemoAuthor
from support.server import quick_settings
from support.waiting import until

from graphql_api.cli import demo_data, serving
from graphql_api.cli.problems import Problem
from graphql_api.identity import users
from graphql_api.kit.database import Database

pytestmark = pytest.mark.anyio

READY = "Ctrl-C stops it"
MADE = "demo_data_made"
SHOWN = """{
  workflows {
    nodes {
      name viewerRole
      members { user { name } role }
      latestVersion { number } productionVersion { number }
      proposals { nodes { status mergePreview { status } } }
    }
  }
}"""
"""What a client's overview, inbox and settings show."""


def shown(url: str) -> dict[str, dict[str, Any]]:
    return {node["name"]: node for node in DemoAuthor(url).ask(SHOWN)["workflows"]["nodes"]}


def states(workflow: dict[str, Any]) -> list[tuple[str, str | None]]:
    return [
        (proposal["status"], proposal["mergePreview"] and proposal["mergePreview"]["status"])
        for proposal in workflow["proposals"]["nodes"]
    ]


class TestFirstStart:
    async def test_each_screen_has_something_to_show(self, home: Path) -> None:
        with running("dev", "--port", "0", home=home, until=MADE, EMBEDDED_RUNTIME_PACE_MS="1") as dev:
            workflows = shown(dev.url)
            await until(lambda: states(shown(dev.url)["Travel planner"]) == [("PROCESSING", None)])
            others = {text for text in dev.output.splitlines() if "request_ended" in text and "demo" not in text}
            assert dev.stop() == 0

        assert {name: states(workflow) for name, workflow in workflows.items() if name != "Travel planner"} == {
            "Support desk": [("APPROVED", None)],
            "Invoice checks": [("FAILED", None)],
            "Research team": [("COMPLETED", "CONFLICTED"), ("APPROVED", None)],
            "Product changelog": [("COMPLETED", "FAST_FORWARD")],
            "Security handbook": [],
        }
        desk = workflows["Support desk"]
        assert (desk["latestVersion"], desk["productionVersion"]) == ({"number": 2}, {"number": 2})
        roles = {member["user"]["name"]: member["role"] for member in desk["members"]}
        assert roles == {"Demo": "OWNER", "Erin Editor": "EDITOR", "Vic Viewer": "VIEWER"}
        assert workflows["Security handbook"]["viewerRole"] == "VIEWER"
        # What we ask ourselves would push where everything is off the terminal.
        assert len(others) < 5

    async def test_a_killed_one_is_finished_and_nothing_is_made_twice(self, home: Path) -> None:
        with running("dev", "--port", "0", home=home, until=READY) as first:
            await until(lambda: len(shown(first.url)) >= 3)
            first.stop(signal.SIGKILL)
            assert MADE not in first.output
        with running("dev", "--port", "0", home=home, until=MADE) as second:
            workflows = DemoAuthor(second.url).ask(SHOWN)["workflows"]["nodes"]
            assert second.stop() == 0
        with running("dev", "--port", "0", home=home, until=READY) as third:
            assert len(shown(third.url)) == 6
            assert third.stop() == 0

        assert len(workflows) == 6
        assert [len(workflow["proposals"]["nodes"]) for workflow in workflows].count(1) == 4
        assert MADE not in third.output

    def test_it_can_be_left_out_for_good(self, home: Path) -> None:
        for options in (("--no-demo-data",), ()):
            with running("dev", "--port", "0", *options, home=home, until=READY) as dev:
                assert shown(dev.url) == {}
                assert dev.stop() == 0
            assert "demo_data" not in dev.output

    @pytest.mark.parametrize(
        "values",
        [
            {"runtime_url": "deepagents+http://127.0.0.1:8000"},
            {"agent_model": "openai:gpt-4.1"},
            {"database_url": "postgresql://host/name"},
        ],
    )
    def test_neither_an_agent_that_may_cost_something_nor_somebodys_database_is_used(
        self, values: dict[str, str]
    ) -> None:
        assert serving._is_for_demo_data(quick_settings())
        assert not serving._is_for_demo_data(quick_settings(**values))


class TestMake:
    async def test_what_goes_wrong_is_told_and_left_for_the_next_start(
        self, database: Database, tmp_path: Path
    ) -> None:
        listens = asyncio.Event()
        listens.set()
        demo_data.begin(tmp_path)

        await demo_data.make(database, tmp_path, "http://127.0.0.1:1", listens)

        assert demo_data.is_wanted(tmp_path)
        async with database.transaction() as session:
            assert await users.by_email(session, demo_data.EDITOR[0]) is not None

    def test_a_home_that_is_none_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "home").touch()
        with pytest.raises(Problem, match="ORCHESTRATOR_HOME"):
            demo_data.begin(tmp_path / "home")
