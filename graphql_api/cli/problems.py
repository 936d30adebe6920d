"""What people can mend: told in one line, without a traceback."""

import os

import typer


class Problem(Exception):
    """Something that stops a command; the message is one line that says what it is and how to mend it."""


def one_line(error: BaseException) -> str:
    """Say what an error of a library says, on one line and without a full stop at its end."""
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def say_error(text: str) -> None:
    """Write an error where errors go; in color on a terminal, unless `NO_COLOR` is set."""
    is_plain = bool(os.environ.get("NO_COLOR"))
    typer.secho("Error: ", fg=typer.colors.RED, bold=True, err=True, nl=False, color=False if is_plain else None)
    typer.echo(text, err=True)
