"""Guessing passwords: of one account, of many, from one address, from many, over every transport."""

from typing import Any
from uuid import uuid4

import pytest
from support.people import PASSWORD
from support.server import Person, Site
from support.sockets import connected

from graphql_api.identity.attempts import BY_ACCOUNT, BY_ADDRESS, BY_BOTH
from graphql_api.kit.errors import RateLimited
from graphql_api.kit.rates import Rate

pytestmark = pytest.mark.anyio

LOGIN = "mutation($input: LoginInput!) { login(input: $input) { session { expiresAt } errors { code } } }"
WRONG = "not the password"


@pytest.fixture
async def eve(target: Site) -> Person:
    """Somebody whose account is attacked."""
    return await target.person()


async def login(target: Site, email: str, password: str, *, address: str = "203.0.113.1") -> dict[str, Any]:
    """Sign in from an address; the server trusts a proxy on this machine."""
    body = {"query": LOGIN, "variables": {"input": {"email": email, "password": password}}}
    answer: dict[str, Any] = (
        await target.request("POST", "/graphql", json=body, headers={"x-forwarded-for": address})
    ).json()
    return answer


def outcome(answer: dict[str, Any]) -> str:
    """Name how an attempt ended."""
    if "errors" in answer:
        (error,) = answer["errors"]
        assert error["extensions"]["retryAfter"] >= 1
        return str(error["extensions"]["code"])
    payload = answer["data"]["login"]
    return "IN" if payload["session"] else str(payload["errors"][0]["code"])


async def fill(target: Site, rate: Rate, who: str, amount: int) -> None:
    """Let somebody have done something before."""
    try:
        await target.engines.rates.spend(rate, who, amount)
    except RateLimited:
        return


class TestOneAccount:
    async def test_after_some_guesses_the_right_password_is_refused_too(self, target: Site, eve: Person) -> None:
        guesses = [outcome(await login(target, eve.user.email, WRONG)) for _ in range(6)]

        assert guesses == ["INVALID_CREDENTIALS"] * 5 + ["RATE_LIMITED"]
        assert outcome(await login(target, eve.user.email.upper(), PASSWORD)) == "RATE_LIMITED"

    async def test_its_owner_signs_in_from_elsewhere(self, target: Site, eve: Person) -> None:
        for _ in range(6):
            await login(target, eve.user.email, WRONG)

        assert outcome(await login(target, eve.user.email, PASSWORD, address="203.0.113.2")) == "IN"

    async def test_a_neighbour_signs_in_from_the_same_address(self, target: Site, eve: Person, ada: Person) -> None:
        for _ in range(6):
            await login(target, eve.user.email, WRONG)

        assert outcome(await login(target, ada.user.email, PASSWORD)) == "IN"

    async def test_an_account_that_is_not_there_reads_the_same(self, target: Site) -> None:
        guesses = [outcome(await login(target, f"{WRONG}@example.com", WRONG)) for _ in range(6)]

        assert guesses == ["INVALID_CREDENTIALS"] * 5 + ["RATE_LIMITED"]

    async def test_the_wait_grows(self, target: Site, eve: Person) -> None:
        waits = []
        for failures in (5, 15, 30):
            await fill(target, BY_BOTH, f"{eve.user.email} 203.0.113.1", failures)
            (error,) = (await login(target, eve.user.email, PASSWORD))["errors"]
            waits.append(error["extensions"]["retryAfter"])

        assert waits[0] <= 60 < waits[1] <= 3600 < waits[2] <= 86400

    async def test_a_success_forgives_what_failed_before(self, target: Site, eve: Person) -> None:
        outcomes = []
        for _ in range(2):
            outcomes += [outcome(await login(target, eve.user.email, WRONG)) for _ in range(4)]
            outcomes.append(outcome(await login(target, eve.user.email, PASSWORD)))

        assert outcomes == ([*["INVALID_CREDENTIALS"] * 4, "IN"]) * 2

    async def test_guesses_from_many_addresses_are_counted_together(self, target: Site, eve: Person) -> None:
        await fill(target, BY_ACCOUNT, eve.user.email, 100)

        assert outcome(await login(target, eve.user.email, PASSWORD, address="203.0.113.99")) == "RATE_LIMITED"

    async def test_a_socket_is_no_way_around(self, target: Site, eve: Person) -> None:
        variables = {"input": {"email": eve.user.email, "password": WRONG}}
        async with connected(target.socket_url) as socket:
            answers = [(await socket.run(LOGIN, variables))[0]["payload"] for _ in range(6)]

        assert [outcome(answer) for answer in answers] == ["INVALID_CREDENTIALS"] * 5 + ["RATE_LIMITED"]

    async def test_an_alias_is_no_way_around(self, target: Site, eve: Person) -> None:
        field = "login(input: $input) { session { expiresAt } errors { code } }"
        document = f"mutation($input: LoginInput!) {{ {' '.join(f'a{number}: {field}' for number in range(7))} }}"
        answer = await target.ask(document, {"input": {"email": eve.user.email, "password": WRONG}})

        codes = [error["extensions"]["code"] for error in answer["errors"]]
        assert set(codes) <= {"RATE_LIMITED", "QUERY_TOO_COMPLEX"}
        assert not any(payload and payload["session"] for payload in (answer.get("data") or {}).values())


