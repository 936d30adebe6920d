"""How commands that are clients reach an API, and who they are there."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, NamedTuple

import typer

from graphql_api.cli import demo_account, passwords
from graphql_api.cli.api_client import Answer, ApiClient, Refused, checked_url
from graphql_api.cli.banner import DEFAULT_URL
from graphql_api.cli.problems import Problem

TOKEN = "ORCHESTRATOR_TOKEN"  # noqa: S105 - the name of the variable
DEFAULT_ENDPOINT = f"{DEFAULT_URL}/graphql"

Url = Annotated[str, typer.Option(envvar="ORCHESTRATOR_URL", help="The GraphQL endpoint.")]
Email = Annotated[
    str | None,
    typer.Option(
        help=f"Who signs in; their password is asked for. Without it {TOKEN} holds an access token, and without "
        "that it is the demo account of orchestrator dev."
    ),
]


class Account(NamedTuple):
    """Who somebody is at an API: an address with its password, or an access token instead."""

    url: str
    email: str
    password: str
    token: str | None


def account(url: str, email: str | None) -> Account:
    """Find out who somebody is; a password is asked for, and never an argument.

    Args:
        url: Of the endpoint, as it was typed.
        email: Who signs in; None for whom the environment names, or the demo account.

    Raises:
        Problem: When the address is none, or there is no password.
    """
    url = checked_url(url)
    token = os.environ.get(TOKEN, "").strip() or None
    if email is None and token is not None:
        return Account(url, "", "", token)
    if email in {None, demo_account.EMAIL}:
        return Account(url, demo_account.EMAIL, demo_account.PASSWORD, None)
    return Account(url, email or "", passwords.ask(f"Password of {email}", is_new=False), None)


@asynccontextmanager
async def client_of(whose: Account) -> AsyncIterator[ApiClient]:
    """Open a client, which is not signed in yet."""
    client = ApiClient(whose.url)
    try:
        yield client
    finally:
        await client.close()


async def sign_in(client: ApiClient, whose: Account) -> Answer:
    """Sign in; answer who it is.

    Raises:
        Problem: When that is refused, or nobody answers.
    """
    if whose.token is not None:
        return await client.take(whose.token)
    try:
        return await client.sign_in(whose.email, whose.password)
    except Refused as error:
        if whose.email != demo_account.EMAIL:
            raise
        raise Problem(
            f"{whose.url} does not know the demo account, which orchestrator dev makes; "
            f"sign in with --email, or set {TOKEN}"
        ) from error
