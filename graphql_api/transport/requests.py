"""What a request has to be before anything is done for it, and the operation that it asks for."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from email.message import Message as Header
from types import NoneType
from typing import Any

import orjson
from starlette.datastructures import QueryParams
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive
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

_PARAMETERS = (
    ("query", (str, NoneType), "a string"),
    ("operationName", (str, NoneType), "a string"),
    ("documentId", (str, NoneType), "a string"),
    ("variables", (dict, NoneType), "an object"),
    ("extensions", (dict, NoneType), "an object"),
)
_MEDIA_TYPES = frozenset({b"accept", b"content-type"})
_OWN_SITES = frozenset({"same-origin", "none"})


class Refused(Exception):
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
        super().__init__(reason)
        self.status, self.reason = status, reason
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
    """A body that may have so many bytes, and take so long.

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

    async def read(self) -> bytes:
        """Read all of it.

        Raises:
            Refused: When there is more than may be, or it does not come in time.
            ClientDisconnect: When nobody waits for the answer any more.
        """
        if self._announced.isdecimal() and int(self._announced) > self.max_bytes:
            raise self._too_large(int(self._announced))
        try:
            async with asyncio.timeout_at(self._deadline):
                return await self._read()
        except TimeoutError:
            reason = f"The body did not arrive within {self._seconds:g} seconds."
            raise Refused(408, reason, headers={"connection": "close"}) from None

    async def _read(self) -> bytes:
        parts, size = [], 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            part = message.get("body", b"")
            size += len(part)
            if size > self.max_bytes:
                raise self._too_large(size)
            parts.append(part)
            if not message.get("more_body", False):
                return b"".join(parts)

    def _too_large(self, size: int) -> Refused:
        reason = f"The body has {size} bytes or more, and at most {self.max_bytes} are taken."
        return Refused(413, reason, ErrorCode.QUERY_TOO_COMPLEX, {"connection": "close"})


@dataclass(frozen=True, slots=True)
class Asked:
    """An operation as it was asked for.

    Attributes:
        query: Its text; None when it is only named.
        variables: Of the operation.
        operation_name: Of the one to run, where there are several in the text.
        extensions: `persistedQuery` names the operation by its hash, and `cost` asks what it costs.
        document_id: Names it in a manifest.
    """

    query: str | None
    variables: dict[str, Any] | None
    operation_name: str | None
    extensions: dict[str, Any] | None
    document_id: str | None


def from_body(body: bytes) -> Asked:
    """Read an operation that was sent by POST.

    Raises:
        Refused: When it is none.
    """
    return _asked(_object(body, "The body"))


def from_query(params: QueryParams) -> Asked:
    """Read an operation that was sent by GET; variables and extensions that are empty were not given.

    Raises:
        Refused: When it is none.
    """
    given: dict[str, Any] = dict(params)
    for name in ("variables", "extensions"):
        if name in given:
            given[name] = _object(given[name], f"The parameter `{name}`") if given[name] else None
    return _asked(given)


def _object(text: bytes | str, what: str) -> dict[str, Any]:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Refused(400, f"{what} is not JSON: {error.msg} at character {error.pos + 1}.") from None
    if not isinstance(value, dict):
        raise Refused(400, f"{what} has to be one JSON object, and no list.")
    return value


def _asked(given: Mapping[str, Any]) -> Asked:
    for name, type_, words in _PARAMETERS:
        if not isinstance(given.get(name), type_):
            raise Refused(400, f"`{name}` is {words}, or null, or left out.")
    return Asked(
        given.get("query"),
        given.get("variables"),
        given.get("operationName"),
        given.get("extensions"),
        given.get("documentId"),
    )
