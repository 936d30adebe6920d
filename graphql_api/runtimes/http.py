"""The HTTP client that adapters share: its timeouts and retries, what a broken call means, and names in answers."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import stamina

from graphql_api.runtimes.addresses import RuntimeAddress
from graphql_api.runtimes.protocol import RuntimeFailure
from graphql_api.runtimes.storable import storable_text

CONNECT_SECONDS = 5.0
"""How long a connection may take."""

CALL_SECONDS = 30.0
"""How long each read and write of a call may take."""

HANDSHAKE_SECONDS = 10.0
"""How long the handshake of a WebSocket may take."""

ATTEMPTS = 3
"""How often a call is made that may be repeated."""

ATTEMPTS_SECONDS = 45.0
"""After which it is not repeated any more."""

MAX_THREAD_ID_LENGTH = 500

_BUSY = frozenset({httpx.codes.REQUEST_TIMEOUT, httpx.codes.TOO_EARLY, httpx.codes.TOO_MANY_REQUESTS})


def make_client(address: RuntimeAddress) -> httpx.AsyncClient:
    """Make the client of one runtime; paths are relative to its URL.

    Credentials of the URL are sent as basic authentication. A token is the adapter's to send, which knows how.
    """
    return httpx.AsyncClient(
        base_url=address.url,
        auth=address.credentials,
        timeout=httpx.Timeout(CALL_SECONDS, connect=CONNECT_SECONDS),
        limits=httpx.Limits(max_connections=200, max_keepalive_connections=20),
    )


@asynccontextmanager
async def calling() -> AsyncIterator[None]:
    """Turn what breaks a call into a `RuntimeFailure`, retryable unless the answer was a refusal.

    Raises:
        RuntimeFailure: When the runtime can't be reached, or `raise_for_status` says that it refused.
    """
    try:
        yield
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        is_retryable = status in _BUSY or error.response.is_server_error
        raise RuntimeFailure(f"The runtime answered {status}.", is_retryable=is_retryable) from error
    except httpx.HTTPError as error:
        raise RuntimeFailure(f"The runtime can't be reached: {type(error).__name__}.", is_retryable=True) from error


def retrying() -> AsyncIterator[stamina.Attempt]:
    """Repeat what may be repeated, after a while that grows and differs from caller to caller.

    Use it as `async for attempt in retrying()`, with the call in a `with attempt`; a `RuntimeFailure` that is retryable
    brings another attempt, and the last one is raised.
    """
    return stamina.retry_context(
        on=_is_worth_another,
        attempts=ATTEMPTS,
        timeout=ATTEMPTS_SECONDS,
        wait_initial=0.2,
        wait_max=2.0,
        wait_jitter=0.5,
    )


def thread_named(name: str) -> str:
    """Give the name of a thread as a runtime told it.

    Raises:
        RuntimeFailure: When it can't be stored.
    """
    if len(name) > MAX_THREAD_ID_LENGTH or storable_text(name) != name:
        raise RuntimeFailure("The runtime named its thread so that it can't be stored.", is_retryable=False)
    return name


def authorization_of(address: RuntimeAddress) -> dict[str, str]:
    """Make the header that a runtime knows its callers by: a bearer token, or else user and password."""
    if address.token is not None:
        return {"authorization": f"Bearer {address.token}"}
    if address.credentials is not None:
        return {"authorization": f"Basic {base64.b64encode(':'.join(address.credentials).encode()).decode()}"}
    return {}


def _is_worth_another(error: Exception) -> bool:
    return isinstance(error, RuntimeFailure) and error.is_retryable
