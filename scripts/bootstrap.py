#!/usr/bin/env python3
"""Brings `.venv` in line with `uv.lock`, given nothing but a Python.

uv does the work, in one pinned version that belongs to this checkout: whatever else is on the machine, everybody
installs with the same tool. Its wheel is a zip around one binary, so it is fetched from the package index, checked
against the hash below, and unpacked into `.uv/`. That needs neither pip nor ensurepip nor venv, which Debian leaves
out, and it leaves a Python that is externally managed (PEP 668) alone.

`scripts/dev` and its siblings run this first; when nothing has changed it costs the start of a Python.
"""

import argparse
import base64
import contextlib
import fcntl
import hashlib
import html
import io
import os
import platform
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

WANTED = (3, 11)
if sys.version_info < WANTED:  # this file is run by whatever Python a machine has
    found = ".".join(map(str, sys.version_info[:2]))
    sys.exit(f"bootstrap: Python {WANTED[0]}.{WANTED[1]} or newer is needed; {sys.executable} is {found}.")

# To move to another uv: change the version, and copy the hashes from the page of the package index.
UV_VERSION = "0.13.8"
UV_HASHES = {
    "macosx_10_12_x86_64": "b7124ca1956ec2e476a1003ea5715a15f0266afaec37f4dc9c6972ba8183e6d1",
    "macosx_11_0_arm64": "62b6943c7fd64fac6854f780bea6e0359e5a5bc3241f83ee357bb38276afac49",
    "manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64": (
        "0b3e8b1a4f5e405e31e2ff33de8af4744831e9f7338539671efbd8c3c94e791d"
    ),
    "manylinux_2_17_x86_64.manylinux2014_x86_64": "e18a57b8b352eb7c8feb317b9f6f533c8f0ad9673fd6cf34bbe3cf1a9f6a8984",
    "musllinux_1_1_x86_64": "29451c60f5e8b07403e0a175d5229efc36b0289b34143ff4aaa499a5dd52553a",
}
SCOPES = {"runtime": ["--no-dev"], "all": [], "agents": ["--group", "agents"]}
"""What uv is asked to install, by scope; each scope has all that the one before it has."""
PYPI = "https://pypi.org/simple"
TIMEOUT_SECONDS = 30

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / ".bootstrap"
TOOLS = ROOT / ".uv"

# Of uv's own variables only those pass that say how to reach packages and where to keep them: the others could
# point it at another project, another environment or another Python.
UV_VARIABLES = re.compile(
    r"^UV_.*(INDEX|CACHE|HTTP|CERT|TLS|INSECURE|OFFLINE|CONCURRENT|LINK_MODE|KEYRING|CREDENTIALS)"
)
FOREIGN_VARIABLES = ("CONDA_PREFIX", "PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV")


class BootstrapError(Exception):
    """Says in one line why there is no environment, and what to do."""


def say(message: str) -> None:
    """Print a line of progress, away from what a script may print itself."""
    print(message, file=sys.stderr, flush=True)


def package_index() -> str:
    """Return the address of the package index that this machine is set up to use."""
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"):
        if address := os.environ.get(name):
            return re.sub(r"^[\w.-]+=(?=\w+://)", "", address).rstrip("/")  # uv also takes `name=address`
    return PYPI


def certificates() -> str | None:
    """Return the file of certificates that this machine is set up to trust, if it names one."""
    names = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE")
    return next((path for name in names if (path := os.environ.get(name))), None)


def tls_context() -> ssl.SSLContext:
    """Return what an HTTPS connection trusts: the machine's certificates, as uv is told to trust them too."""
    context = ssl.create_default_context(cafile=certificates())
    of_macos = Path("/etc/ssl/cert.pem")
    if sys.platform == "darwin" and of_macos.exists():  # the Python of python.org comes without any
        context.load_verify_locations(of_macos)
    return context


