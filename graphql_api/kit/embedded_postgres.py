"""An embedded PostgreSQL: one server for all processes of a home, gone when the last of them is gone.

`start()` joins the home's server or starts it. As an ordinary user everything lies in `HOME/postgres`; as root that is
a link to a directory under /var/tmp, because PostgreSQL then runs as an unprivileged account, out of the home's reach.

A process counts as a user for as long as it holds a lock, which the kernel takes from it even after kill -9. Nothing
depends on a process id that was written down. When the watchdog itself is killed, Linux stops the server with it; on
macOS the server runs on, unwatched, until the next `start()` stops it and starts a new one.
"""

import hashlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import rmtree
from types import TracebackType
from typing import Self
from urllib.parse import quote

from graphql_api.kit import embedded_postgres_watchdog as watchdog
from graphql_api.kit.embedded_postgres_cluster import (
    ADVICE,
    DATABASE,
    REACHABLE_DIRECTORY,
    USER,
    EmbeddedPostgresError,
    find_binaries,
    initialize,
    last_telling_line,
    own_directory,
    server_account,
    server_environment,
    write_secret,
)

if sys.platform != "win32":
    import fcntl

__all__ = ["EmbeddedPostgres", "EmbeddedPostgresError", "remove", "start"]

_PORT = 5432  # only a part of the socket's name: there is no TCP
_WAIT_SECONDS = 30.0
_POLL_SECONDS = 0.01

# Longer paths do not fit in a socket's address (macOS: 104 bytes with the name), and other characters not through every
# parser of URLs and of PostgreSQL's lists.
_SOCKET_DIRECTORY = re.compile(r"[\w/.@+-]{1,85}", re.ASCII)
_LONG_PATHS_DIRECTORY = Path("/tmp")  # noqa: S108 - its owner and mode are checked; TMPDIR may differ between two users

_DEFAULTS = {"max_connections": "200"}


class EmbeddedPostgres:
    """A process's share in the embedded server; the server stays while anybody has one."""

    def __init__(self, *, users_lock: int, socket_directory: Path, password: str) -> None:
        self._users_lock: int | None = users_lock
        self._socket_directory = socket_directory
        self._password = password

    def url(self, database: str = DATABASE) -> str:
        """Spell the address of a database, for libpq, asyncpg and (after `postgresql+asyncpg`) SQLAlchemy."""
        host = quote(str(self._socket_directory), safe="/")
        password = quote(self._password, safe="")
        return f"postgresql://{USER}:{password}@/{quote(database, safe='')}?host={host}&port={_PORT}"

    def close(self) -> None:
        """Give up the share; the last one stops the server, without waiting for its end. Twice does no harm."""
        if self._users_lock is not None:
            os.close(self._users_lock)
            self._users_lock = None

    def __enter__(self) -> Self:
        """Keep the share for a block."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Give up the share."""
        self.close()


def start(home: Path, *, settings: Mapping[str, str] | None = None) -> EmbeddedPostgres:
    """Join the server of a home, and start it when there is none.

    Blocks until the server takes connections and its database `orchestrator` exists. The share ends with `close()` or
    with this process, and not before any forked child of it.

    Args:
        home: A directory, made with mode 0700 when there is none.
        settings: PostgreSQL's own, used when this call is the one that starts the server.

    Raises:
        EmbeddedPostgresError: When there is no server to be had here; the message says what to do.
    """
    with _gate(home) as gate:
        state = _state_directory(home.resolve())
        users = watchdog.open_lock(state / watchdog.USERS_LOCK)
        try:
            if not _joins(state, users):
                _launch(state, gate, settings or {})
            password = (state / "password").read_text()
        except BaseException:
            os.close(users)
            raise
    return EmbeddedPostgres(users_lock=users, socket_directory=_socket_directory(state), password=password)


def remove(home: Path, *, wait_seconds: float = 10.0) -> None:
    """Delete the server's data of a home, for good, and leave the rest of the home.

    Args:
        home: What `start()` was given.
        wait_seconds: How long the last user may take to go.

    Raises:
        EmbeddedPostgresError: When somebody still uses it.
    """
    with _gate(home):
        link = home.resolve() / "postgres"
        if not link.exists():
            return
        state = link.resolve()
        users = watchdog.open_lock(state / watchdog.USERS_LOCK)
        try:
            deadline = time.monotonic() + wait_seconds
            while not (watchdog.try_lock(users, exclusive=True) and not _is_locked(state / watchdog.SERVER_LOCK)):
                fcntl.flock(users, fcntl.LOCK_UN)
                if time.monotonic() > deadline:
                    raise EmbeddedPostgresError(f"The embedded PostgreSQL of {home} is in use; stop its users first.")
                time.sleep(_POLL_SECONDS)
            rmtree(_socket_directory(state), ignore_errors=True)
            rmtree(state)
        finally:
            os.close(users)
        if link.is_symlink():
            link.unlink()


