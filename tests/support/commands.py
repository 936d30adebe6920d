"""The command line: in this process for what ends by itself, in a process of its own for what runs on."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from graphql_api.cli import main

ORCHESTRATOR = Path(sys.executable).with_name("orchestrator")
WAIT_SECONDS = 30

SETTINGS = (
    "DATABASE_URL",
    "ENVIRONMENT",
    "HOST",
    "JWT_SECRET",
    "LOG_FORMAT",
    "LOG_LEVEL",
    "NO_COLOR",
    "ORCHESTRATOR_TOKEN",
    "ORCHESTRATOR_URL",
    "PORT",
)
"""Variables that would tell a command something else than its test does."""


class Result(NamedTuple):
    """How a command ended, and what it wrote."""

    code: object
    out: str
    err: str


class Invoke:
    """Runs commands in this process.

    Args:
        monkeypatch: Takes back what a test sets.
        capsys: Has what a command writes.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def set(self, **variables: str) -> None:
        """Set variables of the environment."""
        for name, value in variables.items():
            self._monkeypatch.setenv(name, value)

    def type(self, text: str) -> None:
        """Put a text on standard input, which is no terminal then."""
        self._monkeypatch.setattr(sys, "stdin", StringIO(text))

    async def off_loop(self, *arguments: str) -> Result:
        """Run a command beside the event loop of an async test."""
        return await asyncio.to_thread(self, *arguments)

    def __call__(self, *arguments: str) -> Result:
        """Run a command to its end."""
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        return Result(caught.value.code, *self._capsys.readouterr())


def assert_one_line(result: Result, *texts: str) -> None:
    """Check that a command was refused in one line, which has these texts and no secret."""
    assert (result.code, result.out) == (1, "")
    assert len(result.err.splitlines()) == 1
    assert result.err.startswith("Error: ")
    for text in texts:
        assert text in result.err
    assert "not-to-be-shown" not in result.err


def environment(home: Path, **variables: str) -> dict[str, str]:
    """Make the environment of a command: this process's own, without what it says of the settings."""
    kept = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    return {**kept, "ORCHESTRATOR_HOME": str(home), "EMBEDDED_RUNTIME_PACE_MS": "0", **variables}


def run(*arguments: str, home: Path, stdin: str = "", **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run the console script to its end, in the home, where there is no `.env`."""
    home.mkdir(mode=0o700, exist_ok=True)
    return subprocess.run(
        [ORCHESTRATOR, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        cwd=home,
        env=environment(home, **variables),
        timeout=WAIT_SECONDS,
    )


class Running:
    """A command that runs on.

    Args:
        arguments: Of the program.
        home: Where its data and its output are kept.
        program: What runs; the console script unless told.
        at: The directory that it runs in; the home when None.
        variables: Of its environment.
    """

    def __init__(
        self,
        *arguments: str,
        home: Path,
        program: Sequence[str | Path] = (ORCHESTRATOR,),
        at: Path | None = None,
        **variables: str,
    ) -> None:
        home.mkdir(mode=0o700, exist_ok=True)
        self.home = home
        self._output = home / "output.txt"
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [*program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=at or home,
                env=environment(home, **variables),
            )

    @property
    def output(self) -> str:
        """What it wrote so far."""
        return self._output.read_text(encoding="utf-8")

    @property
    def url(self) -> str:
        """Where it says that it listens."""
        found = re.search(r"http://[\w.]+:\d+", self.output)
        assert found is not None, self.output
        return found[0]

    def says(self, text: str) -> None:
        """Wait until it writes a text."""
        deadline = time.monotonic() + WAIT_SECONDS
        while text not in self.output:
            assert self._process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.02)

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Send a signal, and give the exit code."""
        self._process.send_signal(number)
        return self._process.wait(WAIT_SECONDS)

    def end(self) -> None:
        """End it, whatever state it is in."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


@contextmanager
def running(*arguments: str, home: Path, until: str, **variables: str) -> Iterator[Running]:
    """Run a command while the context lasts, from when it has said something."""
    command = Running(*arguments, home=home, **variables)
    try:
        command.says(until)
        yield command
    finally:
        command.end()


def server_of(home: Path) -> list[psutil.Process]:
    """Find the processes of a home's embedded PostgreSQL."""
    state = str((home / "postgres").resolve())
    found = []
    psutil.process_iter.cache_clear()  # of processes that had the numbers of these before
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        if any(state in word for word in words):
            found.append(process)
    return found
