"""The public keys of an outside identity provider: fetched, bounded, kept for a while."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import orjson
import structlog

MAX_BYTES = 256 * 1024
MAX_KEYS = 100

FETCH_SECONDS = 5.0

RETRY_SECONDS = 60.0
"""Between two fetches at least: tokens with made-up key ids cost the provider one request a minute."""

FRESH_SECONDS = 15 * 60.0
"""After this long the keys are fetched again, so that a key that was withdrawn is not good for ever."""

USABLE_SECONDS = 24 * 60 * 60.0
"""For this long keys are good while the provider does not answer."""

_MAX_RSA_MODULUS_CHARACTERS = 1366
"""Base64 of 8192 bits; verifying with a larger one would be the attack."""

_MIN_RSA_MODULUS_CHARACTERS = 342
"""Base64 of 2048 bits."""

_MAX_RSA_EXPONENT_CHARACTERS = 6
"""Base64 of 32 bits."""

_P256_COORDINATE_CHARACTERS = 43

_log = structlog.get_logger()


class KeysUnusable(Exception):
    """What the provider answered is no set of keys."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that verifies with one algorithm and no other.

    Attributes:
        algorithm: `RS256` or `ES256`; the key decides, never the token.
        jwk: Its public members alone.
    """

    algorithm: str
    jwk: Mapping[str, str]


class KeySet:
    """The keys behind a URL.

    Args:
        url: Of a JSON Web Key Set; https, or http on this machine.
        fetch_seconds: What a fetch may take as a whole, however slowly the provider drips.
        clock: Tells seconds that never go backwards.

    Source: RFC 7517.
    """

    def __init__(
        self, url: str, *, fetch_seconds: float = FETCH_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._url = url
        self._fetch_seconds = fetch_seconds
        self._clock = clock
        self._keys: dict[str, PublicKey] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._fetching = asyncio.Lock()

    async def find(self, key_id: str) -> PublicKey | None:
        """Find a key by its id; the set is fetched first when it does not know the id, or is old.

        Who asks for a key that is known never waits for a fetch that somebody else began.
        """
        is_known = key_id in self._keys and self._age() < USABLE_SECONDS
        if not is_known or (self._age() >= FRESH_SECONDS and not self._fetching.locked()):
            async with self._fetching:
                await self._refresh(key_id)
        return self._keys.get(key_id) if self._age() < USABLE_SECONDS else None

    def _age(self) -> float:
        return float("inf") if self._fetched_at is None else self._clock() - self._fetched_at

    async def _refresh(self, key_id: str) -> None:
        if key_id in self._keys and self._age() < FRESH_SECONDS:  # somebody else was quicker
            return
        if self._tried_at is not None and self._clock() - self._tried_at < RETRY_SECONDS:
            return
        self._tried_at = self._clock()
        try:
            async with asyncio.timeout(self._fetch_seconds):
                self._keys = parse_keys(await self._fetch())
        except (httpx.HTTPError, TimeoutError, KeysUnusable) as error:
            _log.warning("identity_provider_keys_unusable", error=type(error).__name__, reason=str(error))
            return
        self._fetched_at = self._clock()

    async def _fetch(self) -> bytes:
        headers = {"accept": "application/jwk-set+json, application/json", "accept-encoding": "identity"}
        async with (
            httpx.AsyncClient(timeout=self._fetch_seconds, follow_redirects=False) as client,
            client.stream("GET", self._url, headers=headers) as response,
        ):
            if response.status_code != httpx.codes.OK or "content-encoding" in response.headers:
                raise KeysUnusable(f"It answered {response.status_code}, or encoded.")
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > MAX_BYTES:
                    raise KeysUnusable(f"It answered more than {MAX_BYTES} bytes.")
            return bytes(body)


def parse_keys(body: bytes) -> dict[str, PublicKey]:
    """Read a set of keys; those that sign nothing for us are left out.

    Raises:
        KeysUnusable: When it is none, or too large.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise KeysUnusable("It is not JSON.") from error
    members = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(members, list):
        raise KeysUnusable("It has no list of keys.")
    if len(members) > MAX_KEYS:
        raise KeysUnusable(f"It has more than {MAX_KEYS} keys.")
    keys: dict[str, PublicKey] = {}
    for member in members:
        key = _key(member) if isinstance(member, dict) else None
        if key is not None:
            # Of two with one id, the first stays: a later one can't push it out.
            keys.setdefault(member["kid"], key)
    return keys


def _key(member: Mapping[str, Any]) -> PublicKey | None:
    """Read one key; None for a secret one, one for encryption, a weak or a monstrous one."""
    operations = member.get("key_ops", ["verify"])
    is_for_signing = member.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations
    if not is_for_signing or not isinstance(member.get("kid"), str):
        return None
    algorithm: str | None = None
    names: tuple[str, ...] = ()
    if member.get("kty") == "RSA":
        is_sound = _MIN_RSA_MODULUS_CHARACTERS <= _length(member, "n") <= _MAX_RSA_MODULUS_CHARACTERS
        is_sound = is_sound and 1 <= _length(member, "e") <= _MAX_RSA_EXPONENT_CHARACTERS
        algorithm, names = ("RS256" if is_sound else None), ("kty", "n", "e")
    elif member.get("kty") == "EC" and member.get("crv") == "P-256":
        is_sound = _length(member, "x") == _length(member, "y") == _P256_COORDINATE_CHARACTERS
        algorithm, names = ("ES256" if is_sound else None), ("kty", "crv", "x", "y")
    if algorithm is None or member.get("alg", algorithm) != algorithm:
        return None
    return PublicKey(algorithm, {name: member[name] for name in names})


def _length(member: Mapping[str, Any], name: str) -> int:
    value = member.get(name)
    return len(value.rstrip("=")) if isinstance(value, str) else 0
