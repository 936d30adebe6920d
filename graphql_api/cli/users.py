"""`orchestrator users`: accounts."""

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

users = typer.Typer(help="Make accounts.")
COMMANDS = {"users": users}


@users.callback()
def _configure() -> None:
    """Make accounts, in DATABASE_URL or in the embedded database of ORCHESTRATOR_HOME."""
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

    async def step(database: Database) -> User:
        await places.check_usable(database)
        try:
            return await accounts.create(database, email=email, name=name, password=password, is_admin=admin)
        except DomainError as error:
            raise Problem(one_line(error)) from error

    user = places.with_database(places.settings(), step)
    typer.echo(f"Made the account of {user.name} <{user.email}>{', an administrator' if admin else ''}.")
