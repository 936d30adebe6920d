"""The command line: `orchestrator`.

Nothing here imports the application. A command's module is loaded once its name is among the words that were typed, so
that help, completion and the demo do not wait for the schema and the database's tables.
"""

import os
import sys
from collections.abc import Collection, Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, NamedTuple, NoReturn

import typer

from graphql_api.cli.examples import Runnable
from graphql_api.cli.problems import Problem, say_error

HELP = """The control plane for AI-agent workflows: one GraphQL API with subscriptions.

\b
Begin here:
  orchestrator dev    serves everything on this machine
  orchestrator demo   in another terminal: the whole journey, live
  orchestrator watch  the newest proposal, while an agent works on it

\b
In production:
  orchestrator db upgrade
  orchestrator users create --email ada@example.com --name Ada --admin
  orchestrator serve
  orchestrator worker

It is configured by environment variables, or by a file .env in the working directory; each --help has examples.
"""


class _Command(NamedTuple):
    """A command, or a group of them: where it is, and what the overview says of it."""

    module: str
    help: str


_COMMANDS = {
    "dev": _Command("serving", "Serve everything on this machine, in one process."),
    "demo": _Command("demo", "Walk the whole journey through the API, live."),
    "watch": _Command("following", "Follow what an agent does for a proposal, live."),
    "tail": _Command("following", "Follow what happens to a workflow, live."),
    "serve": _Command("serving", "Serve the API, for production."),
    "worker": _Command("serving", "Run agents in the background, for production."),
    "db": _Command("db", "Migrate the database's schema, or check it."),
    "users": _Command("users", "Make accounts, list, disable and enable them."),
    "fake-runtime": _Command("fake_runtime", "Serve an agent runtime without agents, to try out good and bad ones."),
    "record": _Command("record", "Write down what a real agent runtime sends in one run."),
    "schema": _Command("schema_file", "Write the GraphQL schema to a file, or compare it."),
}


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line; what people can mend becomes one line, and exit code 1.

    Args:
        arguments: What was typed after `orchestrator`; that of this process when None.

    Raises:
        SystemExit: Always, with the exit code.
    """
    typed = sys.argv[1:] if arguments is None else list(arguments)
    try:
        _assemble(_words(typed))(args=typed, prog_name="orchestrator")
    except Problem as problem:
        say_error(str(problem))
        raise SystemExit(1) from None
    raise SystemExit(0)


def _words(typed: Sequence[str]) -> Collection[str]:
    """Collect what was typed, also while a shell asks for completions."""
    completing = f"{os.environ.get('COMP_WORDS', '')} {os.environ.get('_TYPER_COMPLETE_ARGS', '')}"
    return {*typed, *completing.split()}


def _assemble(words: Collection[str]) -> typer.Typer:
    app = typer.Typer(
        help=HELP,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        callback=_options,
    )
    for name, command in _COMMANDS.items():
        if name not in words:
            app.command(name, short_help=command.help)(_stand_in)
            continue
        found: typer.Typer | Runnable = import_module(f"graphql_api.cli.{command.module}").COMMANDS[name]
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=name, short_help=command.help, no_args_is_help=True)
        else:
            app.command(name, short_help=command.help, epilog=found.examples)(found.run)
    return app


def _stand_in() -> None:
    """Stand for a command in the overview; when one is called, it has been loaded."""


def _show_version(*, is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"orchestrator {version('ide-orchestrator')}")
        raise typer.Exit


def _options(
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=lambda value: _show_version(is_wanted=value), help="Show the version.")
    ] = False,
) -> None:
    """Take what stands before a command."""
