"""The dashboard and the alerts: every metric that they name is there, and Prometheus understands what they ask."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.server import Site, site

from graphql_api.kit.database import Database

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[1]
DASHBOARD = ROOT / "deploy/dashboards/orchestrator.json"
PAGE = ROOT / "docs/observability.md"
RUNBOOK = ROOT / "docs/operations.md"
ALERTS = ROOT / "deploy/alerts/orchestrator.yml"
METRIC = re.compile(r"\b(?:orchestrator|process)_[a-z_]+\b")
OF_A_FAMILY = re.compile(r"_(?:bucket|count|sum)$")


def panels() -> list[dict[str, Any]]:
    """Give the panels that show something."""
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def queries() -> Iterator[str]:
    """Give what panels ask."""
    for panel in panels():
        yield from (target["expr"] for target in panel["targets"])


async def exposed(site: Site) -> tuple[set[str], str]:
    """Give the names of all metrics, and the whole text."""
    told = (await site.request("GET", "/metrics")).text
    return set(re.findall(r"^# TYPE (\S+) ", told, re.MULTILINE)), told


def asked_in(file: Path) -> str:
    """Give what a file asks Prometheus."""
    return "\n".join(queries()) if file is DASHBOARD else file.read_text()


def named(text: str) -> set[str]:
    return {OF_A_FAMILY.sub("", name) for name in METRIC.findall(text)}


class TestNames:
    @pytest.mark.parametrize("file", [DASHBOARD, ALERTS, PAGE], ids=lambda file: file.name)
    async def test_every_metric_is_exposed(self, database: Database, file: Path) -> None:
        async with site(database) as running:
            names, _ = await exposed(running)

        assert len(named(asked_in(file))) > 10
        assert named(asked_in(file)) - names == set()

    @pytest.mark.parametrize("file", [DASHBOARD, PAGE], ids=lambda file: file.name)
    async def test_what_is_exposed_is_shown_and_explained(self, database: Database, file: Path) -> None:
        async with site(database) as running:
            names, _ = await exposed(running)

        ours = {name for name in names if name.startswith("orchestrator_") and "_tested_" not in name}
        assert ours - named(asked_in(file)) == set()

    async def test_names_follow_the_conventions(self, database: Database) -> None:
        async with site(database) as running:
            _, told = await exposed(running)

        types = dict(re.findall(r"^# TYPE orchestrator_(\S+) (\w+)", told, re.MULTILINE))
        for name, type_ in types.items():
            assert name.endswith("_total") is (type_ == "counter"), name
            assert type_ != "histogram" or name.endswith("_seconds"), name


class TestAlerts:
    def test_each_is_explained(self) -> None:
        alerts = re.findall(r"- alert: (\w+)", ALERTS.read_text())

        assert len(alerts) == len(set(alerts)) > 10
        assert re.findall(r"^\| `(Orchestrator\w+)`", RUNBOOK.read_text(), re.MULTILINE) == alerts


class TestDashboard:
    def test_panels_have_names_units_and_places_of_their_own(self) -> None:
        places = [tuple(panel["gridPos"].values()) for panel in panels()]
        assert len(set(places)) == len(places)
        assert len({panel["id"] for panel in panels()}) == len(panels())
        for panel in panels():
            assert panel["title"]
            assert panel["description"]
            assert panel["fieldConfig"]["defaults"]["unit"]
            assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}


class TestPromtool:
    @pytest.fixture
    def promtool(self) -> str:
        found = shutil.which("promtool")
        if found is None:
            pytest.skip("promtool is not here; Debian has it in the package prometheus")
        return found

    def test_it_understands_the_alerts(self, promtool: str) -> None:
        subprocess.run([promtool, "check", "rules", ALERTS], check=True, capture_output=True)

    def test_it_understands_the_panels(self, promtool: str, tmp_path: Path) -> None:
        rules = [
            {"record": f"panel:{number}", "expr": query.replace("$__rate_interval", "5m").replace("$job", ".+")}
            for number, query in enumerate(queries())
        ]
        file = tmp_path / "panels.yml"
        file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
        subprocess.run([promtool, "check", "rules", file], check=True, capture_output=True)
