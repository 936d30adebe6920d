import ast
import fcntl
import hashlib
import http.server
import io
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
WAITING = "Waiting for another installation to finish …\n"

# Stands in for uv: writes down what it was asked, and makes what would pass for an environment.
STAND_IN = """#!/bin/sh
echo "$*" >> calls
env > environment
if [ -e broken ]; then echo "error: the disk is full" >&2; exit 2; fi
case "$1" in
    sync | venv) mkdir -p .venv/bin; ln -sf "$UV_PYTHON" .venv/bin/python; touch .venv/pyvenv.cfg ;;
    export) echo "six==1.17.0" ;;
esac
"""


@dataclass
class Checkout:
    """A directory that has what bootstrap looks at, and a home that is its own."""

    root: Path
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def uv(self) -> Path:
        shown = self.run("uv", check=True)
        return Path(shown.stdout.strip())

    @property
    def calls(self) -> list[str]:
        written = self.root / "calls"
        return written.read_text().splitlines() if written.exists() else []

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-I", self.root / "scripts" / "bootstrap.py", *arguments],
            env={"PATH": os.environ["PATH"], "HOME": str(self.root), **self.variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, check: bool = False) -> subprocess.CompletedProcess[str]:
        with self.start(*arguments) as process:
            output, errors = process.communicate()
        done = subprocess.CompletedProcess(process.args, process.returncode, output, errors)
        if check:
            done.check_returncode()
        return done


@dataclass
class Index:
    """A package index that offers one file for uv, and remembers who asked."""

    address: str
    wheel: bytes
    links: list[str] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)

    @property
    def with_password(self) -> str:
        return self.address.replace("://", "://ann:s%40fe@") + "/simple"


def wheel_of(version: str, content: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(f"uv-{version}.data/scripts/uv", content)
    return packed.getvalue()


def pinned(source: str) -> tuple[str, dict[str, str]]:
    """Read the pinned version, and the hash of each platform, out of the script."""
    values = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id in {"UV_VERSION", "UV_HASHES"}
    }
    return values["UV_VERSION"], values["UV_HASHES"]


@pytest.fixture
def bare(tmp_path: Path) -> Checkout:
    root = tmp_path / "checkout"
    (root / "scripts").mkdir(parents=True)
    for name in ("bootstrap.py", "prelude.sh", "dev"):
        shutil.copy(SCRIPTS / name, root / "scripts")
    (root / "uv.lock").write_text("version = 1\n")
    (root / "pyproject.toml").write_text("[project]\n")
    return Checkout(root)


@pytest.fixture
def index() -> Iterator[Index]:
    version, hashes = pinned((SCRIPTS / "bootstrap.py").read_text())

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            offered.authorizations.append(self.headers["Authorization"])
            page = "".join(f'<a href="{link}#sha256=0">{link}</a>' for link in offered.links).encode()
            body = {"/simple/uv/": page}.get(self.path, offered.wheel if self.path.endswith(".whl") else None)
            self.send_response(404 if body is None else 200)
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        offered = Index(f"http://127.0.0.1:{server.server_port}", wheel_of(version, STAND_IN))
        offered.links = [f"../../files/uv-{version}-py3-none-{tag}.whl" for tag in hashes]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield offered
        server.shutdown()
        thread.join()


@pytest.fixture
def trusting(bare: Checkout, index: Index) -> Checkout:
    """A checkout that pins the stand-in, and takes it from the index."""
    script = bare.root / "scripts" / "bootstrap.py"
    source = script.read_text()
    for digest in pinned(source)[1].values():
        source = source.replace(digest, hashlib.sha256(index.wheel).hexdigest())
    script.write_text(source)
    bare.variables["PIP_INDEX_URL"] = f"{index.address}/simple/"
    return bare


@pytest.fixture
def checkout(trusting: Checkout) -> Checkout:
    """A checkout that has its uv, and no other index than PyPI."""
    assert trusting.uv.exists()
    del trusting.variables["PIP_INDEX_URL"]
    return trusting


