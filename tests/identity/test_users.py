import asyncio
from typing import Any
from uuid import uuid4

import pytest
from support.people import MakeUser

from graphql_api.identity import users
from graphql_api.identity.models import User
from graphql_api.identity.passwords import matches
from graphql_api.kit.database import Database
from graphql_api.kit.errors import AlreadyExists, Invalid, NotFound

pytestmark = pytest.mark.anyio


async def find(database: Database, email: str) -> User | None:
    async with database.transaction() as session:
        return await users.by_email(session, email)


class TestCreate:
    async def test_a_user_may_sign_in_with_their_password_only(self, database: Database) -> None:
        user = await users.create(database, email=f"{uuid4().hex}@example.com", name=" Ada ", password="0123456789")
        found = await find(database, user.email)
        assert found is not None
        assert (found.id, found.name, found.roles, found.disabled_at) == (user.id, "Ada", ["USER"], None)
        assert await matches("0123456789", found.password_hash)
        assert not await matches("0123456780", found.password_hash)

    async def test_an_admin_has_both_roles(self, database: Database) -> None:
        email = f"{uuid4().hex}@example.com"
        user = await users.create(database, email=email, name="Root", password="0123456789", is_admin=True)
        assert user.roles == ["USER", "ADMIN"]

    async def test_an_address_is_kept_in_lower_case(self, database: Database) -> None:
        local = uuid4().hex
        user = await users.create(database, email=f"{local.upper()}@EXAMPLE.com", name="A", password="0123456789")
        assert user.email == f"{local}@example.com"

    async def test_an_address_is_taken_in_any_case(self, database: Database, make_user: MakeUser) -> None:
        taken = await make_user()
        with pytest.raises(AlreadyExists) as refusal:
            await users.create(database, email=taken.email.upper(), name="B", password="0123456789")
        assert refusal.value.path == ["input", "email"]
        assert taken.email in refusal.value.message
        assert await find(database, taken.email) == taken

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("email", "nobody"),
            ("email", "a@b@c"),
            ("email", "a\x00@example.com"),
            ("email", ""),
            ("name", ""),
            ("name", "   "),
            ("name", "a" * 201),
            ("name", "a\x00b"),
            ("name", "two\nlines"),
            ("password", "123456789"),
            ("password", "a" * 1025),
        ],
    )
    async def test_an_argument_that_breaks_its_rule_is_named(self, database: Database, field: str, value: str) -> None:
        email = f"{uuid4().hex}@example.com"
        arguments: dict[str, Any] = {"email": email, "name": "Ada", "password": "0123456789"} | {field: value}
        with pytest.raises(Invalid) as refusal:
            await users.create(database, **arguments)
        assert refusal.value.path == ["input", field]
        assert await find(database, email) is None


class TestDisable:
    async def test_it_says_since_when_and_a_second_time_changes_nothing(
        self, database: Database, make_user: MakeUser
    ) -> None:
        user = await make_user()
        first = await users.disable(database, user.email.upper())
        second = await users.disable(database, user.email)
        assert first.disabled_at is not None
        assert second.disabled_at == first.disabled_at
        assert (await users.enable(database, user.email)).disabled_at is None

    @pytest.mark.parametrize("email", ["nobody@example.com", "a\x00@example.com", ""])
    async def test_who_is_not_there_is_not_found(self, database: Database, email: str) -> None:
        for change in (users.disable, users.enable):
            with pytest.raises(NotFound):
                await change(database, email)


class TestDisabledAmong:
    async def test_they_are_picked_and_so_are_those_who_are_gone(self, database: Database, make_user: MakeUser) -> None:
        ada, eve, nobody = await make_user(), await make_user(), uuid4()
        await users.disable(database, eve.email)
        async with database.transaction() as session:
            assert await users.disabled_among(session, [ada.id, eve.id, nobody]) == {eve.id, nobody}


class TestByEmail:
    async def test_case_and_white_space_do_not_tell_people_apart(self, database: Database, make_user: MakeUser) -> None:
        user = await make_user()
        assert await find(database, f"  {user.email.upper()}\n") == user

    @pytest.mark.parametrize("email", ["nobody@example.com", "", "a\x00b@example.com", "\ud800@example.com"])
    async def test_who_is_not_there_is_none(self, database: Database, email: str) -> None:
        assert await find(database, email) is None


class TestById:
    async def test_each_who_asks_at_the_same_time_gets_their_own(self, database: Database, make_user: MakeUser) -> None:
        ada, bob = await make_user(name="Ada"), await make_user(name="Bob")
        found = await asyncio.gather(*(users.by_id(database, user.id) for user in (bob, ada, bob)))
        assert [user.name for user in found] == ["Bob", "Ada", "Bob"]
