"""The system as it runs in earnest: the console script, in processes of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from socket import socket

import httpx

from support.waiting import until

ORCHESTRATOR = Path(sys.executable).parent / "orchestrator"
SECRET = "a secret of tests that is long enough to sign with"
STOP_SECONDS = 40


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Process:
    """One process of the system.

    Args:
        arguments: Of the console script.
        environment: What is set beside this process's own.
        log: Where its output goes.
    """

    def __init__(self, *arguments: str, environment: Mapping[str, str], log: Path) -> None:
        self.log = log
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                [ORCHESTRATOR, *arguments],
                env={**os.environ, "JWT_SECRET": SECRET, "LOG_FORMAT": "json", **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._popen.send_signal(number)

    def wait(self) -> int:
        """Wait for the end; give the exit code."""
        return self._popen.wait(STOP_SECONDS)

    def stop(self) -> None:
        """End it, whatever state it is in."""
        if self._popen.poll() is None:
            self.send(signal.SIGCONT)
            self.send(signal.SIGTERM)
            try:
                self.wait()
            except subprocess.TimeoutExpired:
                self._popen.kill()
                self.wait()

    def said(self, text: str) -> bool:
        """Tell whether it wrote a text."""
        return text in self.log.read_text(encoding="utf-8", errors="replace")


@contextmanager
def started(*arguments: str, environment: Mapping[str, str], log: Path) -> Iterator[Process]:
    """Run a process of the system while the context lasts."""
    process = Process(*arguments, environment=environment, log=log)
    try:
        yield process
    finally:
        process.stop()


async def answers(address: str) -> None:
    """Wait until an API process is ready, workers and all."""

    async def is_ready() -> bool:
        try:
            async with httpx.AsyncClient() as client:
                return bool((await client.get(f"{address}/ready")).json()["database"] == "up")
        except httpx.TransportError:
            return False

    await until(is_ready)
