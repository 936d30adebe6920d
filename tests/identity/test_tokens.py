import base64
import hashlib
import hmac
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jose import jwt
from support.waiting import until

from graphql_api.identity.tokens import ACCESS_TOKEN_LIFETIME, MAX_TOKEN_LENGTH, TokenKeys
from graphql_api.kit.errors import ErrorCode, Unauthenticated

SECRET = "a secret of this test, long enough to sign"
OTHER_SECRET = "another secret, which is long enough as well"
USER = UUID("11111111-2222-4333-8444-555555555555")
KEYS = TokenKeys([SECRET])


def current() -> datetime:
    return datetime.now(UTC)


def decoded(segment: str) -> dict[str, Any]:
    return dict(orjson.loads(base64.urlsafe_b64decode(segment + "==")))


def encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def signed(header: bytes, payload: bytes, *, secret: str = SECRET, digest: str = "sha256") -> str:
    """Sign whatever it is, correctly."""
    signing_input = f"{encoded(header)}.{encoded(payload)}"
    return f"{signing_input}.{encoded(hmac.digest(secret.encode(), signing_input.encode(), digest))}"


def parts() -> tuple[dict[str, Any], dict[str, Any]]:
    """Give header and claims of a good token."""
    header, payload, _ = KEYS.issue(USER, current())[0].split(".")
    return decoded(header), decoded(payload)


def with_header(change: Callable[[dict[str, Any]], object], **options: str) -> str:
    header, claims = parts()
    change(header)
    return signed(orjson.dumps(header), orjson.dumps(claims), **options)


def with_claims(**changes: object) -> str:
    """Sign claims with some changed, or without those that are changed to None."""
    header, claims = parts()
    claims = {name: value for name, value in (claims | changes).items() if value is not None}
    return signed(orjson.dumps(header), orjson.dumps(claims))


def with_payload(payload: bytes) -> str:
    return signed(orjson.dumps(parts()[0]), payload)


def seconds(**offset: float) -> int:
    return int((current() + timedelta(**offset)).timestamp())


def assert_refused(token: str, keys: TokenKeys = KEYS) -> None:
    with pytest.raises(Unauthenticated) as refusal:
        keys.verify(token)
    assert refusal.value.code is ErrorCode.UNAUTHENTICATED
    assert SECRET not in refusal.value.message


class TestIssue:
    def test_a_token_tells_whose_it_is_and_until_when(self) -> None:
        moment = current()
        token, expires_at = KEYS.issue(USER, moment)
        assert expires_at == moment + timedelta(minutes=15)
        assert KEYS.verify(token) == (USER, expires_at.replace(microsecond=0))

    def test_it_has_every_claim_and_no_other(self) -> None:
        moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        _, payload, _ = KEYS.issue(USER, moment)[0].split(".")
        claims = decoded(payload)
        UUID(claims.pop("jti"))
        assert claims == {
            "sub": str(USER),
            "iss": "ide-orchestrator",
            "aud": "ide-orchestrator",
            "iat": int(moment.timestamp()),
            "nbf": int(moment.timestamp()) - 60,
            "exp": int(moment.timestamp()) + 900,
        }

    def test_no_two_tokens_are_the_same(self) -> None:
        moment = current()
        assert KEYS.issue(USER, moment)[0] != KEYS.issue(USER, moment)[0]

    def test_attacks_are_signed_correctly(self) -> None:
        assert KEYS.verify(with_claims())[0] == USER


class TestSecrets:
    @pytest.mark.parametrize("secrets", [[], [""], ["a" * 31], [SECRET, "short"]])
    def test_a_secret_that_can_be_guessed_is_refused(self, secrets: list[str]) -> None:
        with pytest.raises(ValueError, match="32 bytes or more"):
            TokenKeys(secrets)

    def test_during_a_rotation_the_tokens_of_both_secrets_are_good(self) -> None:
        old, both, new = TokenKeys([OTHER_SECRET]), TokenKeys([SECRET, OTHER_SECRET]), TokenKeys([SECRET])
        from_old, from_both = old.issue(USER, current())[0], both.issue(USER, current())[0]
        assert both.verify(from_old)[0] == both.verify(from_both)[0] == USER
        assert new.verify(from_both)[0] == USER
        assert_refused(from_old, new)
        assert_refused(from_both, old)

    def test_a_key_id_of_one_secret_does_not_vouch_for_another(self) -> None:
        keys = TokenKeys([SECRET, OTHER_SECRET])
        assert_refused(with_header(dict.copy, secret=OTHER_SECRET), keys)


