import asyncio
import json
import os
import shutil
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree as ET

import psutil
import pytest

BENCH = Path(__file__).parents[2] / "scripts" / "bench"
NAMES = ("bench", "queries", "report", "running", "sites", "subscriptions", "system")


@pytest.fixture(scope="module")
def modules() -> Iterator[dict[str, ModuleType]]:
    sys.path.insert(0, str(BENCH))
    try:
        yield {name: import_module(name) for name in NAMES}
    finally:
        sys.path.remove(str(BENCH))


class TestOptions:
    def test_everything_is_measured_and_written(self, modules: dict[str, ModuleType]) -> None:
        options = modules["bench"].read_options([])

        assert (options.only, options.rounds, options.seconds, options.write) == (None, 5, 3.0, True)

    def test_a_quick_run_writes_only_when_it_is_asked_to(self, modules: dict[str, ModuleType]) -> None:
        read = modules["bench"].read_options

        assert (read(["--quick"]).rounds, read(["--quick"]).write) == (1, False)
        assert read(["--quick", "--write"]).write

    def test_a_dry_run_writes_nothing(self, modules: dict[str, ModuleType]) -> None:
        assert not modules["bench"].read_options(["--dry"]).write

    def test_parts_rounds_and_seconds_are_chosen(self, modules: dict[str, ModuleType]) -> None:
        words = ["--only", "system", "--only", "queries", "--quick", "--rounds", "2", "--seconds", "0.5"]

        options = modules["bench"].read_options(words)

        assert (options.only, options.rounds, options.seconds) == (["system", "queries"], 2, 0.5)

    def test_a_part_that_there_is_not_is_refused(
        self, modules: dict[str, ModuleType], capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit):
            modules["bench"].read_options(["--only", "nothing"])

        assert "choose from" in capsys.readouterr().err


class TestVerdict:
    def test_a_target_is_met_when_it_is_just_reached(self, modules: dict[str, ModuleType]) -> None:
        assert modules["report"].verdict(8, at_least=8) == "8 or more: met"

    def test_a_missed_target_stands_out(self, modules: dict[str, ModuleType]) -> None:
        assert modules["report"].verdict(7.9, at_least=8) == "8 or more: **missed**"
        assert modules["report"].verdict(26, at_most=25) == "25 or less: **missed**"

    def test_without_a_target_nothing_is_said(self, modules: dict[str, ModuleType]) -> None:
        assert modules["report"].verdict(1) == ""


class TestReport:
    def test_what_was_measured_replaces_what_stood_between_the_markers(
        self, modules: dict[str, ModuleType], tmp_path: Path
    ) -> None:
        report = modules["report"]
        page = tmp_path / "performance.md"
        page.write_text("before\n<!-- queries -->\nold\n<!-- /queries -->\nafter\n")
        drawn = report.picture("A picture", {"a case": [("product", 1.0), ("yoga", 2.0)]})
        skipped = ["Skipped: yoga: Node is not installed."]
        tables = [report.table(("what", "how much"), [("one", "1")], numbers=(1,))]

        report.Report("queries", tables, {"queries.svg": drawn}, skipped).write(tmp_path, "Made by hand.")

        assert page.read_text().splitlines() == [
            "before",
            "<!-- queries -->",
            "Made by hand.",
            "",
            "Skipped: yoga: Node is not installed.",
            "",
            "| what | how much |",
            "|---|---:|",
            "| one | 1 |",
            "<!-- /queries -->",
            "after",
        ]
        assert ET.parse(tmp_path / "images" / "queries.svg").getroot().tag.endswith("svg")

    def test_a_page_without_the_markers_stays_as_it_is(self, modules: dict[str, ModuleType], tmp_path: Path) -> None:
        page = tmp_path / "performance.md"
        page.write_text("before\n<!-- queries -->\nold\n")

        with pytest.raises(SystemExit, match="has no <!-- queries --> and <!-- /queries -->"):
            modules["report"].put(page, "queries", "new")

        assert page.read_text() == "before\n<!-- queries -->\nold\n"

    @pytest.mark.parametrize("name", ["authoring", "graphiql", "ingest", "queries", "subscriptions", "system"])
    def test_each_part_has_its_place_in_the_documentation(self, name: str) -> None:
        page = (BENCH.parents[1] / "docs" / "performance.md").read_text()

        assert page.count(f"<!-- {name} -->\n") == page.count(f"<!-- /{name} -->\n") == 1
        assert page.index(f"<!-- {name} -->") < page.index(f"<!-- /{name} -->")


class TestQueries:
    def test_each_server_is_compared_with_ours_round_by_round(self, modules: dict[str, ModuleType]) -> None:
        queries, cost = modules["queries"], modules["queries"].Cost
        costs = {"product": [cost(100, 10, 50), cost(200, 30, 60)], "strawberry": [cost(900, 0, 5), cost(1600, 0, 6)]}

        lines = queries.case_table(queries.CASES["typename"], costs)

        assert lines[2:] == [
            "| this product | 150 µs |  |  | 20 µs | 55 |",
            "| Strawberry | 1,250 µs | **8.50** (8.00 to 9.00) | 8 or more: met | 0 µs | 6 |",
        ]


