import pytest
from argon2 import extract_parameters
from support.people import PASSWORD, PASSWORD_HASH

from graphql_api.identity import passwords
from graphql_api.identity.passwords import hash_password, matches

pytestmark = pytest.mark.anyio


class TestHashPassword:
    async def test_two_hashes_of_a_password_differ_and_both_match(self) -> None:
        first, second = await hash_password(PASSWORD), await hash_password(PASSWORD)
        assert first != second
        assert await matches(PASSWORD, first)
        assert await matches(PASSWORD, second)

    async def test_it_is_argon2id_with_the_cost_that_is_recommended(self) -> None:
        assert (await hash_password(PASSWORD)).startswith("$argon2id$v=19$m=65536,t=3,p=4$")


class TestMatches:
    @pytest.mark.parametrize("password", ["", PASSWORD + " ", PASSWORD.upper(), PASSWORD[:-1], "\x00", "\ud800", "é"])
    async def test_any_other_password_is_wrong(self, password: str) -> None:
        assert not await matches(password, PASSWORD_HASH)

    async def test_nobody_has_no_password(self) -> None:
        assert not await matches(PASSWORD, None)

    async def test_nobodys_password_costs_what_a_new_one_does(self) -> None:
        assert extract_parameters(passwords._NOBODY) == extract_parameters(await hash_password(PASSWORD))

    async def test_a_password_that_is_too_long_is_refused_unread(self) -> None:
        long = "a" * (passwords.MAX_PASSWORD_LENGTH + 1)
        assert not await matches(long, await hash_password(long))
        assert await matches(long[:-1], await hash_password(long[:-1]))

    @pytest.mark.parametrize("broken", ["", "plain", "$2b$12$abcdefghijklmnopqrstuv", "$argon2id$v=19$"])
    async def test_a_hash_that_is_none_matches_nothing(self, broken: str) -> None:
        assert not await matches(PASSWORD, broken)
