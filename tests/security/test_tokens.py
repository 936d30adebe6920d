"""Tokens of our own: forged, bent, or put where they do not belong. tests/identity/test_tokens.py has every form."""

from datetime import timedelta
from typing import Any

import pytest
from support.forging import encoded, forged, hmac_signature
from support.identity_provider import public_jwk, rsa_key
from support.server import SECRET, Person, Site
from support.sockets import connected, opened

from graphql_api.kit.columns import now

pytestmark = pytest.mark.anyio

VIEWER = "{ viewer { email } }"


def parts(token: str) -> list[str]:
    return token.split(".")


def header_of(site: Site, ada: Person, **changes: object) -> dict[str, Any]:
    (key_id,) = site.engines.keys._secrets
    return {"alg": "HS256", "typ": "JWT", "kid": key_id, **changes}


def claims_of(ada: Person, **changes: object) -> dict[str, Any]:
    moment = int(now().timestamp())
    issued = {"iat": moment, "nbf": moment, "exp": moment + 600, "jti": "x"}
    own = {"sub": str(ada.user.id), "iss": "ide-orchestrator", "aud": "ide-orchestrator", **issued}
    return {name: value for name, value in {**own, **changes}.items() if value is not None}


async def code(target: Site, token: str) -> str | None:
    answer = await target.ask(VIEWER, token=token)
    return answer["errors"][0]["extensions"]["code"] if "errors" in answer else None


RIGHT = hmac_signature(SECRET.encode())


class TestForged:
    async def test_the_forger_of_these_tests_can_sign(self, target: Site, ada: Person) -> None:
        assert await code(target, forged(header_of(target, ada), claims_of(ada), RIGHT)) is None

    @pytest.mark.parametrize("algorithm", ["none", "NONE", "nOnE", "", None])
    @pytest.mark.parametrize("signature", [b"", b"x"])
    async def test_no_algorithm_is_none(
        self, target: Site, ada: Person, algorithm: str | None, signature: bytes
    ) -> None:
        header = header_of(target, ada, alg=algorithm)
        assert await code(target, forged(header, claims_of(ada), lambda _: signature)) == "UNAUTHENTICATED"

    @pytest.mark.parametrize("algorithm", ["HS384", "HS512", "RS256", "ES256", "PS256", "dir"])
    async def test_no_other_algorithm_either(self, target: Site, ada: Person, algorithm: str) -> None:
        token = forged(header_of(target, ada, alg=algorithm), claims_of(ada), RIGHT)
        assert await code(target, token) == "UNAUTHENTICATED"

    @pytest.mark.parametrize(
        "extra",
        [
            {"jwk": public_jwk(rsa_key(), "x")},
            {"jku": "https://evil.example/keys"},
            {"x5u": "https://evil.example/"},
            {"crit": ["b64"], "b64": False},
            {"kid": "../../../dev/null"},
            {"kid": "x' UNION SELECT 'secret"},
        ],
        ids=["jwk", "jku", "x5u", "crit", "kid of a file", "kid of a query"],
    )
    async def test_it_brings_no_key(self, target: Site, ada: Person, extra: dict[str, Any]) -> None:
        assert await code(target, forged(header_of(target, ada, **extra), claims_of(ada), RIGHT)) == "UNAUTHENTICATED"

    @pytest.mark.parametrize("secret", [b"", b"secret", b"null", SECRET[:-1].encode()])
    async def test_a_guessed_secret_signs_nothing(self, target: Site, ada: Person, secret: bytes) -> None:
        token = forged(header_of(target, ada), claims_of(ada), hmac_signature(secret))
        assert await code(target, token) == "UNAUTHENTICATED"

    async def test_claims_are_not_exchanged(self, target: Site, ada: Person) -> None:
        eve = await target.person()
        header, _, signature = parts(eve.token)
        assert await code(target, f"{header}.{encoded(claims_of(ada))}.{signature}") == "UNAUTHENTICATED"
        assert await code(target, eve.token) is None


