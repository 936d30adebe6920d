"""The documentation site, built as `scripts/docs` builds it."""

import functools
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import ModuleType

from support.measuring import unmeasured

ROOT = Path(__file__).parents[2]
PROGRAMS = ROOT / "scripts" / "site"


def build(directory: Path, *, root: Path = ROOT) -> str:
    """Build the site of a checkout into a directory; give why that failed, which is nothing where nothing is wrong."""
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", directory],
        cwd=root,
        env={**unmeasured(), "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return f"{built.stdout}{built.stderr}" if built.returncode else ""


def program(name: str) -> ModuleType:
    """Import one of the modules that make the site; they find each other as MkDocs lets them."""
    sys.path.insert(0, str(PROGRAMS))
    try:
        return __import__(name)
    finally:
        sys.path.remove(str(PROGRAMS))


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_arguments: object) -> None:
        """Write nothing."""


@contextmanager
def served(directory: Path) -> Iterator[str]:
    """Serve a built site on this machine; give its address, with a slash at the end."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Silent, directory=str(directory)))
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
