"""What runs while something is measured: servers and load generators, each in a process of its own."""

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Self

import psutil

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
END_SECONDS = 30
NODE_WARM_SECONDS = 0.4
"""Node compiles what it runs often."""

INSTALL_NODE = "Debian, Ubuntu: apt install nodejs npm; macOS: brew install node"


class Skipped(Exception):
    """Something that is needed is not here."""


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers.

    Attributes:
        port: Where.
        pid: Of its process.
        warm: How many seconds it takes to get warm, at least.
    """

    port: int
    pid: int
    warm: float = 0.0


@dataclass(frozen=True, slots=True)
class Peer:
    """A server that is compared.

    Attributes:
        name: See report.NAMES.
        serving: Runs it; raises `Skipped` when it can't.
    """

    name: str
    serving: Callable[[], AbstractContextManager[Running]]


@dataclass
class Skips:
    """Notes what is left out, and says it at once.

    Attributes:
        lines: What was said.
    """

    lines: list[str] = field(default_factory=list)

    def note(self, names: str, reason: object) -> None:
        """Leave something out."""
        line = f"Skipped: {names}: {reason}."
        if line not in self.lines:
            self.lines.append(line)
            print(line, flush=True)


class Nursery:
    """A Python process that has imported modules once, and runs one of them in a fork of itself as often as asked.

    Args:
        modules: What it imports.
        directory: Where it works: the settings of a checkout are none of its business.
    """

    def __init__(self, *modules: str, directory: Path) -> None:
        command = [sys.executable, HERE / "nursery.py", *modules]
        environment = _environment()
        environment.pop("DATABASE_URL", None)
        self._telling = Lock()
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            cwd=directory,
            text=True,
            process_group=0,
        )

    def __enter__(self) -> Self:
        """Keep it for a block."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End it, and what it has started."""
        with self._process:
            os.killpg(self._process.pid, signal.SIGKILL)

    def wait(self) -> None:
        """Wait until everything is imported."""
        if self.read() != "ready":
            sys.exit("a nursery does not start")

    def read(self) -> str:
        """Wait for the next line that the program says; nothing when it has ended."""
        return self._process.stdout.readline().strip() if self._process.stdout else ""

    @contextmanager
    def running(
        self,
        module: str,
        *words: object,
        settings: Mapping[str, str] | None = None,
        is_quiet: bool = False,
        ending: signal.Signals = signal.SIGKILL,
    ) -> Iterator[tuple[int, str]]:
        """Run a module; give its process id, and the line that it says once it has begun; end it.

        Args:
            module: Whose `main` is called.
            words: Of its command line.
            settings: Variables of its environment.
            is_quiet: Whether what it says is thrown away; then nobody waits for a line.
            ending: What ends it.
        """
        order = {"module": module, "words": [*map(str, words)], "settings": settings or {}, "is_quiet": is_quiet}
        with self._telling:
            if self._process.stdin:
                self._process.stdin.write(f"{json.dumps(order)}\n")
                self._process.stdin.flush()
            first = self.read()
            if not first.isdigit():
                sys.exit(f"{module} does not start: {first or 'what ran before it has failed'}")
            pid = int(first)
            said = "" if is_quiet else self.read()
        try:
            yield pid, said
        finally:
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                process.send_signal(ending)
                process.wait(END_SECONDS)


@contextmanager
def started(
    command: Sequence[object], settings: Mapping[str, str] | None = None, warm: float = 0.0
) -> Iterator[Running]:
    """Run a server that prints its port.

    Args:
        command: That runs it.
        settings: Variables beside those of the environment.
        warm: How many seconds it takes to get warm, at least.

    Raises:
        Skipped: When it does not start.
    """
    environment = {**_environment(), "NODE_ENV": "production", **(settings or {})}
    words = [str(word) for word in command]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, text=True
    ) as process:
        try:
            yield Running(port_of(process.stdout.readline() if process.stdout else ""), process.pid, warm)
        finally:
            process.kill()


def port_of(line: str) -> int:
    """Read the port that a server prints.

    Raises:
        Skipped: When it has printed something else.
    """
    if not line.strip().isdigit():
        raise Skipped("it does not start")
    return int(line)


def all_started(stack: ExitStack, peers: Sequence[Peer], skips: Skips) -> dict[str, Running]:
    """Start servers side by side, but for those that can't; they run until the stack ends."""

    def start(peer: Peer) -> Running | None:
        try:
            return stack.enter_context(peer.serving())
        except Skipped as reason:
            skips.note(peer.name, reason)
            return None

    with ThreadPoolExecutor() as threads:
        servers = zip(peers, threads.map(start, peers), strict=True)
    return {peer.name: server for peer, server in servers if server is not None}


def node_peers(
    files: Mapping[str, str], skips: Skips, *, words: Sequence[str] = (), settings: Mapping[str, str] | None = None
) -> list[Peer]:
    """Name servers in Node, when it is here.

    Args:
        files: The file of each, by its name.
        skips: Where it is noted that they can't run.
        words: Of their command line.
        settings: Variables of their environment.
    """
    try:
        node = installed_node()
    except Skipped as reason:
        skips.note(", ".join(files), reason)
        return []

    def peer(name: str, file: str) -> Peer:
        return Peer(name, lambda: started((node, HERE / "peers" / file, *words), settings, NODE_WARM_SECONDS))

    return [peer(name, file) for name, file in files.items()]


@cache
def installed_node() -> str:
    """Install what the servers in Node need; gives the program that runs them."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise Skipped(f"Node is not installed ({INSTALL_NODE})")
    peers, installed = HERE / "peers", HERE / "peers" / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < (peers / "package-lock.json").stat().st_mtime:
        print("Installing the peers in Node (first run only) …", flush=True)
        done = subprocess.run(
            [npm, "ci", "--no-audit", "--no-fund"], cwd=peers, check=False, capture_output=True, text=True
        )
        if done.returncode != 0:
            said = next((line for line in done.stderr.splitlines() if line.strip()), "it says nothing")
            raise Skipped(f"`npm ci` can't install their packages in scripts/bench/peers ({said})")
    return node


def load_generator(directory: Path, name: str) -> list[str]:
    """Compile a load generator; gives the command that runs it, or its slower twin where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or platform.system() != "Linux":
        print(f"{name}.py asks, and takes much CPU time: {name}.c needs Linux and a C compiler (apt install gcc)")
        return [sys.executable, str(HERE / f"{name}.py")]
    subprocess.run([compiler, "-O2", "-o", directory / name, HERE / f"{name}.c"], check=True)
    return [str(directory / name)]


def load(
    generator: Sequence[str],
    server: Running,
    options: Sequence[object],
    *,
    warm: float,
    seconds: float,
    source: AbstractContextManager[None] | None = None,
) -> dict[str, Any]:
    """Run a load generator against a server.

    Args:
        generator: Its command.
        server: Which.
        options: More of them.
        warm: Seconds before it begins to measure.
        seconds: For which it measures.
        source: What is to happen as soon as the generator has said its first line.

    Raises:
        Skipped: When it could not measure.
    """
    words = [
        "--port",
        server.port,
        "--pid",
        server.pid,
        *options,
        "--warm",
        max(warm, server.warm),
        "--seconds",
        seconds,
    ]
    command = [*generator, *map(str, words)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process,
        ExitStack() as stack,
    ):
        if source is not None and process.stdout and process.stdout.readline():
            stack.enter_context(source)
        output, errors = process.communicate()
    if process.returncode != 0:
        raise Skipped(errors.strip())
    measured: dict[str, Any] = json.loads(output.splitlines()[-1])
    return measured


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{ROOT}:{HERE}"}