class TestClaims:
    @pytest.mark.parametrize("claim", ["sub", "iss", "aud", "iat", "nbf", "exp", "jti"])
    async def test_none_may_be_missing(self, target: Site, ada: Person, claim: str) -> None:
        token = forged(header_of(target, ada), claims_of(ada, **{claim: None}), RIGHT)
        assert await code(target, token) == "UNAUTHENTICATED"

    @pytest.mark.parametrize(
        "changes",
        [
            {"exp": 0},
            {"exp": "9999999999"},
            {"exp": 10**400},
            {"nbf": 4_000_000_000},
            {"iat": 4_000_000_000},
            {"iss": "elsewhere"},
            {"aud": "elsewhere"},
            {"aud": ["elsewhere"]},
            {"sub": "root"},
            {"sub": ["x"]},
            {"sub": "' OR 1=1"},
        ],
        ids=str,
    )
    async def test_none_may_be_wrong(self, target: Site, ada: Person, changes: dict[str, Any]) -> None:
        claims: Any = claims_of(ada, **changes)
        if changes.get("exp") == 10**400:
            claims = b'{"exp":' + b"9" * 400 + b"}"
        assert await code(target, forged(header_of(target, ada), claims, RIGHT)) == "UNAUTHENTICATED"


class TestShape:
    @pytest.mark.parametrize(
        "token", ["x", "..", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", "x" * 20_000, "[" * 4000, "e30.e30.e30.e30.e30"]
    )
    async def test_what_is_none_is_refused(self, target: Site, token: str) -> None:
        assert await code(target, token) == "UNAUTHENTICATED"

    async def test_bytes_that_are_no_text_are_refused(self, target: Site) -> None:
        headers = {"authorization": b"Bearer \xff\xfe\x80", "content-type": "application/json"}
        answer = await target.request("POST", "/graphql", content='{"query":"{viewer{id}}"}', headers=headers)
        assert answer.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"

    async def test_a_refused_token_is_not_taken_for_none(self, target: Site) -> None:
        """Whoever sends credentials means them: with wrong ones nothing runs as nobody that asks who it is."""
        answer = await target.ask("{ templates { slug } }", token="x.y.z")
        assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


class TestPlace:
    @pytest.mark.parametrize("name", ["token", "access_token", "authorization", "Authorization", "jwt"])
    async def test_a_url_is_none(self, target: Site, ada: Person, name: str) -> None:
        parameters = {name: ada.token, "query": VIEWER}
        headers = {"apollo-require-preflight": "true"}
        answer = await target.request("GET", "/graphql", params=parameters, headers=headers)
        assert answer.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
        assert ada.token not in answer.text

    async def test_neither_is_that_of_a_socket(self, target: Site, ada: Person) -> None:
        async with connected(f"{target.socket_url}?token={ada.token}&authorization=Bearer+{ada.token}") as socket:
            message = (await socket.run(VIEWER))[0]
        assert "UNAUTHENTICATED" in str(message)
        assert ada.user.email not in str(message)

    async def test_neither_is_a_cookie(self, target: Site, ada: Person) -> None:
        headers = {"cookie": f"token={ada.token}; authorization=Bearer {ada.token}; session={ada.token}"}
        answer = await target.request("POST", "/graphql", json={"query": VIEWER}, headers=headers)
        assert answer.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


class TestSocket:
    @pytest.mark.parametrize(
        "payload", [{"Authorization": "Bearer x.y.z"}, {"token": "x"}, {"headers": {"authorization": "Bearer x"}}]
    )
    async def test_a_wrong_token_closes_it(self, target: Site, payload: dict[str, Any]) -> None:
        async with opened(target.socket_url) as socket:
            await socket.send({"type": "connection_init", "payload": payload})
            assert await socket.close_code() == 4401

    async def test_it_does_nothing_more_once_its_token_has_expired(self, target: Site, ada: Person) -> None:
        soon = target.token(ada.user, expires_at=now() + timedelta(seconds=2))
        async with connected(target.socket_url, soon) as socket:
            messages = [(await socket.run(VIEWER))[0]]
            while "errors" not in messages[-1]["payload"]:
                messages.append((await socket.run(VIEWER))[0])
        assert messages[0]["payload"] == {"data": {"viewer": {"email": ada.user.email}}}
        assert messages[-1]["payload"]["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