@contextmanager
def _gate(home: Path) -> Iterator[int]:
    """Let one process at a time start or remove the server of a home."""
    if sys.platform == "win32":
        raise EmbeddedPostgresError(f"There is no embedded PostgreSQL for Windows; {ADVICE}.")
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        gate = watchdog.open_lock(home / "postgres.lock")
        try:
            fcntl.flock(gate, fcntl.LOCK_EX)
            yield gate
        finally:
            os.close(gate)
    except OSError as error:
        raise EmbeddedPostgresError(f"The embedded PostgreSQL cannot use {home}: {error}; {ADVICE}.") from error


def _state_directory(home: Path) -> Path:
    """Find or make the directory of locks, password, log and data; only its owner may list or change it."""
    link = home / "postgres"
    if os.geteuid() != 0:
        return own_directory(link, watchdog.Account())
    if not link.exists():
        link.unlink(missing_ok=True)
        key = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
        made = tempfile.mkdtemp(prefix=f"orchestrator-postgres-{key}-", dir=REACHABLE_DIRECTORY)
        link.symlink_to(made)
    # The account must pass through it to its data and its socket, which are closed to all others.
    state = own_directory(link.resolve(), watchdog.Account(), mode=0o711)
    state.chmod(0o711)
    return state


def _socket_directory(state: Path) -> Path:
    directory = state / "socket"
    if _SOCKET_DIRECTORY.fullmatch(str(directory)):
        return directory
    key = hashlib.sha256(os.fsencode(state)).hexdigest()[:16]
    return _LONG_PATHS_DIRECTORY / f"orchestrator-{os.geteuid()}-{key}"


def _joins(state: Path, users: int) -> bool:
    """Become a user, once whatever is about to end has ended.

    Returns:
        Whether a server runs. If not, whoever holds the gate may start one.
    """
    deadline = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < deadline:
        if watchdog.try_lock(users, exclusive=False):
            if not _is_locked(state / watchdog.SERVER_LOCK):
                return False
            postmaster = watchdog.listener_pid(_socket_directory(state))
            watched = _is_locked(state / watchdog.WATCHDOG_LOCK)
            if watched and watchdog.is_ready(state / "data", postmaster):
                return True
            if not watched and postmaster is not None:
                with suppress(ProcessLookupError):
                    os.kill(postmaster, signal.SIGINT)
        time.sleep(_POLL_SECONDS)
    raise EmbeddedPostgresError(
        f"The previous server in {state} does not stop; end its postgres processes, or {ADVICE}."
    )


def _is_locked(path: Path) -> bool:
    descriptor = watchdog.open_lock(path)
    try:
        return not watchdog.try_lock(descriptor, exclusive=True)
    finally:
        os.close(descriptor)


def _launch(state: Path, gate: int, settings: Mapping[str, str]) -> None:
    account = server_account()
    binaries = find_binaries(account)
    data, password_file, log_file = state / "data", state / "password", state / "server.log"
    if log_file.exists():
        log_file.replace(state / "server.previous.log")
    log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
    try:
        if data.exists():
            _check_major(data, binaries.major)
        else:
            write_secret(password_file, secrets.token_urlsafe(24))
            password = password_file.read_text()
            if not initialize(state, binaries, account, password, log=log, gate=gate):
                raise EmbeddedPostgresError(_failure(log_file))
        socket_directory = own_directory(_socket_directory(state), account)
        command = _command(binaries.directory / "postgres", data, socket_directory, settings)
        reading, writing = os.pipe()
        orders = watchdog.Orders(str(state), str(socket_directory), command, account.uid, account.gid, gate, writing)
        if not _run_watchdog(orders, reading, log):
            raise EmbeddedPostgresError(_failure(log_file))
    finally:
        os.close(log)


def _check_major(data: Path, major: int) -> None:
    found = (data / "PG_VERSION").read_text().strip()
    if found != str(major):
        raise EmbeddedPostgresError(
            f"{data} was made by PostgreSQL {found}, and the embedded one is {major}: move that directory away, "
            f"or set DATABASE_URL to a server of version {found}."
        )


def _failure(log: Path) -> str:
    return f"The embedded PostgreSQL did not start: {last_telling_line(log)} (see {log}); mend that, or {ADVICE}."


def _command(postgres: Path, data: Path, socket_directory: Path, settings: Mapping[str, str]) -> list[str]:
    fixed = {
        "listen_addresses": "",
        "port": str(_PORT),
        "unix_socket_directories": str(socket_directory),
        "unix_socket_permissions": "0700",
        "log_destination": "stderr",
        "logging_collector": "off",
    }
    flags = [f"--{name}={value}" for name, value in (_DEFAULTS | dict(settings) | fixed).items()]
    return [str(postgres), "-D", str(data), *flags]


def _run_watchdog(orders: watchdog.Orders, reading: int, log: int) -> bool:
    """Start the watchdog and hear whether the server is ready."""
    try:
        subprocess.run(  # noqa: S603 - this interpreter, and a file of this package
            [sys.executable, "-I", "-S", watchdog.__file__, json.dumps(orders._asdict())],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            check=False,
            cwd="/",
            env=server_environment(),
            start_new_session=True,
            pass_fds=(orders.gate, orders.report),
        )
    finally:
        os.close(orders.report)
    with os.fdopen(reading, "rb") as report:
        return report.read() == watchdog.READY
