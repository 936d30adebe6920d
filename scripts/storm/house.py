"""The system that is broken: PostgreSQL, a runtime, two API processes, two workers, with proxies in between."""

import asyncio
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import asyncpg
import httpx
import psutil
from proxy import Proxy

from graphql_api.kit import embedded_postgres_cluster as cluster

ORCHESTRATOR = Path(sys.executable).parent / "orchestrator"
START_SECONDS = 180
POLL_SECONDS = 0.05

_USUAL_PACE_MS = 100
"""Roughly what the fake runtime leaves between two frames at speed 1."""


class Postgres:
    """A PostgreSQL of its own, on a Unix socket; its data is gone with it."""

    def __init__(self) -> None:
        self._account = cluster.server_account()
        self._binaries = cluster.find_binaries(self._account)
        self._state = Path(tempfile.mkdtemp(prefix="orchestrator-chaos-", dir=cluster.REACHABLE_DIRECTORY))
        self._state.chmod(0o711)  # the account that PostgreSQL runs as passes through to its data
        self._sockets = cluster.own_directory(self._state / "socket", self._account)
        self._password = secrets.token_urlsafe(24)
        self._process: subprocess.Popen[bytes] | None = None
        with (self._state / "log").open("wb") as log:
            if not cluster.initialize(
                self._state, self._binaries, self._account, self._password, log=log.fileno(), gate=log.fileno()
            ):
                sys.exit("PostgreSQL could not be set up: " + (self._state / "log").read_text(errors="replace"))

    def url(self, port: int) -> str:
        """Write its address as seen through a proxy."""
        return f"postgresql://{cluster.USER}:{self._password}@127.0.0.1:{port}/{cluster.DATABASE}"

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect, for a proxy."""
        return await asyncio.open_unix_connection(str(self._sockets / ".s.PGSQL.5432"))

    async def connect(self) -> asyncpg.Connection:
        """Connect past every proxy."""
        return await asyncpg.connect(
            host=str(self._sockets), user=cluster.USER, password=self._password, database=cluster.DATABASE
        )

    async def start(self) -> None:
        """Start, and wait until it answers."""
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self._sockets),
            "max_connections": "200",
            "fsync": "off",  # the machine itself does not crash here
        }
        with (self._state / "log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - it runs on
                [
                    str(self._binaries.directory / "postgres"),
                    "-D",
                    str(self._state / "data"),
                    *(f"--{name}={value}" for name, value in settings.items()),
                ],
                stdout=log,
                stderr=log,
                cwd="/",
                env=cluster.server_environment(),
                user=self._account.uid,
                group=self._account.gid,
                extra_groups=self._account.extra_groups,
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                await (await self.connect()).close()
            except (OSError, asyncpg.PostgresError):
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(POLL_SECONDS)
            else:
                return

    async def stop(self, number: signal.Signals) -> None:
        """Stop: with SIGINT in order, with SIGQUIT as in a crash."""
        if self._process is not None:
            self._process.send_signal(number)
            await asyncio.to_thread(self._process.wait)
            self._process = None

    async def remove(self) -> None:
        """Stop, and delete everything."""
        await self.stop(signal.SIGQUIT)
        shutil.rmtree(self._state, ignore_errors=True)


class Member:
    """One process of the system, which may be killed and started again.

    Args:
        name: Of the process, such as `api-1`.
        arguments: Of the command line.
        environment: Beside this process's own.
        directory: Where its log goes.
        port: Where it listens; None when it does not.
    """

    def __init__(
        self, name: str, arguments: list[str], environment: Mapping[str, str], directory: Path, port: int | None = None
    ) -> None:
        self.name = name
        self.port = port
        self.largest = 0
        self.is_ending = False
        self.log = directory / f"{name}.log"
        self._arguments = arguments
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self.proxy = Proxy(partial(asyncio.open_connection, "127.0.0.1", port)) if port else None

    @property
    def address(self) -> str:
        """Where clients find it: at its proxy."""
        return f"http://127.0.0.1:{self.proxy.port if self.proxy else 0}"

    @property
    def process(self) -> psutil.Process | None:
        """The process, while there is one."""
        if self._process is None or self._process.poll() is not None:
            return None
        return psutil.Process(self._process.pid)

    def start(self) -> None:
        """Start it, unless it runs."""
        if self.process is None:
            self.is_ending = False
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    [str(ORCHESTRATOR), *self._arguments],
                    env={**os.environ, **self._environment},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if there is anybody to take it."""
        if self._process is not None and self._process.poll() is None:
            self.is_ending = self.is_ending or number in {signal.SIGKILL, signal.SIGTERM}
            self._process.send_signal(number)

    async def end(self) -> None:
        """Wait for its end."""
        if self._process is not None:
            await asyncio.to_thread(self._process.wait)

    def measure(self) -> None:
        """Note how much memory it takes, if that is more than before."""
        process = self.process
        if process is not None:
            try:
                self.largest = max(self.largest, process.memory_info().rss)
            except psutil.Error:
                return


