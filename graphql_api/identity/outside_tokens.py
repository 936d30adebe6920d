"""Access tokens that an outside identity provider issued."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from email_validator import EmailNotValidError, validate_email
from jose import jwt
from jose.exceptions import JOSEError

from graphql_api.identity.jwks import KeySet
from graphql_api.identity.tokens import CLOCK_TOLERANCE, read_header
from graphql_api.kit.errors import Unauthenticated

ALGORITHMS = frozenset({"RS256", "ES256"})

MAX_OUTSIDE_TOKEN_LENGTH = 8192
"""Characters; providers write more into theirs than we do."""

MAX_SUBJECT_LENGTH = 255
"""Characters that OpenID Connect allows."""

_HEADER = frozenset({"alg", "kid", "typ", "x5t", "x5t#S256"})
"""What may stand in a header. Not `crit`, and nothing that says where a key is: keys come from the set alone."""

_TYPES = frozenset({"JWT", "AT+JWT", "APPLICATION/AT+JWT"})
_REFUSED = "The access token is not valid, or no longer. Get a new one from the identity provider."


@dataclass(frozen=True, slots=True)
class Stranger:
    """Somebody whom the provider knows.

    Attributes:
        issuer: Which provider.
        subject: Who, for the provider; never given to anybody else.
        expires_at: Until when the token holds.
        email: An address that the provider has verified; None otherwise.
        name: How people call them, if the provider says so.
    """

    issuer: str
    subject: str
    expires_at: datetime
    email: str | None
    name: str | None


class IdentityProvider:
    """Verifies what one provider issued for this API.

    Args:
        keys: The provider's public keys.
        issuer: The `iss` that is required.
        audience: The `aud` that is required, alone or among others.
    """

    def __init__(self, keys: KeySet, *, issuer: str, audience: str) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience

    def takes(self, token: str) -> bool:
        """Tell by its header whether a token may be the provider's; ours are never, whatever else is in them."""
        try:
            return _header(token).get("alg") in ALGORITHMS
        except Unauthenticated:
            return False

    async def verify(self, token: str) -> Stranger:
        """Read whose token it is.

        Raises:
            Unauthenticated: When it is not one of the provider's for us, or not valid now.
        """
        header = _header(token)
        key_id, type_ = header.get("kid"), header.get("typ", "JWT")
        is_plain = header.keys() <= _HEADER and isinstance(type_, str) and type_.upper() in _TYPES
        key = await self._keys.find(key_id) if is_plain and isinstance(key_id, str) else None
        if key is None or header.get("alg") != key.algorithm:
            raise Unauthenticated("The access token is not signed by a key of the identity provider.")
        try:
            claims = jwt.decode(
                token,
                dict(key.jwk),
                algorithms=[key.algorithm],
                audience=self._audience,
                issuer=self._issuer,
                options={
                    "verify_at_hash": False,
                    "leeway": CLOCK_TOLERANCE,
                    **{f"require_{claim}": True for claim in ("sub", "iss", "aud", "iat", "exp")},
                },
            )
            return self._stranger(claims)
        except (JOSEError, ValueError, TypeError, OverflowError, OSError, RecursionError) as error:
            raise Unauthenticated(_REFUSED) from error

    def _stranger(self, claims: Mapping[str, Any]) -> Stranger:
        """Read claims whose signature is right.

        Raises:
            ValueError: When one is not what it must be.
        """
        issued_at, expires_at = _moment(claims["iat"]), _moment(claims["exp"])
        subject = claims["sub"]
        if issued_at > datetime.now(UTC) + CLOCK_TOLERANCE or not isinstance(subject, str):
            raise ValueError("The token is of the future, or of nobody.")
        if not 1 <= len(subject) <= MAX_SUBJECT_LENGTH or not subject.isprintable():
            raise ValueError("The subject is no name of somebody.")
        name = claims.get("name")
        return Stranger(
            issuer=self._issuer,
            subject=subject,
            expires_at=expires_at,
            email=_verified_email(claims),
            name=name if isinstance(name, str) else None,
        )


def _verified_email(claims: Mapping[str, Any]) -> str | None:
    """Read the address, if it is verified: only the literal true says so, since the text "false" is true as well.

    One with letters beyond ASCII counts as not verified: several of them are one letter in lower case.
    """
    email = claims.get("email")
    if claims.get("email_verified") is not True or not isinstance(email, str) or not email.isascii():
        return None
    try:
        validate_email(email, check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        return None
    return email


def _header(token: str) -> dict[str, Any]:
    return read_header(token, maximum=MAX_OUTSIDE_TOKEN_LENGTH)


def _moment(value: object) -> datetime:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError("A moment is a number of seconds.")
    return datetime.fromtimestamp(value, UTC)
