"""Tokens that pretend to come from the identity provider, and people who pretend to be somebody else."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jose import jwt
from support.databases import Server
from support.forging import encoded, forged, hmac_signature
from support.identity_provider import AUDIENCE, Provider, identity_provider, rsa_key
from support.server import Person, Site, engines_for, site
from support.sockets import connected

from graphql_api.identity import users
from graphql_api.identity.jwks import KeySet
from graphql_api.identity.outside_tokens import MAX_OUTSIDE_TOKEN_LENGTH, IdentityProvider
from graphql_api.kit.columns import now

pytestmark = pytest.mark.anyio

VIEWER = "{ viewer { id email name } }"


@pytest.fixture(scope="module")
async def provider(anyio_backend: str) -> AsyncIterator[Provider]:
    async with identity_provider() as running:
        yield running


@pytest.fixture(scope="module")
async def target(anyio_backend: str, database_server: Server, provider: Provider) -> AsyncIterator[Site]:
    """A server that takes the provider's tokens beside its own."""
    database = await database_server.create()
    trusted = IdentityProvider(KeySet(provider.url), issuer=provider.issuer, audience=AUDIENCE)
    async with site(database, engines=replace(engines_for(database), provider=trusted)) as running:
        yield running
    await database_server.drop(database)


def new_subject() -> str:
    return f"subject-{uuid4().hex}"


def seconds(**offset: float) -> int:
    return int((now() + timedelta(**offset)).timestamp())


async def viewer(target: Site, token: str) -> dict[str, Any]:
    answer = await target.ask(VIEWER, token=token)
    return dict(answer["data"]["viewer"])


async def is_refused(target: Site, token: str) -> bool:
    answer = await target.ask(VIEWER, token=token)
    return [error["extensions"]["code"] for error in answer.get("errors", [])] == ["UNAUTHENTICATED"]


class TestLegitimateNeighbours:
    @pytest.mark.parametrize("key_id", ["one", "two"])
    async def test_rs256_and_es256_sign_in(self, target: Site, provider: Provider, key_id: str) -> None:
        first = await viewer(target, provider.token(key_id, sub=f"neighbour-{key_id}"))
        assert await viewer(target, provider.token(key_id, sub=f"neighbour-{key_id}")) == first

    async def test_over_a_socket_too(self, target: Site, provider: Provider) -> None:
        async with connected(target.socket_url, provider.token(sub="socket")) as socket:
            assert (await socket.run(VIEWER))[0]["payload"]["data"]["viewer"]["name"] == "Unnamed"

    async def test_our_own_tokens_stay_good(self, target: Site) -> None:
        ada = await target.person()
        assert (await viewer(target, ada.token))["email"] == ada.user.email

    @pytest.mark.parametrize(
        "claims", [{"aud": ["elsewhere", AUDIENCE]}, {"at_hash": "x"}, {"nbf": 0}, {"exp": seconds(hours=9) + 0.5}]
    )
    async def test_what_providers_write_is_read(self, target: Site, provider: Provider, claims: dict[str, Any]) -> None:
        assert not await is_refused(target, provider.token(**claims))

    @pytest.mark.parametrize("type_", ["JWT", "at+jwt", "application/at+jwt"])
    async def test_access_tokens_have_types(self, target: Site, provider: Provider, type_: str) -> None:
        assert not await is_refused(target, provider.token(headers={"typ": type_, "x5t": "x"}))


class TestForgedSignature:
    async def test_the_public_key_is_no_secret_of_hs256(self, target: Site, provider: Provider) -> None:
        public = rsa_key().public_key()
        for secret in (
            public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            public.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
            b"",
        ):
            for header in ({"alg": "HS256", "typ": "JWT", "kid": "one"}, {"alg": "RS256", "typ": "JWT", "kid": "one"}):
                assert await is_refused(target, forged(header, provider.claims(), hmac_signature(secret)))

    @pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "HS256", "RS512", "PS256", "ES384", "rs256", ""])
    async def test_the_key_says_which_algorithm_not_the_token(
        self, target: Site, provider: Provider, algorithm: str
    ) -> None:
        header = {"alg": algorithm, "typ": "JWT", "kid": "one"}
        assert await is_refused(target, forged(header, provider.claims(), lambda _: b""))

    async def test_a_key_of_one_algorithm_does_not_vouch_for_the_other(self, target: Site, provider: Provider) -> None:
        assert await is_refused(target, provider.token("two", headers={"kid": "one"}))

    async def test_a_key_of_somebody_else_signs_nothing(self, target: Site, provider: Provider) -> None:
        eve = replace(provider, keys={"one": rsa_key("eve")})
        assert await is_refused(target, eve.token())

    @pytest.mark.parametrize(
        "extra",
        [
            {"jwk": {"kty": "RSA"}},
            {"jku": "http://127.0.0.1:1/keys"},
            {"x5u": "http://127.0.0.1:1/"},
            {"x5c": ["AA"]},
            {"crit": ["exp"]},
            {"zip": "DEF"},
            {"b64": False},
            {"typ": "dpop+jwt"},
            {"typ": 1},
            {"kid": "unknown"},
            {"kid": "../../etc/passwd"},
            {"kid": None},
            {"kid": ["one"]},
        ],
        ids=str,
    )
    async def test_a_header_brings_no_key_and_no_surprise(
        self, target: Site, provider: Provider, extra: dict[str, Any]
    ) -> None:
        assert await is_refused(target, provider.token(headers=extra))

    async def test_changed_claims_break_it(self, target: Site, provider: Provider) -> None:
        header, _, signature = provider.token().split(".")
        assert await is_refused(target, f"{header}.{encoded(provider.claims(sub='root'))}.{signature}")

    async def test_ours_is_not_the_providers(self, target: Site, provider: Provider) -> None:
        ada = await target.person()
        claims = jwt.get_unverified_claims(ada.token)
        assert await is_refused(target, provider.token(**claims))