class TestTimes:
    def test_a_token_ends_with_its_lifetime(self) -> None:
        assert_refused(KEYS.issue(USER, current() - ACCESS_TOKEN_LIFETIME - timedelta(seconds=2))[0])
        assert KEYS.verify(KEYS.issue(USER, current() - ACCESS_TOKEN_LIFETIME + timedelta(seconds=30))[0])[0] == USER

    @pytest.mark.anyio
    async def test_one_that_was_good_before_ends_as_well(self) -> None:
        token = with_claims(exp=seconds(seconds=2))
        assert KEYS.verify(token)[0] == USER

        def has_ended() -> bool:
            try:
                KEYS.verify(token)
            except Unauthenticated:
                return True
            return False

        await until(has_ended)
        assert_refused(token)

    def test_a_token_of_a_process_whose_clock_is_a_little_ahead_is_good(self) -> None:
        assert KEYS.verify(KEYS.issue(USER, current() + timedelta(seconds=50))[0])[0] == USER

    def test_a_token_of_the_future_is_refused(self) -> None:
        assert_refused(KEYS.issue(USER, current() + timedelta(seconds=90))[0])
        assert_refused(with_claims(nbf=seconds(minutes=5)))
        assert_refused(with_claims(iat=seconds(minutes=5)))


class TestAudience:
    def test_a_token_for_somebody_else_or_by_somebody_else_is_refused(self) -> None:
        assert_refused(TokenKeys([SECRET], audience="elsewhere").issue(USER, current())[0])
        assert_refused(TokenKeys([SECRET], issuer="elsewhere").issue(USER, current())[0])


class TestHeader:
    @pytest.mark.parametrize(
        "algorithm", ["none", "NONE", "", "HS384", "HS512", "RS256", "ES256", "hs256", None, 1, ["HS256"]]
    )
    def test_any_algorithm_but_ours_is_refused(self, algorithm: object) -> None:
        assert_refused(with_header(lambda header: header.update(alg=algorithm)))

    @pytest.mark.parametrize(("algorithm", "digest"), [("HS384", "sha384"), ("HS512", "sha512")])
    def test_another_algorithm_is_refused_with_the_right_signature_too(self, algorithm: str, digest: str) -> None:
        assert_refused(with_header(lambda header: header.update(alg=algorithm), digest=digest))

    def test_a_token_without_a_signature_is_refused(self) -> None:
        token = KEYS.issue(USER, current())[0]
        assert_refused(token.rpartition(".")[0] + ".")
        assert_refused(token.rpartition(".")[0])
        header, claims = parts()
        unsigned = encoded(orjson.dumps(header | {"alg": "none"})) + "." + encoded(orjson.dumps(claims)) + "."
        assert_refused(unsigned)

    @pytest.mark.parametrize(
        "extra",
        [
            {"crit": ["exp"]},
            {"crit": []},
            {"b64": False},
            {"jwk": {"kty": "oct", "k": "AA"}},
            {"jku": "https://example.com/keys"},
            {"x5u": "https://example.com/certificate"},
            {"zip": "DEF"},
            {"cty": "JWT"},
        ],
    )
    def test_anything_beside_what_we_write_is_refused(self, extra: dict[str, object]) -> None:
        assert_refused(with_header(lambda header: header.update(extra)))

    @pytest.mark.parametrize("name", ["alg", "typ", "kid"])
    def test_anything_less_is_refused(self, name: str) -> None:
        assert_refused(with_header(lambda header: header.pop(name)))

    @pytest.mark.parametrize("type_", ["at+jwt", "jwt", None, [[[]]], {}])
    def test_another_type_is_refused(self, type_: object) -> None:
        assert_refused(with_header(lambda header: header.update(typ=type_)))

    @pytest.mark.parametrize("key_id", ["", "0" * 16, "../../dev/null", "' OR 1=1 --", None, 0, [], {}])
    def test_a_key_that_is_not_ours_is_refused(self, key_id: object) -> None:
        assert_refused(with_header(lambda header: header.update(kid=key_id)))

    @pytest.mark.parametrize(
        "header", [b"1", b"null", b"[]", b'"HS256"', b"", b"{", b"\xff\xfe", b"[" * 3000, b'{"alg":NaN}']
    )
    def test_what_is_no_object_is_refused(self, header: bytes) -> None:
        assert_refused(signed(header, orjson.dumps(parts()[1])))


