import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "breaking.py"
OLD = "type Query { old: String new(a: String): String }"


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
    def release(self, directory: Path, new: str) -> subprocess.CompletedProcess[str]:
        """Release the old schema, and compare the new one with it."""
        (directory / "scripts").mkdir()
        (directory / "scripts" / "breaking.py").write_bytes(SCRIPT.read_bytes())
        (directory / "schema.graphql").write_text(OLD, encoding="utf-8")
        author = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
        for arguments in (["init", "-q"], ["add", "."], [*author, "commit", "-qm", "Release"], ["tag", "v1.0.0"]):
            subprocess.run(["git", *arguments], cwd=directory, check=True)
        (directory / "schema.graphql").write_text(new, encoding="utf-8")
        command = [sys.executable, directory / "scripts" / "breaking.py"]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def test_fails_on_a_breaking_change_since_the_last_release(self, tmp_path: Path) -> None:
        answer = self.release(tmp_path, "type Query { old: String }")

        assert answer.returncode == 1
        assert answer.stdout == "Breaks clients of v1.0.0: Field Query.new was removed.\n"

    def test_passes_when_nothing_breaks(self, tmp_path: Path) -> None:
        answer = self.release(tmp_path, OLD)

        assert (answer.returncode, answer.stdout) == (0, "Nothing breaks clients of v1.0.0.\n")
