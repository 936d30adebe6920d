import os
import shutil
import subprocess
from pathlib import Path

import pytest
from support.commands import ORCHESTRATOR, Invoke

TYPED = {
    "orchestrator wat": {"watch"},
    "orchestrator users ": {"create", "list", "disable", "enable"},
    "orchestrator db up": {"upgrade"},
    "orchestrator dev --no": {"--no-demo-data"},
    "orchestrator watch --a": {"--after"},
    "orchestrator fake-runtime --fault drops": {"drops-always"},
}
"""What is offered for what was typed."""

IN_BASH = """
eval "$(orchestrator --show-completion)"
COMP_WORDS=($TYPED)
[[ $TYPED == *" " ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_orchestrator_completion orchestrator
printf '%s\\n' "${COMPREPLY[@]}"
"""
IN_FISH = """
orchestrator --show-completion | source
complete --do-complete $TYPED
"""


def offered(*shell: str, program: str, typed: str, home: Path) -> set[str]:
    """Let a shell complete, with the lines that a person would put into its configuration."""
    path = f"{ORCHESTRATOR.parent}{os.pathsep}{os.environ['PATH']}"
    script = home / "program"
    script.write_text(program, encoding="utf-8")
    done = subprocess.run(
        [*shell, script],
        env={"PATH": path, "HOME": str(home), "TYPED": typed},
        cwd=home,
        capture_output=True,
        text=True,
        check=True,
    )
    return {line.split("\t")[0] for line in done.stdout.splitlines() if line}


class TestShells:
    @pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
    @pytest.mark.parametrize("typed", TYPED)
    def test_bash_completes(self, tmp_path: Path, typed: str) -> None:
        assert offered("bash", "--norc", program=IN_BASH, typed=typed, home=tmp_path) == TYPED[typed]

    @pytest.mark.skipif(shutil.which("fish") is None, reason="there is no fish here")
    @pytest.mark.parametrize("typed", TYPED)
    def test_fish_completes(self, tmp_path: Path, typed: str) -> None:
        assert offered("fish", "--no-config", program=IN_FISH, typed=typed, home=tmp_path) == TYPED[typed]

    @pytest.mark.parametrize("typed", TYPED)
    def test_what_zsh_asks_is_answered(self, invoke: Invoke, typed: str) -> None:
        invoke.set(_ORCHESTRATOR_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS=typed)
        told = invoke().out
        assert all(f'"{word}"' in told for word in TYPED[typed])
