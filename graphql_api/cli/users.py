"""`orchestrator users`: accounts."""

import json
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Annotated, TypeVar

import typer

from graphql_api.cli import passwords, places
from graphql_api.cli.examples import examples
from graphql_api.cli.problems import Problem, one_line
from graphql_api.identity import users as accounts
from graphql_api.identity.models import User, UserRole
from graphql_api.identity.passwords import MIN_PASSWORD_LENGTH
from graphql_api.kit import logs
from graphql_api.kit.database import Database
from graphql_api.kit.errors import DomainError

Result = TypeVar("Result")

users = typer.Typer(help="Make accounts, list, disable and enable them.")
COMMANDS = {"users": users}

Json = Annotated[bool, typer.Option("--json", help="One JSON object per account.")]


@users.callback()
def _configure() -> None:
    """Make accounts, list, disable and enable them, in DATABASE_URL or the embedded database of ORCHESTRATOR_HOME."""
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
    is_json: Json = False,
) -> None:
    """Make an account; its password is asked for, or read from one line of standard input."""
    question = f"Password ({MIN_PASSWORD_LENGTH} characters or more)"
    password = passwords.ask(question, is_new=True)

    async def make(database: Database) -> User:
        return await accounts.create(database, email=email, name=name, password=password, is_admin=admin)

    user = _run(make)
    if is_json:
        typer.echo(_json(user))
        return
    typer.echo(f"Made the account of {user.name} <{user.email}>{', an administrator' if admin else ''}.")


@users.command("list", epilog=examples("orchestrator users list", "orchestrator users list --json | jq -r .email"))
def show_all(*, is_json: Json = False) -> None:
    """List all accounts by their addresses, those that are disabled among them."""

    async def read(database: Database) -> Sequence[User]:
        async with database.transaction() as session:
            return await accounts.all_of(session)

    found = _run(read)
    if is_json:
        for user in found:
            typer.echo(_json(user))
        return
    width = max((len(user.email) for user in found), default=0)
    for user in found:
        typer.echo(f"{user.email:<{width}}  {', '.join([user.name, *_marks(user)])}")


def _marks(user: User) -> list[str]:
    is_admin = UserRole.ADMIN.value in user.roles
    return ["administrator"] * is_admin + ["disabled"] * (user.disabled_at is not None)


def _json(user: User) -> str:
    return json.dumps(
        {
            "id": str(user.id),
            "email": user.email,
            "name": user.name,
            "roles": user.roles,
            "disabledAt": None if user.disabled_at is None else user.disabled_at.isoformat(),
        },
        ensure_ascii=False,
    )


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


def _run(work: Callable[[Database], Awaitable[Result]]) -> Result:
    async def step(database: Database) -> Result:
        await places.check_usable(database)
        try:
            return await work(database)
        except DomainError as error:
            raise Problem(one_line(error)) from error

    return places.with_database(places.settings(), step)