class House:
    """All of them.

    Args:
        directory: Where logs go.
        runtime: `embedded`, or `deepagents` for the fake one.
        pace: Milliseconds between two frames of the runtime.
    """

    def __init__(self, directory: Path, *, runtime: str, pace: float) -> None:
        self.postgres = Postgres()
        self.database = Proxy(self.postgres.open)
        self._directory = directory
        self._runtime = runtime
        self._pace = pace
        self.apis: list[Member] = []
        self.workers: list[Member] = []
        self.runtimes: list[Member] = []

    @property
    def members(self) -> list[Member]:
        """All processes but PostgreSQL."""
        return [*self.runtimes, *self.apis, *self.workers]

    async def start(self) -> None:
        """Start everything, and wait until it answers."""
        await self.postgres.start()
        await self.database.start()
        environment = {
            "DATABASE_URL": self.postgres.url(self.database.port),
            "JWT_SECRET": secrets.token_urlsafe(48),
            "ENVIRONMENT": "production",
            "LOG_FORMAT": "json",
            "MAX_CONCURRENT_REFINEMENTS": "1000",
            "EMBEDDED_RUNTIME_PACE_MS": str(self._pace),
            "ORCHESTRATOR_HOME": str(self._directory),
        }
        await self._run("db", "upgrade", environment=environment)
        if self._runtime != "embedded":
            environment["RUNTIME_URL"] = self._fake(environment)
        for number in (1, 2):
            port = free_port()
            arguments = ["serve", "--port", str(port)]
            self.apis.append(Member(f"api-{number}", arguments, environment, self._directory, port))
            self.workers.append(Member(f"worker-{number}", ["worker"], environment, self._directory))
        for member in self.members:
            member.start()
            if member.proxy is not None:
                await member.proxy.start()
        await asyncio.gather(*(self.answers(api) for api in self.apis))

    def _fake(self, environment: Mapping[str, str]) -> str:
        port = free_port()
        speed = str(_USUAL_PACE_MS / self._pace)
        arguments = ["fake-runtime", "--protocol", self._runtime, "--port", str(port), "--speed", speed]
        self.runtimes.append(Member("runtime", arguments, environment, self._directory))
        return f"{self._runtime}+http://127.0.0.1:{port}"

    async def answers(self, api: Member) -> None:
        """Wait until an API process is ready, with everything behind it."""
        deadline = time.monotonic() + START_SECONDS
        async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
            while True:
                try:
                    answer = await client.get(f"http://127.0.0.1:{api.port}/ready")
                    if answer.json()["status"] == "ready":
                        return
                except (httpx.HTTPError, ValueError):
                    pass
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{api.name} is not ready; see {api.log}")
                await asyncio.sleep(POLL_SECONDS)

    async def mend(self) -> None:
        """Let everything run again, and wait until it does."""
        for member in self.members:
            member.send(signal.SIGCONT)
            if member.is_ending:
                await member.end()
            member.start()
        await asyncio.gather(*(self.answers(api) for api in self.apis))

    async def stop(self) -> None:
        """End everything."""
        for member in self.members:
            member.send(signal.SIGCONT)
            member.send(signal.SIGKILL)
            await member.end()
            if member.proxy is not None:
                await member.proxy.stop()
        await self.database.stop()
        await self.postgres.remove()

    async def _run(self, *arguments: str, environment: Mapping[str, str]) -> None:
        process = await asyncio.create_subprocess_exec(
            str(ORCHESTRATOR), *arguments, env={**os.environ, **environment}, stdout=asyncio.subprocess.DEVNULL
        )
        if await process.wait():
            sys.exit(f"orchestrator {' '.join(arguments)} failed.")


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
