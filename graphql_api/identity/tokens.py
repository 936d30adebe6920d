"""Access tokens: short-lived JSON Web Tokens, signed with HS256.

python-jose accepts missing claims, unknown critical headers and other oddities, so a strict gate stands before it.
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import orjson
from jose import jwt
from jose.exceptions import JOSEError

from graphql_api.kit.errors import Unauthenticated

ACCESS_TOKEN_LIFETIME = timedelta(minutes=15)
MIN_SECRET_BYTES = 32
MAX_VERIFIED = 1024
"""Tokens that are remembered as right: to verify one anew takes longer than all else that a small request does."""

MAX_TOKEN_LENGTH = 4096
"""Characters; a longer one is refused unread."""

ISSUER = "ide-orchestrator"
AUDIENCE = "ide-orchestrator"

CLOCK_TOLERANCE = timedelta(minutes=1)
"""How far the clocks of two processes may be apart, so that one takes what the other has just issued."""

_ALGORITHM = "HS256"
_SEGMENTS = 3
_NOT_NOW = "The access token is not valid, or no longer. Refresh the session."
_NOT_OURS = "This is not an access token of this API. Sign in again."


class _Verified(NamedTuple):
    """What a right token says."""

    user_id: UUID
    expires_at: datetime


class TokenKeys:
    """The secrets that sign and verify.

    Args:
        secrets: At least one, each of 32 bytes or more. The first signs, all verify.
        issuer: The `iss` that is written and required.
        audience: The `aud` that is written and required.

    Raises:
        ValueError: When there is no secret, or a short one.
    """

    def __init__(self, secrets: Sequence[str], *, issuer: str = ISSUER, audience: str = AUDIENCE) -> None:
        if not secrets or any(len(secret.encode()) < MIN_SECRET_BYTES for secret in secrets):
            raise ValueError(f"A secret has {MIN_SECRET_BYTES} bytes or more.")
        self._secrets = {_key_id(secret): secret for secret in secrets}
        self._signing_id = _key_id(secrets[0])
        self._issuer = issuer
        self._audience = audience
        # What was right once is wrong later only by its end, which is looked at each time.
        self._verified = lru_cache(MAX_VERIFIED)(self._verify)

    def issue(self, user_id: UUID, now: datetime) -> tuple[str, datetime]:
        """Sign an access token; give it with the moment at which it expires."""
        expires_at = now + ACCESS_TOKEN_LIFETIME
        claims = {
            "sub": str(user_id),
            "iss": self._issuer,
            "aud": self._audience,
            "iat": int(now.timestamp()),
            "nbf": int((now - CLOCK_TOLERANCE).timestamp()),
            "exp": int(expires_at.timestamp()),
            "jti": str(uuid4()),
        }
        token = jwt.encode(claims, self._secrets[self._signing_id], _ALGORITHM, headers={"kid": self._signing_id})
        return token, expires_at

    def verify(self, token: str) -> tuple[UUID, datetime]:
        """Read whose token it is, and until when it holds.

        Raises:
            Unauthenticated: When it is not one of ours, or not valid now.
        """
        known = self._verified(token)
        if known.expires_at <= datetime.now(UTC):
            raise Unauthenticated(_NOT_NOW)
        return known.user_id, known.expires_at

    def _verify(self, token: str) -> _Verified:
        secret = self._secrets.get(_checked_key_id(token))
        if secret is None:
            raise Unauthenticated("The access token was not issued here. Sign in again.")
        try:
            claims = jwt.decode(
                token,
                secret,
                algorithms=[_ALGORITHM],
                audience=self._audience,
                issuer=self._issuer,
                options={f"require_{claim}": True for claim in ("sub", "iss", "aud", "iat", "nbf", "exp", "jti")},
            )
            issued_at, expires_at = (datetime.fromtimestamp(claims[claim], UTC) for claim in ("iat", "exp"))
            user_id = UUID(claims["sub"])
        except (JOSEError, ValueError, TypeError, OverflowError, OSError, RecursionError) as error:
            raise Unauthenticated(_NOT_NOW) from error
        if issued_at > datetime.now(UTC) + CLOCK_TOLERANCE:
            raise Unauthenticated("The access token is of the future: mend the clock of who issued it.")
        return _Verified(user_id, expires_at)


def read_header(token: str, *, maximum: int) -> dict[str, Any]:
    """Read the header of what looks like a token; nothing in it is checked yet.

    Args:
        token: What a client sent.
        maximum: Characters; a longer one is refused unread.

    Raises:
        Unauthenticated: When it does not look like one.
    """
    if len(token) > maximum or token.count(".") != _SEGMENTS - 1 or not token.isascii():
        raise Unauthenticated(_NOT_OURS)
    segment = token.partition(".")[0]
    try:
        header: Any = orjson.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    except ValueError as error:
        raise Unauthenticated(_NOT_OURS) from error
    if not isinstance(header, dict):
        raise Unauthenticated(_NOT_OURS)
    return header


def _checked_key_id(token: str) -> str:
    """Read the key id of a token whose header is exactly what we write."""
    header = read_header(token, maximum=MAX_TOKEN_LENGTH)
    key_id = header.get("kid")
    if not isinstance(key_id, str) or header != {"alg": _ALGORITHM, "typ": "JWT", "kid": key_id}:
        raise Unauthenticated(_NOT_OURS)
    return key_id


def _key_id(secret: str) -> str:
    """Name a secret without telling anything of it."""
    return hmac.new(secret.encode(), b"key id", hashlib.sha256).hexdigest()[:16]
