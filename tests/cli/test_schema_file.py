from pathlib import Path

import pytest
from support.commands import Invoke, assert_one_line

from graphql_api.schema import possible_types, sdl


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "schema.graphql"


class TestExport:
    def test_the_file_is_what_the_server_serves(self, invoke: Invoke, path: Path) -> None:
        assert invoke("schema", "export") == (0, "Wrote schema.graphql.\nWrote possible-types.json.\n", "")
        assert path.read_text(encoding="utf-8") == sdl()

    def test_the_possible_types_are_written_beside_it(self, invoke: Invoke, tmp_path: Path) -> None:
        directory = tmp_path / "client"
        directory.mkdir()
        assert invoke("schema", "export", str(directory / "api.graphql")).code == 0
        assert (directory / "possible-types.json").read_text(encoding="utf-8") == possible_types()

    def test_a_place_that_is_none_is_one_line(self, invoke: Invoke) -> None:
        assert_one_line(invoke("schema", "export", "no/such/directory"), "no/such/directory can't be written")


class TestCheck:
    def test_a_fresh_file_passes(self, invoke: Invoke, path: Path) -> None:
        invoke("schema", "export")
        said = "schema.graphql is what the code serves.\npossible-types.json is what the code serves.\n"
        assert invoke("schema", "export", "--check") == (0, said, "")

    def test_a_stale_file_fails_with_the_lines_that_differ_and_stays(self, invoke: Invoke, path: Path) -> None:
        invoke("schema", "export")
        stale = sdl().replace("type Query {", "type Question {")
        path.write_text(stale, encoding="utf-8")

        code, out, err = invoke("schema", "export", "--check", str(path))

        assert code == 1
        assert "-type Question {\n+type Query {\n" in out
        assert err == f"Error: {path} is not what the code serves; run: orchestrator schema export {path}\n"
        assert path.read_text(encoding="utf-8") == stale

    def test_stale_possible_types_fail_too(self, invoke: Invoke, tmp_path: Path) -> None:
        invoke("schema", "export")
        (tmp_path / "possible-types.json").write_text("{}\n", encoding="utf-8")

        code, out, err = invoke("schema", "export", "--check")

        assert code == 1
        assert '-{}\n+{\n+  "Event": [\n' in out
        assert err == (
            "Error: possible-types.json is not what the code serves; run: orchestrator schema export schema.graphql\n"
        )

    def test_missing_possible_types_are_one_line(self, invoke: Invoke, path: Path) -> None:
        path.write_text(sdl(), encoding="utf-8")
        code, out, err = invoke("schema", "export", "--check")
        assert (code, out) == (1, "schema.graphql is what the code serves.\n")
        assert err.startswith("Error: possible-types.json can't be read")

    def test_a_long_difference_is_cut(self, invoke: Invoke, path: Path) -> None:
        invoke("schema", "export")
        path.write_text("type Query { a: Int }\n", encoding="utf-8")
        *lines, others = invoke("schema", "export", "--check").out.splitlines()
        assert len(lines) == 41
        assert lines[-1].startswith("… and ")
        assert others == "possible-types.json is what the code serves."

    def test_a_missing_file_is_one_line(self, invoke: Invoke) -> None:
        assert_one_line(invoke("schema", "export", "--check"), "schema.graphql can't be read")
