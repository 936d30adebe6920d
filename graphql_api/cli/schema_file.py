"""`orchestrator schema`: the schema in a file, for clients and reviewers, and beside it what caches need of it."""

from difflib import unified_diff
from pathlib import Path
from typing import Annotated

import typer

from graphql_api.cli.examples import examples
from graphql_api.cli.problems import Problem, one_line
from graphql_api.schema import possible_types, sdl

schema = typer.Typer(help="Write the GraphQL schema to a file, or compare it.")
COMMANDS = {"schema": schema}

_POSSIBLE_TYPES = "possible-types.json"
_SHOWN_LINES = 40


@schema.callback()
def _describe() -> None:
    """Write the GraphQL schema to a file, or compare it."""


@schema.command(
    epilog=examples("orchestrator schema export", "orchestrator schema export --check client/schema.graphql")
)
def export(
    *,
    path: Annotated[Path, typer.Argument(help="The file.", show_default=True)] = Path("schema.graphql"),
    check: Annotated[bool, typer.Option("--check", help="Compare instead; exit code 1 when they differ.")] = False,
) -> None:
    """Write the GraphQL schema that the code serves, and possible-types.json, for clients' caches, beside it."""
    stale = [
        file
        for file, wanted in ((path, sdl()), (path.with_name(_POSSIBLE_TYPES), possible_types()))
        if not (_is_fresh(file, wanted) if check else _write(file, wanted))
    ]
    if stale:
        files = " and ".join(map(str, stale))
        raise Problem(f"{files} is not what the code serves; run: orchestrator schema export {path}")


def _write(path: Path, text: str) -> bool:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Problem(f"{path} can't be written: {one_line(error)}") from error
    typer.echo(f"Wrote {path}.")
    return True


def _is_fresh(path: Path, wanted: str) -> bool:
    try:
        found = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Problem(f"{path} can't be read: {one_line(error)}") from error
    if found == wanted:
        typer.echo(f"{path} is what the code serves.")
        return True
    _show_difference(path, found, wanted)
    return False


def _show_difference(path: Path, found: str, wanted: str) -> None:
    lines = list(
        unified_diff(found.splitlines(), wanted.splitlines(), str(path), "what the code serves", n=1, lineterm="")
    )
    typer.echo("\n".join(lines[:_SHOWN_LINES]))
    if len(lines) > _SHOWN_LINES:
        typer.echo(f"… and {len(lines) - _SHOWN_LINES} more lines")
