"""What a request has to be before anything is done for it."""

import asyncio
from collections.abc import Collection
from email.message import Message as Header

from cross_web import HTTPException
from starlette.requests import Request
from starlette.types import Message, Receive
from strawberry.http.websocket_origin import is_same_origin, normalize_origin

from graphql_api.kit.errors import ErrorCode

ANONYMOUS_BODY_BYTES = 1024 * 1024
"""The most that a body may have of those who did not sign in."""

BODY_SECONDS = 10.0
"""How long a body may take to arrive."""

MAX_MEDIA_TYPES_LENGTH = 1024
"""Bytes of a header that names media types; to read one takes up to 7 µs for each."""

PREFLIGHT_HEADERS = ("graphql-require-preflight", "apollo-require-preflight", "x-apollo-operation-name")
"""A page of another origin can send one of these only after the browser has asked us; any value will do."""

_MEDIA_TYPES = frozenset({b"accept", b"content-type"})
_OWN_SITES = frozenset({"same-origin", "none"})


class Refused(HTTPException):
    """A request that is not taken.

    Args:
        status: Of the answer.
        reason: What is wrong, and what is right, for people.
        code: The same for programs.
        headers: Of the answer.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        code: ErrorCode = ErrorCode.VALIDATION_FAILED,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(status, reason)
        self.code = code
        self.headers = headers or {}


def check_media_types(request: Request) -> None:
    """Refuse headers that would take long to read, or be remembered at length.

    Raises:
        Refused: When one is too long.
    """
    for name, value in request.scope["headers"]:
        if len(value) > MAX_MEDIA_TYPES_LENGTH and name in _MEDIA_TYPES:
            size = f"{len(value)} bytes, and at most {MAX_MEDIA_TYPES_LENGTH} are read"
            raise Refused(431, f"The header {name.decode()} has {size}.")


def check(request: Request, allowed_origins: Collection[str]) -> None:
    """Refuse what can't be an operation, or what another site made a browser send.

    Raises:
        Refused: With the status that says what is wrong.
    """
    if request.method == "GET":
        _check_site(request, allowed_origins)
    elif request.method == "POST":
        _check_content(request)
    else:
        raise Refused(405, "GraphQL takes GET and POST.", headers={"allow": "GET, POST"})


def _check_content(request: Request) -> None:
    """Take JSON alone, which a page of another origin can't send before the browser has asked us."""
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Refused(415, "Send the body as it is, without a content encoding.")
    given = request.headers.get("content-type", "")
    if given == "application/json":
        return
    content = Header()
    content["content-type"] = given.encode("ascii", "replace").decode()
    if content.get_content_type() != "application/json" or content.get_content_charset("utf-8") != "utf-8":
        raise Refused(415, "Send the operation as application/json, in UTF-8.")


def _check_site(request: Request, allowed_origins: Collection[str]) -> None:
    """Refuse what a page of another origin makes a browser ask without asking us first."""
    headers = request.headers
    if any(name in headers for name in PREFLIGHT_HEADERS) or headers.get("content-type") == "application/json":
        return
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if origin is not None:
        is_ours = is_same_origin(origin, headers.get("host")) or normalize_origin(origin) in allowed_origins
    else:
        # A browser that navigates to the page of GraphiQL shows it to its user alone.
        is_ours = site is None or site in _OWN_SITES or headers.get("sec-fetch-mode") == "navigate"
    if not is_ours:
        raise Refused(
            403,
            f"Pages of other origins ask by POST, or send the header {PREFLIGHT_HEADERS[0]}, or stand in CORS_ORIGINS.",
            ErrorCode.FORBIDDEN,
        )


class Body:
    """Receives a request whose body may have so many bytes, and take so long.

    Args:
        request: Whose body.
        receive: Gives its parts.
        max_bytes: How many bytes it may have.
        seconds: How long it may take, from now on.
    """

    def __init__(self, request: Request, receive: Receive, *, max_bytes: int, seconds: float = BODY_SECONDS) -> None:
        self.max_bytes = max_bytes
        self._announced = request.headers.get("content-length", "")
        self._receive = receive
        self._deadline = asyncio.get_running_loop().time() + seconds
        self._seconds = seconds
        self._received = 0
        self._is_whole = False

    async def __call__(self) -> Message:
        """Give the next part.

        Raises:
            Refused: When there is more than may be, or it does not come in time.
        """
        if self._is_whole:
            return await self._receive()
        if self._announced.isdecimal() and int(self._announced) > self.max_bytes:
            raise self._too_large(int(self._announced))
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            reason = f"The body did not arrive within {self._seconds:g} seconds."
            raise Refused(408, reason, headers={"connection": "close"}) from None
        self._received += len(message.get("body", b""))
        self._is_whole = not message.get("more_body", False)
        if self._received > self.max_bytes:
            raise self._too_large(self._received)
        return message

    def _too_large(self, size: int) -> Refused:
        reason = f"The body has {size} bytes or more, and at most {self.max_bytes} are taken."
        return Refused(413, reason, ErrorCode.QUERY_TOO_COMPLEX, {"connection": "close"})
