"""Runs what the README prints for a shell; its GraphQL is run by tests/e2e, its TypeScript by tests/clients."""

import os
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import readme
from support.commands import WAIT_SECONDS, Running, environment

from graphql_api.kit import embedded_postgres
from graphql_api.kit.database import Database
from graphql_api.settings import Settings

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
FIRST_LINES = {
    "./scripts/demo": "Sign in            Demo <demo@example.com>",
    ".venv/bin/orchestrator watch": "Ask the agent      ",
    ".venv/bin/orchestrator --show-completion": "",
    "./scripts/test": "=",
    "orchestrator db upgrade": "The schema is the newest one.",
    "orchestrator users create --email ada@example.com --name Ada --admin": "Made the account of Ada <ada@example.com>",
}
"""Commands that end by themselves, and what they say first."""

LASTING = {
    "./scripts/dev": "demo_data_made",
    '.venv/bin/orchestrator tail "Support desk"': "version 2 deployed",
    "orchestrator serve": '"listening"',
    "orchestrator worker": '"working"',
}
"""Commands that run until they are stopped, and what they say when they are at it."""

READ_BY_UVICORN = {"FORWARDED_ALLOW_IPS"}


class Checkout:
    """A fresh clone, of which the packages are installed already.

    Args:
        root: An empty directory.
    """

    def __init__(self, root: Path) -> None:
        self.home = root / "home"
        self._root = root
        shutil.copytree(ROOT / "scripts", root / "scripts", ignore=shutil.ignore_patterns("node_modules"))
        # What it does has tests of its own, and here it would change the environment under them.
        (root / "scripts" / "bootstrap.py").write_text("")
        (root / ".venv").symlink_to(Path(sys.executable).parents[1])
        (root / "pyproject.toml").write_text(
            '[tool.coverage.run]\nparallel = true\npatch = ["subprocess"]\nsource = ["tests"]\n'
        )
        (root / "tests").mkdir()
        (root / "tests" / "test_one.py").write_text("def test_one():\n    pass\n")

    def run(self, command: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        """Run a line as a shell does, to its end."""
        return subprocess.run(
            ["bash", "-c", command],
            cwd=self._root,
            env=environment(self.home, **self._variables(variables)),
            input="long enough pw\n",
            capture_output=True,
            text=True,
            check=False,
            timeout=WAIT_SECONDS * 2,
        )

    @contextmanager
    def lasting(self, command: str, **variables: str) -> Iterator[Running]:
        """Run a line as a shell does, from when it is at it to its end."""
        # A client has no data, and its output goes beside that of the server.
        home = self.home.with_name("client") if "tail" in command else self.home
        running = Running(
            f"exec {command}", home=home, program=("bash", "-c"), at=self._root, **self._variables(variables)
        )
        try:
            running.says(LASTING[command])
            yield running
            running.stop()
        finally:
            running.end()

    def _variables(self, variables: dict[str, str]) -> dict[str, str]:
        return {**variables, "PATH": f"{self._root / '.venv' / 'bin'}:{os.environ['PATH']}"}


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    checkout = Checkout(tmp_path)
    yield checkout
    if checkout.home.is_dir():
        embedded_postgres.remove(checkout.home)


class TestCommands:
    def test_each_that_is_printed_is_run_here(self) -> None:
        assert set(readme.commands()) == {*FIRST_LINES, *LASTING}

    def test_those_of_the_first_minutes_work(self, checkout: Checkout) -> None:
        with checkout.lasting("./scripts/dev", PORT="0") as dev:
            url = dev.url
            with checkout.lasting('.venv/bin/orchestrator tail "Support desk"', ORCHESTRATOR_URL=url):
                pass
            for command in ("./scripts/demo", ".venv/bin/orchestrator watch"):
                done = checkout.run(command, ORCHESTRATOR_URL=url)
                assert (done.returncode, done.stderr) == (0, "")
                assert done.stdout.startswith(FIRST_LINES[command])
        # Not the last command, or bash would give its place to it, and the shell to be completed is whoever runs this.
        shown = checkout.run(".venv/bin/orchestrator --show-completion; exit $?")
        assert "complete" in shown.stdout

    def test_the_script_of_the_tests_runs_them(self, checkout: Checkout) -> None:
        done = checkout.run("./scripts/test", CI="")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "1 passed" in done.stdout
        assert "TOTAL" in done.stdout

    async def test_those_of_production_work_in_their_order(
        self, checkout: Checkout, fresh_database: Callable[..., Awaitable[Database]]
    ) -> None:
        database = await fresh_database(is_migrated=False)
        variables = {
            "DATABASE_URL": database.url.set(drivername="postgresql").render_as_string(hide_password=False),
            "JWT_SECRET": "a secret of tests that is long enough to sign with",
            "ENVIRONMENT": "production",
            "PORT": "0",
        }
        for command in readme.commands():
            if command in LASTING and command.startswith("orchestrator "):
                with checkout.lasting(command, **variables):
                    pass
            elif command.startswith("orchestrator "):
                done = checkout.run(command, **variables)
                assert done.returncode == 0, done.stderr
                assert done.stdout.startswith(FIRST_LINES[command])


class TestSettings:
    def test_the_table_has_each_variable_once(self) -> None:
        assert sorted(readme.settings()) == sorted(
            {*(name.upper() for name in Settings.model_fields), *READ_BY_UVICORN}
        )
