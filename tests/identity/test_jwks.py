import asyncio
import gzip
from collections.abc import AsyncIterator

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from structlog.testing import capture_logs
from support.identity_provider import Provider, ec_key, identity_provider, public_jwk, rsa_key
from support.waiting import until

from graphql_api.identity.jwks import (
    FRESH_SECONDS,
    MAX_BYTES,
    MAX_KEYS,
    RETRY_SECONDS,
    USABLE_SECONDS,
    KeySet,
    KeysUnusable,
    parse_keys,
)

pytestmark = pytest.mark.anyio


class Clock:
    """Time that tests move."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with identity_provider() as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(provider: Provider, clock: Clock) -> KeySet:
    return KeySet(provider.url, clock=clock)


async def knows(keys: KeySet, key_id: str) -> bool:
    return await keys.find(key_id) is not None


class TestFind:
    async def test_a_key_is_fetched_once_and_verifies_with_one_algorithm(
        self, keys: KeySet, provider: Provider
    ) -> None:
        found = [await keys.find(key_id) for key_id in ("one", "two", "one")]

        assert [key and key.algorithm for key in found] == ["RS256", "ES256", "RS256"]
        assert provider.requests == 1

    async def test_those_who_come_at_once_fetch_once(self, keys: KeySet, provider: Provider) -> None:
        assert all(await asyncio.gather(*(knows(keys, "one") for _ in range(20))))
        assert provider.requests == 1

    async def test_made_up_ids_cost_one_request_a_minute(self, keys: KeySet, provider: Provider, clock: Clock) -> None:
        assert not any(await asyncio.gather(*(knows(keys, f"made-up-{number}") for number in range(50))))
        assert provider.requests == 1
        clock.seconds += RETRY_SECONDS - 1
        assert not await knows(keys, "made-up")
        assert provider.requests == 1
        clock.seconds += 1
        assert not await knows(keys, "made-up")
        assert provider.requests == 2

    async def test_a_key_that_is_new_is_found_within_a_minute(
        self, keys: KeySet, provider: Provider, clock: Clock
    ) -> None:
        await keys.find("one")
        provider.keys = {"three": rsa_key("three")}
        clock.seconds += RETRY_SECONDS
        assert await knows(keys, "three")
        assert not await knows(keys, "one")

    async def test_a_key_that_was_withdrawn_ends_without_being_asked_for(
        self, keys: KeySet, provider: Provider, clock: Clock
    ) -> None:
        await keys.find("one")
        del provider.keys["one"]
        clock.seconds += FRESH_SECONDS
        assert not await knows(keys, "one")

    async def test_keys_outlive_a_provider_that_is_gone_but_not_for_ever(
        self, keys: KeySet, provider: Provider, clock: Clock
    ) -> None:
        await keys.find("one")
        provider.status = "503 Service Unavailable"
        with capture_logs() as logs:
            clock.seconds += FRESH_SECONDS
            assert await knows(keys, "one")
            clock.seconds += USABLE_SECONDS
            assert not await knows(keys, "one")
        assert {log["event"] for log in logs} == {"identity_provider_keys_unusable"}

    @pytest.mark.parametrize(
        ("status", "body"),
        [
            pytest.param("200 OK", b"x" * (MAX_BYTES + 1), id="huge"),
            pytest.param("200 OK", b"<html>", id="garbage"),
            pytest.param("200 OK\r\ncontent-encoding: gzip", gzip.compress(b"x" * MAX_BYTES * 10), id="bomb"),
            pytest.param("302 Found\r\nlocation: http://127.0.0.1:1/", b"", id="elsewhere"),
            pytest.param("500 Internal Server Error", b"", id="broken"),
            pytest.param("nonsense", b"", id="no HTTP"),
        ],
    )
    async def test_an_answer_that_is_none_harms_nobody(
        self, keys: KeySet, provider: Provider, clock: Clock, status: str, body: bytes
    ) -> None:
        provider.status, provider.body = status, body
        assert not await knows(keys, "one")
        provider.status, provider.body = "200 OK", None
        clock.seconds += RETRY_SECONDS
        assert await knows(keys, "one")

    async def test_nobody_waits_long_for_a_silent_provider(self, provider: Provider) -> None:
        provider.is_silent = True
        assert not await knows(KeySet(provider.url, fetch_seconds=0.05), "one")

    async def test_who_has_a_key_does_not_wait_for_one_who_fetches(
        self, keys: KeySet, provider: Provider, clock: Clock
    ) -> None:
        await keys.find("one")
        provider.is_silent = True
        clock.seconds += FRESH_SECONDS
        fetching = asyncio.create_task(keys.find("new"))
        await until(keys._fetching.locked)
        assert await knows(keys, "one")
        assert not fetching.done()
        fetching.cancel()
        await asyncio.gather(fetching, return_exceptions=True)

    async def test_a_provider_that_is_not_there_is_no_key(self) -> None:
        assert await KeySet("http://127.0.0.1:1/keys").find("one") is None


class TestParseKeys:
    @pytest.mark.parametrize("body", [b"", b"[]", b"1", b"{}", b'{"keys": {}}', b"\xff", b"[" * 10_000])
    def test_what_is_no_set_is_refused(self, body: bytes) -> None:
        with pytest.raises(KeysUnusable):
            parse_keys(body)

    def test_a_set_is_bounded(self) -> None:
        with pytest.raises(KeysUnusable, match="more than 100"):
            parse_keys(orjson.dumps({"keys": [{}] * (MAX_KEYS + 1)}))

    @pytest.mark.parametrize(
        "key",
        [
            pytest.param({"kty": "oct", "k": "c2VjcmV0", "kid": "x", "alg": "HS256"}, id="secret"),
            pytest.param(public_jwk(rsa_key("weak", 1024), "x"), id="weak"),
            pytest.param(public_jwk(rsa_key(), "x", n="A" * 2000), id="monstrous"),
            pytest.param(public_jwk(rsa_key(), "x", e="A" * 200), id="monstrous exponent"),
            pytest.param(public_jwk(rsa_key(), "x", n=1), id="number"),
            pytest.param(public_jwk(rsa_key(), "x", alg="HS256"), id="for HS256"),
            pytest.param(public_jwk(rsa_key(), "x", alg="RS512"), id="for RS512"),
            pytest.param(public_jwk(rsa_key(), "x", use="enc"), id="for encryption"),
            pytest.param(public_jwk(rsa_key(), "x", key_ops=["sign"]), id="for signing"),
            pytest.param(public_jwk(rsa_key(), "x", kid=1), id="id that is a number"),
            pytest.param(public_jwk(ec_key("large", ec.SECP384R1), "x", alg="ES384"), id="other curve"),
            pytest.param(public_jwk(ec_key(), "x", x="AA"), id="short point"),
            pytest.param("x", id="text"),
        ],
    )
    def test_a_key_that_we_do_not_use_is_left_out(self, key: object) -> None:
        body = orjson.dumps({"keys": [key, public_jwk(ec_key(), "good")]})
        assert list(parse_keys(body)) == ["good"]

    def test_of_two_with_one_id_the_first_stays(self) -> None:
        body = orjson.dumps({"keys": [public_jwk(rsa_key(), "x"), public_jwk(ec_key(), "x")]})
        assert parse_keys(body)["x"].algorithm == "RS256"

    def test_a_private_part_is_not_kept(self) -> None:
        body = orjson.dumps({"keys": [public_jwk(rsa_key(), "x", d="AQAB", k="secret")]})
        assert set(parse_keys(body)["x"].jwk) == {"kty", "n", "e"}