class TestManyAccounts:
    async def test_one_password_on_all_of_them_is_stopped(self, target: Site, ada: Person) -> None:
        await fill(target, BY_ADDRESS, "203.0.113.66", 60)

        refused = await login(target, f"{uuid4().hex}@example.com", WRONG, address="203.0.113.66")

        assert outcome(refused) == "RATE_LIMITED"
        assert outcome(await login(target, ada.user.email, PASSWORD)) == "IN"

    async def test_the_addresses_of_one_ipv6_network_are_one(self, target: Site) -> None:
        await fill(target, BY_ADDRESS, "2001:db8::/64", 60)

        refused = await login(target, f"{uuid4().hex}@example.com", WRONG, address="2001:db8::dead:beef")

        assert outcome(refused) == "RATE_LIMITED"


class TestRefreshTokens:
    async def test_one_that_was_stolen_and_used_ends_the_thiefs_session_too(self, target: Site, eve: Person) -> None:
        login_ = "mutation($input: LoginInput!) { login(input: $input) { session { refreshToken } } }"
        refresh = """mutation($input: RefreshSessionInput!) {
            refreshSession(input: $input) { session { refreshToken } errors { code } } }"""
        credentials = {"email": eve.user.email, "password": PASSWORD}
        first = (await target.ask(login_, {"input": credentials}))["data"]["login"]["session"]

        stolen = (await target.ask(refresh, {"input": first}))["data"]["refreshSession"]["session"]
        owner = (await target.ask(refresh, {"input": first}))["data"]["refreshSession"]
        thief = (await target.ask(refresh, {"input": stolen}))["data"]["refreshSession"]

        refusal = {"session": None, "errors": [{"code": "INVALID_CREDENTIALS"}]}
        assert (owner, thief) == (refusal, refusal)

    async def test_signing_out_ends_the_session(self, target: Site, eve: Person) -> None:
        login_ = "mutation($input: LoginInput!) { login(input: $input) { session { refreshToken } } }"
        logout = "mutation($input: LogoutInput!) { logout(input: $input) { loggedOut } }"
        refresh = "mutation($input: RefreshSessionInput!) { refreshSession(input: $input) { errors { code } } }"
        credentials = {"email": eve.user.email, "password": PASSWORD}
        session = (await target.ask(login_, {"input": credentials}))["data"]["login"]["session"]

        assert (await target.ask(logout, {"input": session}))["data"]["logout"] == {"loggedOut": True}
        refreshed = (await target.ask(refresh, {"input": session}))["data"]["refreshSession"]
        assert refreshed == {"errors": [{"code": "INVALID_CREDENTIALS"}]}
