"""The terminal, or what stands in its place: a pipe, a file."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper

import typer
from rich.console import Console

_INTERRUPTED = 130


def console() -> Console:
    """Give what is written to: in colors, but in a pipe and with `NO_COLOR`."""
    if isinstance(sys.stdout, TextIOWrapper):
        # A pipe may take no more than ASCII, and that is no reason to stop.
        sys.stdout.reconfigure(errors="replace")
    return Console(highlight=False)


def can_draw() -> bool:
    """Tell whether a picture can be drawn that changes."""
    return console().is_terminal and os.environ.get("TERM") != "dumb"


@contextmanager
def interruptible(said: str) -> Iterator[None]:
    """Let Ctrl-C end a command with code 130, as shells do.

    Args:
        said: What its reader is told then.
    """
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(said, err=True)
        raise typer.Exit(_INTERRUPTED) from None