class TestSubscriptions:
    def test_more_events_and_less_memory_are_better(self, modules: dict[str, ModuleType]) -> None:
        subscriptions = modules["subscriptions"]
        rate, memory = subscriptions.CASES[0], subscriptions.CASES[-1]
        figures = {
            (rate.name, "product"): [300.0, 200.0],
            (rate.name, "strawberry"): [10.0, 10.0],
            (memory.name, "product"): [30.0],
            (memory.name, "strawberry"): [60.0],
        }

        tables = [subscriptions.case_table(case, figures, ["product", "strawberry"])[2:] for case in (rate, memory)]

        assert tables == [
            [
                "| this product | **25.0** (20.0 to 30.0) | 250 |  |",
                "| Strawberry | **1.0** (1.0 to 1.0) | 10.0 | 25.0 times as good; 20 or more: met |",
            ],
            [
                "| this product | **2.0** (2.0 to 2.0) | 30.0 |  |",
                "| Strawberry | **1.0** (1.0 to 1.0) | 60.0 | 2.0 times as good; 1.7 or more: met |",
            ],
        ]

    def test_a_server_that_was_not_measured_is_left_out(self, modules: dict[str, ModuleType]) -> None:
        subscriptions = modules["subscriptions"]
        case = subscriptions.CASES[0]

        lines = subscriptions.case_table(case, {(case.name, "product"): [300.0]}, ["product", "strawberry"])

        assert lines[2:] == ["| this product | not measured | 300 |  |"]

    def test_servers_with_events_in_memory_send_the_same(self, modules: dict[str, ModuleType], tmp_path: Path) -> None:
        running, subscriptions = modules["running"], modules["subscriptions"]
        log = str(subscriptions.CHECKED_LOG)
        sent = []
        with running.Nursery("servers", directory=tmp_path) as servers:
            servers.wait()
            for name in ("product", "product-asgi", "strawberry", "starlette"):
                with subscriptions.delivering(servers, name) as server:
                    sent.append(asyncio.run(subscriptions.first_payloads(server.port, log, "")))

        assert len(sent[0]) == subscriptions.COMPARED_MESSAGES
        assert sent.count(sent[0]) == len(sent)


class TestNursery:
    @pytest.fixture
    def nursery(self, modules: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
        shutil.copy(BENCH / "nursery.py", tmp_path)
        (tmp_path / "program.py").write_text(
            "import json, os, sys, threading\n"
            "def main():\n"
            "    print(json.dumps([sys.argv[1:], os.environ['COLOUR']]), flush=True)\n"
            "    threading.Event().wait()\n"
        )
        monkeypatch.setattr(modules["running"], "HERE", tmp_path)
        with modules["running"].Nursery("program", directory=tmp_path) as nursery:
            nursery.wait()
            yield nursery

    def test_a_program_has_its_words_and_variables_and_is_ended(self, nursery: Any) -> None:  # noqa: ANN401 - loaded by path
        with nursery.running("program", 1, "two", settings={"COLOUR": "blue"}) as (pid, said):
            assert psutil.pid_exists(pid)

        assert json.loads(said) == [["1", "two"], "blue"]
        assert not psutil.pid_exists(pid)

    def test_nobody_waits_for_a_program_that_fails(self, nursery: Any) -> None:  # noqa: ANN401 - loaded by path
        with nursery.running("program") as (_, said):
            assert said == ""


class TestMissingPeers:
    @pytest.fixture(autouse=True)
    def _not_installed_before(self, modules: dict[str, ModuleType]) -> None:
        modules["running"].installed_node.cache_clear()

    def test_without_node_its_servers_are_skipped(
        self, modules: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        running = modules["running"]
        monkeypatch.setenv("PATH", str(tmp_path))
        skips = running.Skips()

        assert running.node_peers({"ws": "ws.mjs", "yoga": "yoga.mjs"}, skips) == []
        (line,) = skips.lines
        assert line.startswith("Skipped: ws, yoga: Node is not installed (Debian, Ubuntu: apt install nodejs npm;")

    def test_without_a_registry_its_servers_are_skipped(
        self, modules: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        running = modules["running"]
        for name in ("node", "npm"):
            (tmp_path / name).write_text("#!/bin/sh\necho npm error network is unreachable >&2\nexit 1\n")
            (tmp_path / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        (tmp_path / "peers").mkdir()
        (tmp_path / "peers" / "package-lock.json").write_text("{}")
        monkeypatch.setattr(running, "HERE", tmp_path)
        skips = running.Skips()

        assert running.node_peers({"ws": "ws.mjs"}, skips) == []
        (line,) = skips.lines
        assert line.startswith("Skipped: ws: `npm ci` can't install their packages in scripts/bench/peers ")
        assert line.endswith("(npm error network is unreachable).")

    def test_a_server_that_does_not_start_is_skipped(self, modules: dict[str, ModuleType]) -> None:
        running = modules["running"]
        with pytest.raises(running.Skipped, match="it does not start"), running.started([sys.executable, "-c", ""]):
            pass
