"""An outside identity provider: a server of its own, which can misbehave."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any

import orjson
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jose import jwk, jwt

from graphql_api.kit.columns import now

AUDIENCE = "orchestrator-api"

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@cache
def rsa_key(name: str = "rsa", bits: int = 2048) -> rsa.RSAPrivateKey:
    """Make a key once in a process."""
    return rsa.generate_private_key(65537, bits)


@cache
def ec_key(name: str = "ec", curve: type[ec.EllipticCurve] = ec.SECP256R1) -> ec.EllipticCurvePrivateKey:
    """Make a key once in a process."""
    return ec.generate_private_key(curve())


def pem(key: PrivateKey) -> str:
    """Write a private key as the signing library reads it."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public_jwk(key: PrivateKey, key_id: str, **members: object) -> dict[str, object]:
    """Describe a key as a provider does."""
    algorithm = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
    described = jwk.construct(pem(key), algorithm).public_key().to_dict()
    return {**described, "kid": key_id, "use": "sig", "alg": algorithm, **members}


@dataclass
class Provider:
    """The provider, as tests have it behave.

    Attributes:
        keys: What it signs with, by key id.
        requests: How often it was asked.
        body: What it answers instead of its keys.
        status: Its answer's status line and further headers.
        is_silent: Whether it takes the request and never answers.
    """

    url: str = ""
    keys: dict[str, PrivateKey] = field(default_factory=lambda: {"one": rsa_key(), "two": ec_key()})
    requests: int = 0
    body: bytes | None = None
    status: str = "200 OK"
    is_silent: bool = False

    @property
    def issuer(self) -> str:
        """What it calls itself."""
        return self.url.rpartition("/")[0] + "/"

    def claims(self, **changes: object) -> dict[str, Any]:
        """Write the claims of a token; those that are changed to None are left out."""
        moment = now()
        claims = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": "somebody",
            "iat": int(moment.timestamp()),
            "exp": int((moment + timedelta(hours=1)).timestamp()),
        }
        return {name: value for name, value in {**claims, **changes}.items() if value is not None}

    def token(self, key_id: str = "one", *, headers: dict[str, Any] | None = None, **claims: object) -> str:
        """Sign a token."""
        key = self.keys[key_id]
        algorithm = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
        written: str = jwt.encode(
            self.claims(**claims), pem(key), algorithm, headers={"kid": key_id, **(headers or {})}
        )
        return written

    def key_set(self) -> bytes:
        """Write its public keys."""
        return orjson.dumps({"keys": [public_jwk(key, key_id) for key_id, key in self.keys.items()]})

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        try:
            await reader.readuntil(b"\r\n\r\n")
            self.requests += 1
            if self.is_silent:
                await reader.read()  # until the other end gives up
                return
            body = self.key_set() if self.body is None else self.body
            head = f"HTTP/1.1 {self.status}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
            writer.write(head.encode() + body)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return  # the other end has had enough
        finally:
            writer.close()


@asynccontextmanager
async def identity_provider() -> AsyncIterator[Provider]:
    """Run a provider on this machine."""
    provider = Provider()
    server = await asyncio.start_server(provider.answer, "127.0.0.1", 0)
    provider.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys"
    try:
        yield provider
    finally:
        server.close()
        await server.wait_closed()
