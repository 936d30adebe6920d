"""The embedded PostgreSQL's parent process: it stops the server when its last user is gone.

It runs as a script, isolated from the environment and on the standard library alone, so that it starts fast and neither
a virtualenv, a warnings filter nor a coverage hook reaches it. Every truth about who is alive is a `flock`, which the
kernel releases even after kill -9:

    users.lock     shared by every process that uses the server; the watchdog waits for it exclusively
    watchdog.lock  held by the watchdog
    server.lock    held by the watchdog and inherited by the postmaster and all its children
"""

import ctypes
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

if sys.platform != "win32":
    import fcntl

USERS_LOCK = "users.lock"
WATCHDOG_LOCK = "watchdog.lock"
SERVER_LOCK = "server.lock"
SOCKET_NAME = ".s.PGSQL.5432"
READY = b"ready"

POLL_SECONDS = 0.005
FAST_SHUTDOWN_SECONDS = 10.0  # then PostgreSQL is told to stop at once and to recover when it is next started

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class Account(NamedTuple):
    """Whom PostgreSQL runs as; None stands for the caller."""

    uid: int | None = None
    gid: int | None = None

    @property
    def extra_groups(self) -> list[int] | None:
        """What `subprocess` must be told so that root's other groups are dropped."""
        return None if self.uid is None else []


class Orders(NamedTuple):
    """What a watchdog is started with."""

    state: str
    socket_directory: str
    command: Sequence[str]
    uid: int | None
    gid: int | None
    gate: int
    report: int


def open_lock(path: Path) -> int:
    """Open a lock file, and make it when there is none. It is not inherited by processes that are started."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def try_lock(descriptor: int, *, exclusive: bool) -> bool:
    """Take a lock if that needs no waiting.

    Returns:
        Whether it was taken.
    """
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def listener_pid(socket_directory: Path) -> int | None:
    """Ask the kernel which process listens on the server's socket, if any."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(1)
        try:
            connection.connect(str(socket_directory / SOCKET_NAME))
        except OSError:
            return None
        if sys.platform == "linux":
            credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        else:
            sol_local, local_peerpid = 0, 2
            credentials = connection.getsockopt(sol_local, local_peerpid, struct.calcsize("i"))
    return int.from_bytes(credentials[:4], sys.byteorder)


def is_ready(data: Path, postmaster_pid: int | None) -> bool:
    """Tell whether this very postmaster wrote that it takes connections (and not that it starts or stops)."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    return lines[:1] == [str(postmaster_pid)] and lines[-1].strip() == "ready"


def supervise(orders: Orders) -> None:
    """Run PostgreSQL until its last user is gone.

    Writes READY to `orders.report` once the server takes connections; the pipe ends without it when that fails.
    `orders.gate` is let go at the same moment: until then no other process may start a server here.
    """
    state = Path(orders.state)
    alive, server, users = (open_lock(state / name) for name in (WATCHDOG_LOCK, SERVER_LOCK, USERS_LOCK))
    fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.flock(server, fcntl.LOCK_EX | fcntl.LOCK_NB)
    _remove_remains(state / "data", Path(orders.socket_directory))
    postmaster = _start_postmaster(orders, server)
    try:
        if _becomes_ready(postmaster, state / "data"):
            os.close(orders.gate)
            os.write(orders.report, READY)
            os.close(orders.report)
            threading.Thread(target=_stop_after_last_user, args=(postmaster, users), daemon=True).start()
            postmaster.wait()
    finally:
        postmaster.send_signal(signal.SIGINT)
        postmaster.wait()
        for lock in (users, server, alive):
            os.close(lock)


def _remove_remains(data: Path, socket_directory: Path) -> None:
    """Remove what a killed server left, whose process id may meanwhile be that of an innocent.

    We hold the server's lock, so nothing that we started is alive. A server that somebody started by hand on this
    directory has another socket directory in its file, and PostgreSQL itself then refuses to start a second one.
    """
    pid_file = data / "postmaster.pid"
    if pid_file.exists() and str(socket_directory) in pid_file.read_text().splitlines():
        pid_file.unlink()
    (socket_directory / SOCKET_NAME).unlink(missing_ok=True)
    (socket_directory / f"{SOCKET_NAME}.lock").unlink(missing_ok=True)


def _start_postmaster(orders: Orders, server_lock: int) -> "subprocess.Popen[bytes]":
    account = Account(orders.uid, orders.gid)
    return subprocess.Popen(  # noqa: S603 - the command was made by embedded_postgres.py
        orders.command,
        stdin=subprocess.DEVNULL,
        cwd="/",
        pass_fds=(server_lock,),
        user=account.uid,
        group=account.gid,
        extra_groups=account.extra_groups,
        preexec_fn=_die_with(os.getpid()),  # noqa: PLW1509 - no other thread runs yet
    )


def _die_with(parent: int) -> Callable[[], None] | None:
    """Make the child shut down when this process is killed; only Linux can, elsewhere the next start does it."""
    libc = _LIBC
    if libc is None:
        return None

    def ask_the_kernel() -> None:  # pragma: no cover - runs between fork and exec
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
        if os.getppid() != parent:
            os._exit(1)

    return ask_the_kernel


def _becomes_ready(postmaster: "subprocess.Popen[bytes]", data: Path) -> bool:
    while postmaster.poll() is None:
        if is_ready(data, postmaster.pid):
            return True
        time.sleep(POLL_SECONDS)
    return False


def _stop_after_last_user(postmaster: "subprocess.Popen[bytes]", users: int) -> None:
    fcntl.flock(users, fcntl.LOCK_EX)
    postmaster.send_signal(signal.SIGINT)
    time.sleep(FAST_SHUTDOWN_SECONDS)  # this thread ends with the process, which seldom lasts that long
    postmaster.send_signal(signal.SIGQUIT)


def main() -> None:  # pragma: no cover - runs where no coverage hook reaches
    """Leave the caller's family, so that it has no child to wait for, and supervise."""
    if os.fork():
        os._exit(0)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit())
    supervise(Orders(**json.loads(sys.argv[1])))


if __name__ == "__main__":
    main()
