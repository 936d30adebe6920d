"""What was entrusted to the server, looked for in all that it writes: its logs at their loudest, and its answers."""

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import psutil
import pytest
from support.commands import Running, running, server_of
from support.server import Site
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from graphql_api.cli import demo_account
from graphql_api.kit import embedded_postgres

SECRET = "the secret that signs and that nobody shall see"
GUESS = "a password that was mistyped"
LOGIN = """mutation($input: LoginInput!) { login(input: $input) {
  session { accessToken refreshToken } errors { code message } } }"""
REFRESH = """mutation($input: RefreshSessionInput!) { refreshSession(input: $input) {
  session { accessToken refreshToken } errors { code message } } }"""
VIEWER = "{ viewer { email } }"


@dataclass
class Visitor:
    """Somebody who does everything that a client can do wrong, and keeps what must not be seen."""

    command: Running
    secrets: set[str] = field(default_factory=lambda: {SECRET, GUESS, demo_account.PASSWORD})
    answers: list[str] = field(default_factory=list)

    def ask(self, document: str, variables: object = None, token: str | None = None, **parameters: str) -> Any:  # noqa: ANN401
        headers = {"authorization": f"Bearer {token}"} if token else {}
        body = {"query": document, "variables": variables}
        with httpx.Client(base_url=self.command.url, timeout=30) as client:
            answer = client.post("/graphql", json=body, params=parameters, headers=headers)
        return answer.json()

    def session(self, document: str, **input_: str) -> dict[str, str]:
        """Sign in, or go on; remember the tokens."""
        answer = self.ask(document, {"input": input_})
        session: dict[str, str] = next(iter(answer["data"].values()))["session"]
        for token in session.values():
            # A piece is as good as the whole to whoever guesses the rest.
            self.secrets |= {token, *[part for part in token.split(".")[1:] if len(part) > 10]}
        return session

    def refused(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401
        """Send what is refused; keep what is said of it."""
        self.answers.append(json.dumps(self.ask(*arguments, **options)))


@pytest.fixture(scope="module")
def visitor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitor]:
    home = tmp_path_factory.mktemp("secrets") / "home"
    options = {"LOG_LEVEL": "debug", "LOG_FORMAT": "json", "JWT_SECRET": SECRET}
    with running("dev", "--no-demo-data", "--port", "0", home=home, until=demo_account.EMAIL, **options) as command:
        visitor = Visitor(command)
        misbehave(visitor)
        break_the_database(visitor, home)
        yield visitor


def misbehave(visitor: Visitor) -> None:
    first = visitor.session(LOGIN, email=demo_account.EMAIL, password=demo_account.PASSWORD)
    second = visitor.session(REFRESH, refreshToken=first["refreshToken"])
    token = second["accessToken"]
    assert visitor.ask(VIEWER, token=token)["data"]["viewer"]["email"] == demo_account.EMAIL
    visitor.refused(LOGIN, {"input": {"email": demo_account.EMAIL, "password": GUESS}})
    visitor.refused(LOGIN, {"input": {"email": GUESS, "password": [GUESS]}})
    visitor.refused(f'mutation {{ login(input: {{ password: "{GUESS}", email: 1 }}) {{ nothing }} }}')
    visitor.refused(REFRESH, {"input": {"refreshToken": first["refreshToken"]}})
    visitor.refused(REFRESH, {"input": {"refreshToken": {"a": second["refreshToken"]}}})
    visitor.refused(VIEWER, token=token[:-3])
    visitor.refused(VIEWER, token=f"{token}.{token}")
    visitor.refused(VIEWER, None, token=None, token_in_url=token, access_token=token)
    visitor.refused("{ viewer { email } ", token=token)
    url = visitor.command.url.replace("http", "ws", 1) + f"/graphql?token={token}"
    for payload in ({"Authorization": f"Bearer {token[:-3]}"}, {"token": token}, [token], token):
        with connect(url, subprotocols=[Subprotocol("graphql-transport-ws")], proxy=None) as socket:
            with suppress(ConnectionClosed):
                socket.send(json.dumps({"type": "connection_init", "payload": payload}))
                socket.send(
                    json.dumps({"type": "subscribe", "id": token, "payload": {"query": "{", "variables": token}})
                )
                for message in socket:
                    visitor.answers.append(str(message).replace(f'"id":"{token}"', ""))  # the client's own word
            visitor.answers.append(str(socket.close_reason))


def break_the_database(visitor: Visitor, home: Path) -> None:
    """What is logged when something breaks tells most."""
    login = {"input": {"email": demo_account.EMAIL, "password": demo_account.PASSWORD}}
    with embedded_postgres.start(home) as server:
        asyncio.run(execute(server.url(), "ALTER TABLE users RENAME COLUMN password_hash TO lost"))
    visitor.refused(LOGIN, login)
    visitor.command.says("operation_failed")
    for process in server_of(home):
        with suppress(psutil.NoSuchProcess):  # those of connections end with the first one
            process.kill()
    visitor.refused(LOGIN, login)
    visitor.command.says("database_away")


async def execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()


class TestLogs:
    def test_they_tell_what_happened(self, visitor: Visitor) -> None:
        assert '"level"' in visitor.command.output
        assert "Traceback" in visitor.command.output

    def test_they_tell_no_secret(self, visitor: Visitor) -> None:
        # The other lines are the banner of `dev`, which shows the demo account.
        lines = [line for line in visitor.command.output.splitlines() if line.startswith("{")]
        assert len(lines) > len(visitor.answers)
        told = {secret for secret in visitor.secrets for line in lines if secret in line}
        assert not told

    def test_they_have_no_address_with_a_password(self, visitor: Visitor) -> None:
        addresses = re.findall(r"postgres\w*(?:\+\w+)?://[^\s:/@]*:([^\s@]+)@", visitor.command.output)
        assert set(addresses) <= {"***"}


class TestAnswers:
    def test_they_tell_no_secret(self, visitor: Visitor) -> None:
        told = [(secret[:20], text) for secret in visitor.secrets for text in visitor.answers if secret in text]
        assert not told

    def test_they_tell_nothing_of_the_inside(self, visitor: Visitor) -> None:
        assert not [text for text in visitor.answers if re.search(r"Traceback|asyncpg|sqlalchemy|/site-packages", text)]


class TestValidationErrors:
    @pytest.mark.anyio
    @pytest.mark.parametrize(
        "input_",
        [
            {"email": "a", "password": [GUESS]},
            {"email": "a", "password": GUESS, "extra": 1},
            {"password": GUESS},
            {"email": {"password": GUESS}, "password": "x"},
            GUESS,
        ],
        ids=str,
    )
    async def test_an_input_with_a_secret_is_not_repeated(self, target: Site, input_: object) -> None:
        answer = await target.ask(LOGIN, {"input": input_})
        (error,) = answer["errors"]
        assert error["extensions"]["code"] == "VALIDATION_FAILED"
        assert GUESS not in error["message"]

    @pytest.mark.anyio
    async def test_any_other_is(self, target: Site) -> None:
        query = "query($n: Int) { workflows(first: $n) { nodes { id } } }"
        answer = await target.ask(query, {"n": "seven"})
        assert "seven" in answer["errors"][0]["message"]