class TestPython:
    def test_an_old_one_is_told_its_version_and_the_wanted_one(self, bare: Checkout) -> None:
        script = bare.root / "scripts" / "bootstrap.py"
        pretend = f"import runpy, sys; sys.version_info = (3, 9, 18); runpy.run_path({str(script)!r})"
        done = subprocess.run([sys.executable, "-c", pretend], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert done.stderr == f"bootstrap: Python 3.11 or newer is needed; {sys.executable} is 3.9.\n"

    def test_an_old_one_can_read_the_script_as_far_as_that(self) -> None:
        ast.parse((SCRIPTS / "bootstrap.py").read_text(), feature_version=(3, 8))

    @pytest.mark.parametrize(
        ("version", "message"), [(None, "No python3 was found."), ("3.9", "python3 is 3.9.")], ids=["none", "old"]
    )
    def test_a_script_without_a_python_says_what_to_install(
        self, bare: Checkout, tmp_path: Path, version: str | None, message: str
    ) -> None:
        path = tmp_path / "bin"
        path.mkdir()
        for tool in ("dirname", "readlink"):
            (path / tool).symlink_to(str(shutil.which(tool)))
        if version:
            (path / "python3").write_text(f"#!/bin/sh\necho {version}\nexit 1\n")
            (path / "python3").chmod(0o755)
        done = subprocess.run(
            ["/bin/sh", bare.root / "scripts" / "dev"],
            env={"PATH": str(path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert done.stderr.startswith(f"Python 3.11 or newer is needed. {message} Install it (")


class TestInstall:
    def test_the_application_needs_no_tools_of_development(self, checkout: Checkout) -> None:
        done = checkout.run()
        assert done.returncode == 0
        assert checkout.calls == ["sync --frozen --no-dev --inexact"]
        assert re.fullmatch(r"Installing dependencies \(first run only\) …\nDone in \d+ s\.\n", done.stderr)

    def test_a_second_run_is_silent_and_does_nothing(self, checkout: Checkout) -> None:
        checkout.run(check=True)
        done = checkout.run()
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert len(checkout.calls) == 1

    def test_all_adds_to_what_the_application_needs(self, checkout: Checkout) -> None:
        checkout.run("runtime", check=True)
        checkout.run("all", check=True)
        assert checkout.calls[1:] == ["sync --frozen"]

    def test_all_covers_what_the_application_needs(self, checkout: Checkout) -> None:
        checkout.run("all", check=True)
        checkout.run("runtime", check=True)
        assert len(checkout.calls) == 1

    def test_agents_add_to_all_and_cover_it(self, checkout: Checkout) -> None:
        checkout.run("all", check=True)
        checkout.run("agents", check=True)
        assert checkout.calls[1:] == ["sync --frozen --group agents"]
        checkout.run("all", check=True)
        checkout.run(check=True)
        assert len(checkout.calls) == 2

    @pytest.mark.parametrize("name", ["uv.lock", "pyproject.toml"])
    def test_a_changed_file_is_installed(self, checkout: Checkout, name: str) -> None:
        checkout.run(check=True)
        (checkout.root / name).write_text("# changed\n")
        done = checkout.run(check=True)
        assert len(checkout.calls) == 2
        assert done.stderr.startswith("Updating dependencies …\n")

    def test_an_environment_whose_interpreter_is_gone_is_made_anew(self, checkout: Checkout) -> None:
        checkout.run(check=True)
        python = checkout.root / ".venv" / "bin" / "python"
        python.unlink()
        python.symlink_to("/nowhere/python3.11")
        (checkout.root / ".venv" / "left-over").touch()
        checkout.run(check=True)
        assert python.exists()
        assert not (checkout.root / ".venv" / "left-over").exists()

    def test_a_moved_checkout_is_installed_anew(self, checkout: Checkout, tmp_path: Path) -> None:
        checkout.run(check=True)
        (checkout.root / ".venv" / "left-over").touch()
        checkout.root = checkout.root.rename(tmp_path / "elsewhere")
        checkout.run(check=True)
        assert len(checkout.calls) == 2
        assert not (checkout.root / ".venv" / "left-over").exists()

    def test_a_failure_shows_what_uv_said_and_is_tried_again(self, checkout: Checkout) -> None:
        checkout.run(check=True)
        locked = (checkout.root / "uv.lock").read_text()
        (checkout.root / "uv.lock").write_text("# changed\n")
        (checkout.root / "broken").touch()
        done = checkout.run()
        assert done.returncode == 1
        assert done.stderr.splitlines()[1:] == [
            "error: the disk is full",
            "bootstrap: uv sync failed with code 2; what it said stands above.",
        ]
        (checkout.root / "broken").unlink()
        (checkout.root / "uv.lock").write_text(locked)  # what it was before; the environment may not be
        checkout.run(check=True)
        assert len(checkout.calls) == 3

    def test_variables_of_another_environment_do_not_reach_uv(self, checkout: Checkout) -> None:
        checkout.variables |= {
            "PYTHONPATH": "/elsewhere",
            "UV_CACHE_DIR": "/cache",
            "UV_LOCKED": "1",
            "UV_PROJECT_ENVIRONMENT": "/elsewhere",
            "UV_PYTHON": "/elsewhere/python",
            "VIRTUAL_ENV": "/elsewhere",
        }
        checkout.run(check=True)
        seen = (checkout.root / "environment").read_text()
        assert "/elsewhere" not in seen
        assert "UV_LOCKED" not in seen
        assert "UV_CACHE_DIR=/cache\n" in seen
        assert f"UV_PYTHON={sys.executable}\n" in seen
        assert "UV_PYTHON_DOWNLOADS=never\n" in seen

    def test_runs_at_the_same_time_install_once(self, checkout: Checkout) -> None:
        with (checkout.root / ".uv" / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with checkout.start() as first, checkout.start() as second:
                for process in (first, second):
                    assert process.stderr is not None
                    assert process.stderr.readline() == WAITING
                assert checkout.calls == []
                fcntl.flock(lock, fcntl.LOCK_UN)
                first.communicate()
                second.communicate()
        assert (first.returncode, second.returncode) == (0, 0)
        assert len(checkout.calls) == 1


class TestDownload:
    def test_what_is_not_the_pinned_uv_is_refused(self, bare: Checkout, index: Index) -> None:
        bare.variables["UV_DEFAULT_INDEX"] = f"corporate={index.address}/simple"
        done = bare.run()
        assert done.returncode == 1
        assert done.stderr.endswith(" is not the pinned uv: its sha256 differs. Not installed.\n")
        assert [path.name for path in (bare.root / ".uv").iterdir()] == ["lock"]

    def test_a_mirror_gives_the_locked_versions_under_their_hashes(self, trusting: Checkout, index: Index) -> None:
        trusting.run("all", check=True)
        export, venv, sync, editable = trusting.calls
        root = trusting.root
        assert export == "export --quiet --frozen --no-emit-project"
        assert venv == f"venv --allow-existing {root}/.venv"
        assert re.fullmatch(rf"pip sync \S+\.txt --require-hashes --python {root}/\.venv/bin/python", sync)
        assert editable == f"pip install --no-deps --editable . --python {root}/.venv/bin/python"
        assert f"UV_DEFAULT_INDEX={index.address}/simple\n" in (root / "environment").read_text()

    def test_the_password_goes_to_the_index(self, trusting: Checkout, index: Index) -> None:
        trusting.variables["PIP_INDEX_URL"] = index.with_password
        assert trusting.uv.exists()
        assert index.authorizations == ["Basic YW5uOnNAZmU="] * 2

    def test_the_password_is_not_shown(self, bare: Checkout, index: Index) -> None:
        index.links.clear()
        bare.variables["PIP_INDEX_URL"] = index.with_password
        done = bare.run()
        assert done.returncode == 1
        assert f"bootstrap: {index.address}/simple/uv/ does not offer uv-" in done.stderr
        assert "fe@" not in done.stderr

    def test_an_index_out_of_reach_is_named(self, bare: Checkout) -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            address = f"http://127.0.0.1:{closed.getsockname()[1]}/simple"
            bare.variables["PIP_INDEX_URL"] = address
            done = bare.run()
        assert done.returncode == 1
        assert f"bootstrap: {address}/uv/ could not be fetched (" in done.stderr
        assert "Connection refused" in done.stderr
        assert "The package index has to be reachable once" in done.stderr

    def test_a_page_that_is_missing_is_told_by_its_status(self, bare: Checkout, index: Index) -> None:
        bare.variables["PIP_INDEX_URL"] = f"{index.address}/other"
        done = bare.run()
        assert f"{index.address}/other/uv/ could not be fetched (HTTP Error 404: Not Found)." in done.stderr

    def test_a_file_is_not_an_index(self, bare: Checkout) -> None:
        bare.variables["PIP_INDEX_URL"] = "file:///etc"
        done = bare.run()
        assert done.stderr.endswith("bootstrap: file:///etc/uv/ is not an address of a package index (https://…).\n")
