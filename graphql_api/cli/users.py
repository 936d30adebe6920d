"""`orchestrator users`: accounts."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated

import typer

from graphql_api.cli import passwords, places
from graphql_api.cli.examples import examples
from graphql_api.cli.problems import Problem, one_line
from graphql_api.identity import users as accounts
from graphql_api.identity.models import User
from graphql_api.identity.passwords import MIN_PASSWORD_LENGTH
from graphql_api.kit import logs
from graphql_api.kit.database import Database
from graphql_api.kit.errors import DomainError

users = typer.Typer(help="Make accounts, disable and enable them.")
COMMANDS = {"users": users}


@users.callback()
def _configure() -> None:
    """Make accounts, disable and enable them, in DATABASE_URL or in the embedded database of ORCHESTRATOR_HOME."""
    logs.configure(places.settings().log_level, is_json=False)


@users.command(
    epilog=examples(
        'orchestrator users create --email ada@example.com --name "Ada Lovelace"',
        "printf '%s' \"$PASSWORD\" | orchestrator users create --email ada@example.com --name Ada --admin",
    )
)
def create(
    *,
    email: Annotated[str, typer.Option(help="Address to sign in with; no two accounts share one.")],
    name: Annotated[str, typer.Option(help="How people call them, 1 to 200 characters.")],
    admin: Annotated[bool, typer.Option("--admin", help="May act as an owner of every workflow.")] = False,
) -> None:
    """Make an account; its password is asked for, or read from one line of standard input."""
    question = f"Password ({MIN_PASSWORD_LENGTH} characters or more)"
    password = passwords.ask(question, is_new=True)

    async def make(database: Database) -> User:
        return await accounts.create(database, email=email, name=name, password=password, is_admin=admin)

    user = _run(make)
    typer.echo(f"Made the account of {user.name} <{user.email}>{', an administrator' if admin else ''}.")


Email = Annotated[str, typer.Argument(help="Address of the account.")]


@users.command(epilog=examples("orchestrator users disable ada@example.com"))
def disable(email: Email) -> None:
    """Keep somebody out: sessions end, requests are refused at once, open connections end within 30 seconds."""
    user = _run(partial(accounts.disable, email=email))
    typer.echo(f"Disabled the account of {user.name} <{user.email}>: all its sessions are ended.")


@users.command(epilog=examples("orchestrator users enable ada@example.com"))
def enable(email: Email) -> None:
    """Let somebody sign in again."""
    user = _run(partial(accounts.enable, email=email))
    typer.echo(f"Enabled the account of {user.name} <{user.email}>: they may sign in.")


def _run(change: Callable[[Database], Awaitable[User]]) -> User:
    async def step(database: Database) -> User:
        await places.check_usable(database)
        try:
            return await change(database)
        except DomainError as error:
            raise Problem(one_line(error)) from error

    return places.with_database(places.settings(), step)
