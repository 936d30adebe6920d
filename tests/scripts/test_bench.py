import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree as ET

import pytest

BENCH = Path(__file__).parents[2] / "scripts" / "bench"


@pytest.fixture(scope="module")
def modules() -> Iterator[dict[str, ModuleType]]:
    sys.path.insert(0, str(BENCH))
    try:
        yield {name: import_module(name) for name in ("bench", "report", "queries", "query_site")}
    finally:
        sys.path.remove(str(BENCH))


class TestVerdict:
    def test_a_target_is_met_when_it_is_just_reached(self, modules: dict[str, ModuleType]) -> None:
        assert modules["report"].verdict(8, at_least=8) == "8 or more: met"

    def test_a_missed_target_stands_out(self, modules: dict[str, ModuleType]) -> None:
        assert modules["report"].verdict(7.9, at_least=8) == "8 or more: **missed**"
        assert modules["report"].verdict(26, at_most=25) == "25 or less: **missed**"

    def test_without_a_target_nothing_is_said(self, modules: dict[str, ModuleType]) -> None:
        assert modules["report"].verdict(1) == ""


class TestQueries:
    def test_each_server_is_compared_with_ours_round_by_round(self, modules: dict[str, ModuleType]) -> None:
        queries, cost = modules["queries"], modules["query_site"].Cost
        costs = {"product": [cost(100, 10, 50), cost(200, 30, 60)], "stock": [cost(900, 0, 5), cost(1600, 0, 6)]}

        lines = [*queries.table(queries.CASES["typename"], costs)]

        assert lines[2:] == [
            "| this product | 150 µs |  |  | 20 µs | 55 |",
            "| Strawberry | 1,250 µs | **8.50** (8.00 to 9.00) | 8 or more: met | 0 µs | 6 |",
        ]

    def test_the_tables_replace_what_stood_between_the_markers(
        self, modules: dict[str, ModuleType], tmp_path: Path
    ) -> None:
        page = tmp_path / "performance.md"
        page.write_text("before\n<!-- queries -->\nold\n<!-- /queries -->\nafter\n")
        (tmp_path / "images").mkdir()
        cost = modules["query_site"].Cost

        modules["queries"].write(page, "new", {"list": {"product": [cost(1, 1, 1)], "yoga": [cost(2, 1, 1)]}})

        assert page.read_text() == "before\n<!-- queries -->\nnew\n<!-- /queries -->\nafter\n"
        assert ET.parse(tmp_path / "images" / "queries.svg").getroot().tag.endswith("svg")


class TestSubscriptions:
    def test_more_events_and_less_memory_are_better(self, modules: dict[str, ModuleType]) -> None:
        bench = modules["bench"]
        rate, memory = bench.CASES[0], bench.CASES[-1]
        figures = {
            (rate.name, "product"): [300.0, 200.0],
            (rate.name, "strawberry"): [10.0, 10.0],
            (memory.name, "product"): [30.0],
            (memory.name, "strawberry"): [60.0],
        }

        results = bench.results(figures, ["product", "strawberry"])

        assert [(each.case, each.peer, each.ratios, each.ahead, each.target) for each in results] == [
            (rate.name, "product", (20.0, 30.0), None, None),
            (rate.name, "strawberry", (1.0, 1.0), 25.0, 20),
            (memory.name, "product", (2.0,), None, None),
            (memory.name, "strawberry", (1.0,), 2.0, pytest.approx(1 / 0.6)),
        ]