def _timeless(claims: dict[str, Any]) -> str:
    """Name claims without the moment at which the tests are collected: all of pytest's processes must agree."""
    return str({name: "a moment" if type(value) is int and value > 1 else value for name, value in claims.items()})


class TestClaims:
    @pytest.mark.parametrize("claim", ["iss", "aud", "sub", "iat", "exp"])
    async def test_each_is_required(self, target: Site, provider: Provider, claim: str) -> None:
        assert await is_refused(target, provider.token(**{claim: None}))

    @pytest.mark.parametrize(
        "claims",
        [
            {"iss": "https://evil.example/"},
            {"iss": ["x"]},
            {"aud": "elsewhere"},
            {"aud": []},
            {"aud": {}},
            {"sub": ""},
            {"sub": "x" * 256},
            {"sub": "a\x00b"},
            {"sub": "\u202e"},
            {"sub": 1},
            {"exp": seconds(hours=-1)},
            {"exp": True},
            {"exp": "soon"},
            {"exp": 1e300},
            {"iat": seconds(hours=5)},
            {"nbf": seconds(hours=5)},
            {"nbf": "soon"},
        ],
        ids=_timeless,
    )
    async def test_a_wrong_one_is_refused(self, target: Site, provider: Provider, claims: dict[str, Any]) -> None:
        assert await is_refused(target, provider.token(**claims))

    async def test_a_huge_token_is_refused_unread(self, target: Site, provider: Provider) -> None:
        asked = provider.requests
        token = provider.token("one", padding="x" * MAX_OUTSIDE_TOKEN_LENGTH, headers={"kid": "new"})
        assert await is_refused(target, token)
        assert provider.requests == asked


class TestTakingOverAnAccount:
    @pytest.fixture
    async def ada(self, target: Site) -> Person:
        return await target.person()

    @pytest.mark.parametrize("verified", [None, False, "true", 1, "false", {}])
    async def test_an_address_that_is_not_verified_leads_nowhere_and_is_not_kept(
        self, target: Site, provider: Provider, ada: Person, verified: object
    ) -> None:
        eve = await viewer(target, provider.token(sub=new_subject(), email=ada.user.email, email_verified=verified))

        assert eve["email"].endswith("@unverified.invalid")
        assert eve["id"] != (await viewer(target, ada.token))["id"]

    @pytest.mark.parametrize("email", ["\u212aelvin@example.com", "\u0130da@example.com", "nobody", "a\x00@b.com"])
    async def test_a_letter_that_becomes_another_leads_nowhere(
        self, target: Site, provider: Provider, email: str
    ) -> None:
        eve = await viewer(target, provider.token(sub=new_subject(), email=email, email_verified=True))
        assert eve["email"].endswith("@unverified.invalid")

    async def test_who_gets_an_address_later_does_not_get_the_account(
        self, target: Site, provider: Provider, ada: Person
    ) -> None:
        address = {"email": ada.user.email.upper(), "email_verified": True}
        first = await viewer(target, provider.token(sub=new_subject(), **address))
        second = await viewer(target, provider.token(sub=new_subject(), **address))

        assert first == await viewer(target, ada.token)
        assert second["email"].endswith("@unverified.invalid")

    async def test_a_verified_address_that_is_free_is_theirs(self, target: Site, provider: Provider) -> None:
        email = f"{uuid4().hex}@example.com"
        token = provider.token(sub=new_subject(), email=email, email_verified=True, name="Grace Hopper")
        assert (await viewer(target, token)).items() >= {"email": email, "name": "Grace Hopper"}.items()

    async def test_two_first_requests_at_once_make_one_user(self, target: Site, provider: Provider) -> None:
        token = provider.token(sub=new_subject(), email=f"{uuid4().hex}@example.com", email_verified=True)
        seen = await asyncio.gather(*(viewer(target, token) for _ in range(8)))
        assert len({person["id"] for person in seen}) == 1

    async def test_no_password_opens_it(self, target: Site, provider: Provider) -> None:
        email = f"{uuid4().hex}@example.com"
        await viewer(target, provider.token(sub=new_subject(), email=email, email_verified=True))
        document = "mutation($input: LoginInput!) { login(input: $input) { errors { code } } }"
        for password in ("", "None", "nobody has this password", "!"):
            answer = await target.ask(document, {"input": {"email": email, "password": password}})
            assert answer["data"]["login"]["errors"] == [{"code": "INVALID_CREDENTIALS"}]

    async def test_a_disabled_user_does_not_come_back_through_the_provider(
        self, target: Site, provider: Provider, ada: Person
    ) -> None:
        token = provider.token(sub=new_subject(), email=ada.user.email, email_verified=True)
        await users.disable(target.engines.database, ada.user.email)
        assert await is_refused(target, token)
        await users.enable(target.engines.database, ada.user.email)
        assert not await is_refused(target, token)
