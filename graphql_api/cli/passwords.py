"""Passwords, which never stand on a command line: others could read them there."""

import sys

import typer

from graphql_api.cli.problems import Problem


def ask(question: str, *, is_new: bool) -> str:
    """Ask for a password on the terminal, or read one line of standard input when that is none.

    Args:
        question: What the terminal shows.
        is_new: Whether it is to be typed twice.

    Raises:
        Problem: When there is none.
    """
    if sys.stdin.isatty():
        again = "Once more" if is_new else False
        return str(typer.prompt(question, hide_input=True, confirmation_prompt=again))
    try:
        password = sys.stdin.readline().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise Problem("The password on standard input is not UTF-8") from error
    if not password:
        raise Problem("There is no password on standard input; write it there as one line, or use a terminal")
    return password
