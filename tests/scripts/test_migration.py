import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def make(directory: Path, *arguments: str) -> str:
    """Make a migration in a copy of the scripts; give the new file's text."""
    for name in ("scripts", "migrations"):
        shutil.copytree(ROOT / name, directory / name, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
    known = set((directory / "migrations" / "versions").glob("*.py"))
    command = [sys.executable, directory / "scripts" / "new_migration.py", "Add a note", *arguments]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    (new,) = set((directory / "migrations" / "versions").glob("*.py")) - known
    assert new.name.endswith("_add_a_note.py")
    return new.read_text(encoding="utf-8")


class TestAMigration:
    def test_begins_with_a_lock_timeout_and_nothing_else(self, tmp_path: Path) -> None:
        text = make(tmp_path)

        assert text.count("SET LOCAL lock_timeout = '5s'") == 2
        assert "op.create_table" not in text

    def test_is_empty_when_the_models_have_nothing_new(self, tmp_path: Path) -> None:
        text = make(tmp_path, "--autogenerate")

        assert 'down_revision: str | Sequence[str] | None = "2026' in text
        assert not [line for line in text.splitlines() if "op." in line and "lock_timeout" not in line]
