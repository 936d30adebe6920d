"""A terminal of its own for a command."""

import os
import pty
import subprocess
from contextlib import suppress
from pathlib import Path

from support.commands import ORCHESTRATOR, WAIT_SECONDS, environment


def on_terminal(*arguments: str, home: Path, answer: str = "", **variables: str) -> tuple[int, str]:
    """Run a command on a terminal of its own, and answer its questions; give its exit code and all that it drew."""
    ours, theirs = pty.openpty()
    drawn = b""
    with subprocess.Popen(
        [ORCHESTRATOR, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=home,
        env=environment(home, TERM="xterm-256color", COLUMNS="100", LINES="40", **variables),
        start_new_session=True,
    ) as process:
        os.close(theirs)
        # A terminal whose other side is closed is an error on Linux, and an end on macOS.
        with suppress(OSError):
            while piece := os.read(ours, 65536):
                drawn += piece
                if drawn.endswith(b": "):
                    os.write(ours, f"{answer}\n".encode())
        code = process.wait(WAIT_SECONDS)
    os.close(ours)
    return code, drawn.decode()