def without_credentials(url: str) -> str:
    """Return the address as it may be shown and requested: without user and password."""
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def fetch(url: str, credentials_from: str) -> tuple[bytes, str]:
    """Fetch one address.

    Args:
        url: what to fetch, `https` or `http`.
        credentials_from: the address of the index; its user and password are sent to the index's own host alone.

    Returns:
        The body, and the address it came from after redirects.
    """
    shown = without_credentials(url)
    if not shown.startswith(("https://", "http://")):
        raise BootstrapError(f"{shown} is not an address of a package index (https://…).")
    request = urllib.request.Request(shown, headers={"Accept": "text/html, */*;q=0.1"})  # noqa: S310 - checked above
    index = urllib.parse.urlsplit(credentials_from)
    if index.username and urllib.parse.urlsplit(shown).hostname == index.hostname:
        login = urllib.parse.unquote(f"{index.username}:{index.password or ''}")
        request.add_unredirected_header("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=tls_context()))
    try:
        with opener.open(request, timeout=TIMEOUT_SECONDS) as response:
            return response.read(), response.url
    except OSError as error:
        reason = error if isinstance(error, urllib.error.HTTPError) else getattr(error, "reason", error)
        raise BootstrapError(
            f"{shown} could not be fetched ({reason}). The package index has to be reachable once, to install; "
            "HTTPS_PROXY, SSL_CERT_FILE and PIP_INDEX_URL are respected."
        ) from error


def uv_platform() -> str:
    """Return the platform tag of the uv wheel that runs here."""
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
    if sys.platform == "darwin":
        prefix, machine = "macosx", machine.replace("aarch64", "arm64")
    else:
        prefix = "manylinux" if platform.libc_ver()[0] == "glibc" else "musllinux"
    for tag in UV_HASHES:
        if sys.platform in {"darwin", "linux"} and tag.endswith(machine) and prefix in tag:
            return tag
    raise BootstrapError(f"there is no pinned uv for {sys.platform} on {machine}: add its hash to {__file__}.")


def download_uv(target: Path) -> None:
    """Put the pinned uv at the target, or refuse what is not it."""
    tag = uv_platform()
    wheel = f"uv-{UV_VERSION}-py3-none-{tag}.whl"
    index = package_index()
    page, base = fetch(f"{index}/uv/", index)
    links = re.findall(r"""<a\s[^>]*?href=["']([^"']+)""", page.decode(errors="replace"), re.IGNORECASE)
    addresses = (urllib.parse.urljoin(base, html.unescape(link)) for link in links)
    address = next((a for a in addresses if urllib.parse.unquote(urllib.parse.urlsplit(a).path).endswith(wheel)), None)
    if address is None:
        raise BootstrapError(f"{without_credentials(base)} does not offer {wheel}.")
    content, _ = fetch(urllib.parse.urldefrag(address).url, index)
    if hashlib.sha256(content).hexdigest() != UV_HASHES[tag]:
        raise BootstrapError(f"{without_credentials(address)} is not the pinned uv: its sha256 differs. Not installed.")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        binary = archive.read(f"uv-{UV_VERSION}.data/scripts/uv")
    with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as partial:
        partial.write(binary)
    Path(partial.name).chmod(0o755)
    Path(partial.name).replace(target)


def pinned_uv() -> Path:
    """Return the path of the pinned uv, after fetching it if it is missing."""
    # The platform is part of the name because a checkout may be mounted into a container.
    target = TOOLS / f"uv-{UV_VERSION}-{uv_platform()}"
    if not target.exists():
        say(f"Fetching uv {UV_VERSION} …")
        download_uv(target)
    return target


def uv_environment() -> dict[str, str]:
    """Return the environment for uv: this checkout, this Python, this machine's way to the packages."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in FOREIGN_VARIABLES and (not name.startswith("UV_") or UV_VARIABLES.match(name))
    }
    environment |= {
        "UV_COMPILE_BYTECODE": "true",  # where none may be written later, each start would compile again
        "UV_PROJECT_ENVIRONMENT": str(VENV),
        "UV_PYTHON": sys.executable,
        "UV_PYTHON_DOWNLOADS": "never",
    }
    environment.setdefault("UV_SYSTEM_CERTS", "true")  # the same trust as the download of uv itself
    if path := certificates():
        environment.setdefault("SSL_CERT_FILE", path)
    if package_index() != PYPI:
        environment["UV_DEFAULT_INDEX"] = package_index()
    return environment


def run_uv(uv: Path, *arguments: str) -> str:
    """Run uv in the root of the checkout, silently unless it fails, and return what it printed to standard output."""
    command = [str(uv), *arguments]
    done = subprocess.run(command, cwd=ROOT, env=uv_environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        say(done.stderr.rstrip())
        raise BootstrapError(f"uv {arguments[0]} failed with code {done.returncode}; what it said stands above.")
    return done.stdout


def install(uv: Path, scope: str) -> None:
    """Install what is locked. What only development needs is left in place when it isn't asked for."""
    groups, is_inexact = SCOPES[scope], scope == "runtime"
    if package_index() == PYPI:
        run_uv(uv, "sync", "--frozen", *groups, *(["--inexact"] if is_inexact else []))
        return
    # A lock file holds PyPI's own addresses, which `uv sync --frozen` uses whatever the index is: where only a mirror
    # can be reached, the same versions are installed from it, checked against the same hashes.
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirements:
        requirements.write(run_uv(uv, "export", "--quiet", "--frozen", "--no-emit-project", *groups))
        requirements.flush()
        run_uv(uv, "venv", "--allow-existing", str(VENV))
        python = ["--python", str(VENV / "bin" / "python")]
        verb = ["pip", "install", "-r"] if is_inexact else ["pip", "sync"]
        run_uv(uv, *verb, requirements.name, "--require-hashes", *python)
        run_uv(uv, "pip", "install", "--no-deps", "--editable", ".", *python)


def expected_stamp(scope: str) -> str:
    """Return what the stamp of an environment says that is up to date."""
    digest = hashlib.sha256(UV_VERSION.encode())
    for name in ("uv.lock", "pyproject.toml"):
        digest.update((ROOT / name).read_bytes())
    interpreter = (VENV / "bin" / "python").resolve()  # another minor version behind the same name is another one
    return f"{VENV}\n{interpreter}\n{digest.hexdigest()}\n{scope}\n"


def recorded_stamp() -> str:
    """Return what the environment says of itself; nothing when there is none."""
    try:
        return STAMP.read_text()
    except FileNotFoundError:
        return ""


def is_current(scope: str) -> bool:
    """Tell whether the environment is whole and holds what is locked."""
    alive = (VENV / "bin" / "python").exists() and (VENV / "pyvenv.cfg").exists()
    names = list(SCOPES)
    return alive and recorded_stamp() in map(expected_stamp, names[names.index(scope) :])


def remove_what_uv_cannot_mend() -> None:
    """Remove an environment that has no interpreter any more, or was made at another path."""
    made_elsewhere = recorded_stamp().partition("\n")[0] not in {"", str(VENV)}
    broken = not (VENV / "bin" / "python").exists() or not (VENV / "pyvenv.cfg").exists()
    if VENV.is_dir() and not VENV.is_symlink() and (made_elsewhere or broken):
        shutil.rmtree(VENV)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Hold back other bootstraps of this checkout."""
    TOOLS.mkdir(exist_ok=True)
    with (TOOLS / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Waiting for another installation to finish …")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def bootstrap(scope: str) -> None:
    """Install what is missing or has changed; nothing otherwise."""
    if is_current(scope):
        return
    with alone():
        if is_current(scope):
            return
        started = time.monotonic()
        remove_what_uv_cannot_mend()
        uv = pinned_uv()
        say("Updating dependencies …" if recorded_stamp() else "Installing dependencies (first run only) …")
        STAMP.unlink(missing_ok=True)
        install(uv, scope)
        STAMP.write_text(expected_stamp(scope))
        say(f"Done in {time.monotonic() - started:.0f} s.")


def main() -> int:
    """Run as a script; return the exit code."""
    parser = argparse.ArgumentParser(description="Brings .venv in line with uv.lock, with a pinned uv of its own.")
    parser.add_argument(
        "scope",
        nargs="?",
        choices=[*SCOPES, "uv"],
        default="runtime",
        help="what the application needs (the default), what tests and checks need too (all), what tests with real "
        "agents and a real LangGraph Server need too (agents), or only uv: prints its path",
    )
    scope: str = parser.parse_args().scope
    try:
        if scope == "uv":
            with alone():
                print(pinned_uv())
        else:
            bootstrap(scope)
    except BootstrapError as error:
        say(f"bootstrap: {error}")
        return 1
    except OSError as error:
        say(f"bootstrap: {error}.")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
