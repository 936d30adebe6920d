import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "breaking.py"
OLD = "type Query { old: String new(a: String): String }"
ANNOUNCED = OLD.replace("old: String", 'old: String @deprecated(reason: "Use new.")')


@pytest.fixture
def breaking() -> ModuleType:
    spec = spec_from_file_location("breaking", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TestBreakingChanges:
    def test_what_is_added_breaks_nothing(self, breaking: ModuleType) -> None:
        assert (
            breaking.breaking_changes(OLD, "type Query { old: String new(a: String, b: Int): String more: Int }") == []
        )

    def test_what_goes_breaks_clients(self, breaking: ModuleType) -> None:
        assert breaking.breaking_changes(OLD, "type Query { new(a: String): String }") == [
            "Field Query.old was removed."
        ]

    def test_what_was_announced_may_go(self, breaking: ModuleType) -> None:
        assert breaking.breaking_changes(OLD, "type Query { new(a: String): String }", frozenset({"Query.old"})) == []


class TestTheScript:
    def release(self, directory: Path, *schemas: str, gone: str | None = None) -> subprocess.CompletedProcess[str]:
        """Release schemas as v1.0.0, v1.1.0 and so on, and compare the last of them, which is not released."""
        (directory / "scripts").mkdir()
        (directory / "scripts" / "breaking.py").write_bytes(SCRIPT.read_bytes())
        author = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
        subprocess.run(["git", "init", "-q"], cwd=directory, check=True)
        for number, schema in enumerate(schemas[:-1]):
            (directory / "schema.graphql").write_text(schema, encoding="utf-8")
            commit = [*author, "commit", "-q", "--allow-empty", "-m", "Release"]
            for arguments in (["add", "."], commit, ["tag", f"v1.{number}.0"]):
                subprocess.run(["git", *arguments], cwd=directory, check=True)
        (directory / "schema.graphql").write_text(schemas[-1], encoding="utf-8")
        command = [sys.executable, directory / "scripts" / "breaking.py", *(["--gone", gone] if gone else [])]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def test_fails_on_a_breaking_change_since_the_last_release(self, tmp_path: Path) -> None:
        answer = self.release(tmp_path, OLD, "type Query { old: String }")

        assert answer.returncode == 1
        assert answer.stdout == "Breaks clients of v1.0.0: Field Query.new was removed.\n"

    def test_passes_when_nothing_breaks(self, tmp_path: Path) -> None:
        answer = self.release(tmp_path, OLD, OLD)

        assert (answer.returncode, answer.stdout) == (0, "Nothing breaks clients of v1.0.0.\n")

    @pytest.mark.parametrize(
        ("released", "may_go"),
        [
            ([OLD, OLD], False),
            ([OLD, ANNOUNCED], False),
            ([ANNOUNCED], False),
            ([ANNOUNCED, ANNOUNCED], True),
            ([OLD, ANNOUNCED, ANNOUNCED], True),
        ],
    )
    def test_what_goes_was_deprecated_in_two_minor_releases(
        self, tmp_path: Path, released: list[str], *, may_go: bool
    ) -> None:
        answer = self.release(tmp_path, *released, "type Query { new(a: String): String }", gone="Query.old")

        early = "" if may_go else "Query.old has not been @deprecated in two minor releases.\n"
        assert answer.stdout == f"{early}Nothing breaks clients of v1.{len(released) - 1}.0.\n"
        assert answer.returncode == (0 if may_go else 1)
