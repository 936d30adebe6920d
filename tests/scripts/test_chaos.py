import subprocess
import sys
from pathlib import Path

import pytest

STORM = Path(__file__).parents[2] / "scripts" / "storm" / "storm.py"


@pytest.mark.timeout(300)  # it starts nine processes, some of them twice
def test_a_system_that_is_broken_for_a_moment_loses_and_doubles_nothing() -> None:
    command = [sys.executable, STORM, "--seconds=4", "--subscribers=8", "--executions=4", "--pace=5", "--seed=7"]

    storm = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)

    assert storm.returncode == 0, storm.stdout + storm.stderr
    assert "each subscriber's sequence is whole and without repeats" in storm.stdout
    assert "fault: " in storm.stdout
