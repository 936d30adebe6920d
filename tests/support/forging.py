"""Tokens by hand, as attackers make them."""

import base64
import hmac
from collections.abc import Callable, Mapping
from typing import Any

import orjson


def encoded(content: bytes | Mapping[str, Any]) -> str:
    """Write a segment of a token."""
    raw = content if isinstance(content, bytes) else orjson.dumps(dict(content))
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def hmac_signature(secret: bytes) -> Callable[[bytes], bytes]:
    """Sign with a secret."""
    return lambda text: hmac.digest(secret, text, "sha256")


def forged(header: bytes | Mapping[str, Any], claims: bytes | Mapping[str, Any], sign: Callable[[bytes], bytes]) -> str:
    """Put a token together, whatever is in it."""
    text = f"{encoded(header)}.{encoded(claims)}"
    return f"{text}.{encoded(sign(text.encode()))}"