class TestClaims:
    @pytest.mark.parametrize("claim", ["sub", "iss", "aud", "iat", "nbf", "exp", "jti"])
    def test_each_is_required(self, claim: str) -> None:
        assert_refused(with_claims(**{claim: None}))

    @pytest.mark.parametrize(
        ("claim", "value"),
        [
            *product(["sub", "iss", "aud", "exp"], ["", "x", -1, {}, [], [[]], {"a": 1}, False]),
            *product(["iat", "nbf"], ["", "x", {}, [], [[]], {"a": 1}]),  # -1 and False are moments long ago
            *product(["jti"], [-1, {}, [], [[]], {"a": 1}, False]),
        ],
    )
    def test_a_value_of_another_kind_is_refused(self, claim: str, value: object) -> None:
        assert_refused(with_claims(**{claim: value}))

    @pytest.mark.parametrize("subject", ["root", "*", "00000000", str(USER)[:-1], str(USER) + "0", "\x00"])
    def test_a_subject_that_is_no_key_is_refused(self, subject: str) -> None:
        assert_refused(with_claims(sub=subject))

    @pytest.mark.parametrize("moment", ["1e400", "Infinity", "NaN", "1e30", "999999999999999999", '"9999999999"'])
    @pytest.mark.parametrize("claim", ["exp", "iat", "nbf"])
    def test_a_moment_that_is_none_is_refused(self, claim: str, moment: str) -> None:
        claims = parts()[1]
        del claims[claim]
        payload = orjson.dumps(claims)[:-1] + f',"{claim}":{moment}}}'.encode()
        assert_refused(with_payload(payload))

    @pytest.mark.parametrize(
        "payload", [b"1", b"null", b"[]", b'""', b"", b"{", b"\xff\xfe", b"[" * 2500, b'{"a":' * 500]
    )
    def test_what_is_no_object_is_refused(self, payload: bytes) -> None:
        assert_refused(with_payload(payload))

    def test_a_changed_claim_breaks_the_signature(self) -> None:
        header, payload, signature = KEYS.issue(USER, current())[0].split(".")
        forged = encoded(orjson.dumps(decoded(payload) | {"sub": str(uuid4())}))
        assert_refused(f"{header}.{forged}.{signature}")


class TestShape:
    @pytest.mark.parametrize(
        "token",
        [
            "",
            ".",
            "..",
            "...",
            "a.b.c",
            "a",
            "é.é.é",
            "\ud800.a.b",
            "\x00.\x00.\x00",
            "=.=.=",
            "e30.e30.e30",
            "🙂" * 100,
            " . . ",
        ],
    )
    def test_what_is_no_token_is_refused(self, token: str) -> None:
        assert_refused(token)

    def test_something_around_a_token_is_refused(self) -> None:
        token = KEYS.issue(USER, current())[0]
        for around in (f"{token}.", f".{token}", f"{token}.{token}", f"Bearer {token}", f"{token}é"):
            assert_refused(around)

    def test_a_huge_token_is_refused_unread(self) -> None:
        assert_refused("a" * 10_000_000)
        assert_refused("." * 1_000_000)
        assert_refused(with_claims(sub=str(USER), padding="a" * MAX_TOKEN_LENGTH))

    def test_what_signs_other_things_signs_no_token(self) -> None:
        header, payload, _ = KEYS.issue(USER, current())[0].split(".")
        digest = hashlib.sha256(f"{header}.{payload}{SECRET}".encode()).digest()
        assert_refused(f"{header}.{payload}.{encoded(digest)}")

    @given(st.text())
    def test_no_text_is_taken_or_breaks_anything(self, token: str) -> None:
        assert_refused(token)

    @given(st.binary(max_size=200), st.binary(max_size=200))
    def test_no_signed_bytes_are_taken_or_break_anything(self, header: bytes, payload: bytes) -> None:
        assert_refused(signed(header, payload))

    @given(st.data())
    def test_no_change_of_a_character_goes_unseen(self, data: st.DataObject) -> None:
        token = KEYS.issue(USER, current())[0]
        index = data.draw(st.integers(0, len(token) - 2))  # the last one carries bits that base64 does not read
        other = data.draw(st.sampled_from("ABCxyz019-_.").filter(lambda character: character != token[index]))
        assert_refused(token[:index] + other + token[index + 1 :])


def test_the_library_reads_what_we_write() -> None:
    token = KEYS.issue(USER, current())[0]
    claims = jwt.decode(token, SECRET, algorithms=["HS256"], audience="ide-orchestrator", issuer="ide-orchestrator")
    assert claims["sub"] == str(USER)
