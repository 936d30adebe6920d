import json
from collections.abc import Awaitable, Callable
from io import BytesIO, TextIOWrapper

import pytest
from support.commands import Invoke, assert_one_line

from graphql_api.identity import users
from graphql_api.identity.passwords import matches
from graphql_api.kit.database import Database

pytestmark = pytest.mark.anyio

FreshDatabase = Callable[..., Awaitable[Database]]
CREATE = ("users", "create", "--name", "Ada", "--email", "Ada@Example.com")


@pytest.fixture
async def accounts(invoke: Invoke, fresh_database: FreshDatabase) -> Database:
    database = await fresh_database()
    invoke.set(DATABASE_URL=database.url.set(drivername="postgresql").render_as_string(hide_password=False))
    return database


class TestCreate:
    async def test_the_password_is_one_line_of_standard_input(self, invoke: Invoke, accounts: Database) -> None:
        invoke.type("long enough pw\r\nanother line\n")

        result = await invoke.off_loop(*CREATE)

        assert result == (0, "Made the account of Ada <ada@example.com>.\n", "")
        async with accounts.transaction() as session:
            user = await users.by_email(session, "ada@example.com")
        assert user is not None
        assert user.roles == ["USER"]
        assert await matches("long enough pw", user.password_hash)

    async def test_an_administrator_is_one_by_choice(self, invoke: Invoke, accounts: Database) -> None:
        invoke.type("long enough pw")

        result = await invoke.off_loop(*CREATE, "--admin")

        assert result.out == "Made the account of Ada <ada@example.com>, an administrator.\n"
        async with accounts.transaction() as session:
            user = await users.by_email(session, "ada@example.com")
        assert user is not None
        assert user.roles == ["USER", "ADMIN"]

    async def test_an_address_has_one_account(self, invoke: Invoke, accounts: Database) -> None:
        invoke.type("long enough pw\n")
        await invoke.off_loop(*CREATE)
        invoke.type("another long pw\n")

        assert_one_line(await invoke.off_loop(*CREATE), "a user ada@example.com already")

    @pytest.mark.parametrize(
        ("typed", "reason"),
        [("short\n", "10 to 1024 characters"), ("", "no password on standard input"), ("\n", "no password")],
    )
    async def test_a_password_that_is_none_is_refused(
        self, invoke: Invoke, accounts: Database, typed: str, reason: str
    ) -> None:
        invoke.type(typed)

        assert_one_line(await invoke.off_loop(*CREATE), reason)
        async with accounts.transaction() as session:
            assert await users.by_email(session, "ada@example.com") is None

    async def test_an_address_that_is_none_is_refused(self, invoke: Invoke, accounts: Database) -> None:
        invoke.type("long enough pw\n")
        assert_one_line(await invoke.off_loop(*CREATE[:-1], "ada"), "'ada' is not an e-mail address")

    def test_bytes_that_are_no_text_are_refused(self, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(b"\xff\xfe\n"), encoding="utf-8"))
        assert_one_line(invoke(*CREATE), "not UTF-8")


class TestList:
    async def test_everybody_is_listed_by_address(self, invoke: Invoke, accounts: Database) -> None:
        invoke.type("long enough pw")
        made = await invoke.off_loop(*CREATE, "--admin", "--json")
        await users.create(accounts, email="a@example.com", name="Al", password="long enough pw")
        await invoke.off_loop("users", "disable", "a@example.com")

        listed = await invoke.off_loop("users", "list")
        lines = (await invoke.off_loop("users", "list", "--json")).out.splitlines()

        assert listed == (0, "a@example.com    Al, disabled\nada@example.com  Ada, administrator\n", "")
        assert [json.loads(line)["disabledAt"] is None for line in lines] == [False, True]
        assert made == (0, f"{lines[1]}\n", "")
        assert json.loads(lines[1])["roles"] == ["USER", "ADMIN"]
        assert "password" not in lines[1]

    async def test_of_nobody_there_is_no_line(self, invoke: Invoke, accounts: Database) -> None:
        assert await invoke.off_loop("users", "list") == (0, "", "")


class TestDisable:
    async def test_an_account_is_disabled_and_enabled(self, invoke: Invoke, accounts: Database) -> None:
        invoke.type("long enough pw")
        await invoke.off_loop(*CREATE)

        disabled = await invoke.off_loop("users", "disable", "ADA@example.com")
        enabled = await invoke.off_loop("users", "enable", "ada@example.com")

        assert disabled == (0, "Disabled the account of Ada <ada@example.com>: all its sessions are ended.\n", "")
        assert enabled == (0, "Enabled the account of Ada <ada@example.com>: they may sign in.\n", "")

    @pytest.mark.parametrize("command", ["disable", "enable"])
    async def test_who_is_not_there_is_told(self, invoke: Invoke, accounts: Database, command: str) -> None:
        assert_one_line(await invoke.off_loop("users", command, "bob@example.com"), "no user 'bob@example.com'")
