"""GraphQL over HTTP and WebSocket, on one path.

Seams, checked with strawberry-graphql 0.341: `strawberry.asgi.GraphQL` and its overridable methods, and
`BaseGraphQLTransportWSHandler` in `websocket.py`.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from email.message import Message
from typing import Any, cast

import orjson
import structlog
from cross_web import AsyncHTTPRequestAdapter, HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.http import GraphQLHTTPResponse, GraphQLRequestData
from strawberry.http.base import BaseRequestProtocol
from strawberry.http.types import QueryParams
from strawberry.schema.base import BaseSchema
from strawberry.schema.exceptions import InvalidOperationTypeError
from strawberry.subscriptions import (
    GRAPHQL_SSE_PROTOCOL,
    GRAPHQL_TRANSPORT_WS_PROTOCOL,
    MULTIPART_SUBSCRIPTION_PROTOCOL,
)
from strawberry.types.graphql import OperationType

from graphql_api.context import Context, Engines
from graphql_api.kit import metrics
from graphql_api.kit.correlation import current_request_id
from graphql_api.kit.errors import BROKEN, ErrorCode, Overloaded
from graphql_api.kit.pool import NoConnection
from graphql_api.transport.credentials import address_of, signed_in
from graphql_api.transport.graphiql_page import GraphiQL
from graphql_api.transport.streams import Multipart, ServerSentEvents
from graphql_api.transport.websocket import WebSocketAdapter, WebSocketHandler

INIT_TIMEOUT = timedelta(seconds=10)
"""How long a WebSocket may take to say who it is."""

_OVERLOADED = ErrorCode.OVERLOADED.value
_CONNECTIONS = metrics.gauge("websocket_connections", "WebSockets that are open.")

_log = structlog.get_logger()


class GraphQLApp(GraphQL[Context, None]):
    """The GraphQL endpoint.

    Args:
        schema: What it serves.
        engines: What its resolvers use.
        graphiql: The page for browsers; None for no page.
        allowed_origins: Other origins whose pages may open a WebSocket.
        init_timeout: How long a WebSocket may take to say who it is.
    """

    graphql_transport_ws_handler_class = WebSocketHandler
    websocket_adapter_class = WebSocketAdapter

    def __init__(
        self,
        schema: BaseSchema,
        engines: Engines,
        *,
        graphiql: GraphiQL | None,
        allowed_origins: Sequence[str] = (),
        init_timeout: timedelta = INIT_TIMEOUT,
    ) -> None:
        super().__init__(
            schema,
            subscription_protocols=[
                GRAPHQL_TRANSPORT_WS_PROTOCOL,
                MULTIPART_SUBSCRIPTION_PROTOCOL,
                GRAPHQL_SSE_PROTOCOL,
            ],
            connection_init_wait_timeout=init_timeout,
            allowed_origins=allowed_origins,
        )
        self.stream_transport_classes_by_protocol = {
            MULTIPART_SUBSCRIPTION_PROTOCOL: Multipart,
            GRAPHQL_SSE_PROTOCOL: ServerSentEvents,
        }
        self.engines = engines
        self._graphiql = graphiql

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or one WebSocket; refusals are JSON like every other answer."""
        if scope["type"] == "http":
            await self._answer(scope, receive, send)
            return
        try:
            with _CONNECTIONS.track_inprogress():
                await super().__call__(scope, receive, send)
        except Exception:  # noqa: BLE001 - whatever broke, the client is told, and the server goes on
            _log.exception("websocket_failed")
            with suppress(RuntimeError, OSError):
                await send({"type": "websocket.close", "code": 1011, "reason": "Internal error"})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            _check(request)
            response = await self.run(request)
        except HTTPException as error:
            response = _refusal(error)
        except ClientDisconnect:
            return
        except NoConnection:
            response = _error(503, Overloaded().message, ErrorCode.OVERLOADED)
            response.headers["retry-after"] = str(Overloaded.retry_after)
        except Exception:  # noqa: BLE001 - whatever broke, the client is told, and the server goes on
            _log.exception("request_failed")
            response = _error(500, BROKEN, ErrorCode.INTERNAL_ERROR)
        await response(scope, receive, send)

    async def get_context(self, request: HTTPConnection, response: Response | WebSocket) -> Context:  # noqa: ARG002 - the signature is Strawberry's
        """Make the context of a request, or of a connection until its `connection_init`."""
        return await signed_in(self.engines, request.headers.get("authorization"), address=address_of(request))

    def should_render_graphql_ide(self, request: BaseRequestProtocol) -> bool:
        """Show the page to those who ask for HTML, and to nobody else."""
        is_page = request.method == "GET" and request.query_params.get("query") is None
        return is_page and "text/html" in request.headers.get("accept", "")

    async def render_graphql_ide(self, request: Request) -> Response:
        """Show GraphiQL."""
        if self._graphiql is None:
            raise HTTPException(404, "There is no page here.")
        return await self._graphiql.page(request)

    async def parse_http_body(self, request: AsyncHTTPRequestAdapter) -> GraphQLRequestData | list[GraphQLRequestData]:
        """Read the operation of a request."""
        read = await super().parse_http_body(request)
        if isinstance(read, GraphQLRequestData) and not isinstance(read.operation_name, str | None):
            raise HTTPException(400, "The GraphQL operation's `operationName` must be a string or null, if provided.")
        return read

    def parse_query_params(self, params: QueryParams) -> dict[str, Any]:
        """Read the query string; variables and extensions that are empty were not given."""
        given = {name: value for name, value in params.items() if value or name not in {"variables", "extensions"}}
        return super().parse_query_params(given)

    def parse_json(self, data: str | bytes) -> Any:  # noqa: ANN401 - the signature is Strawberry's
        """Read a body, variables or extensions: each is an object."""
        value = super().parse_json(data)
        if isinstance(value, list):
            raise HTTPException(400, "One operation a request: a list of them is not taken.")
        if not isinstance(value, dict):
            raise HTTPException(400, "The body is a JSON object, and so are variables and extensions.")
        return value

    def decode_json(self, data: str | bytes) -> object:
        """Read JSON strictly."""
        return orjson.loads(data)

    def encode_json(self, data: object) -> str:
        """Write JSON; as text, since bytes would make binary WebSocket frames."""
        return orjson.dumps(data, default=_mapping).decode()

    def create_response(
        self, response_data: GraphQLHTTPResponse | list[GraphQLHTTPResponse], sub_response: Response
    ) -> Response:
        """Answer with what the operation gave; nothing of it may be kept by caches on the way."""
        response = super().create_response(response_data, sub_response)
        response.headers["cache-control"] = "no-store"
        if isinstance(response_data, dict) and _is_overloaded(response_data):
            response.status_code = 503
            response.headers["retry-after"] = str(Overloaded.retry_after)
        return response


def _is_overloaded(answer: GraphQLHTTPResponse) -> bool:
    """Tell whether nothing of an operation was run, so that it may be sent again as it is."""
    told = cast("Sequence[Mapping[str, Any]]", answer.get("errors") or ())
    data = answer.get("data")
    has_run = data is not None and any(value is not None for value in data.values())
    # Below the root, a resolver has run whose field is null only for what is missing in it.
    is_at_root = all(len(error.get("path") or ()) <= 1 for error in told)
    return not has_run and is_at_root and any(error["extensions"]["code"] == _OVERLOADED for error in told)


def _check(request: Request) -> None:
    """Refuse early what can't be an operation, before anything is looked up for it."""
    if request.method not in {"GET", "POST"}:
        raise HTTPException(405, "GraphQL takes GET and POST.")
    if request.method == "GET":
        return
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise HTTPException(415, "Send the body as it is, without a content encoding.")
    content = Message()
    content["content-type"] = request.headers.get("content-type", "").encode("ascii", "replace").decode()
    if content.get_content_type() != "application/json" or content.get_content_charset("utf-8") != "utf-8":
        raise HTTPException(415, "Send the operation as application/json, in UTF-8.")


def _refusal(error: HTTPException) -> Response:
    status, reason, allowed = error.status_code, error.reason, "GET, POST"
    cause = error.__cause__
    if isinstance(cause, InvalidOperationTypeError) and cause.operation_type is OperationType.MUTATION:
        status, reason, allowed = 405, "A mutation takes POST.", "POST"
    elif isinstance(cause, InvalidOperationTypeError):
        reason = (
            "Subscriptions run over WebSocket as graphql-transport-ws, or over HTTP with accept: text/event-stream or "
            "multipart/mixed;subscriptionSpec=1.0, on this path."
        )
    response = _error(status, reason, ErrorCode.VALIDATION_FAILED)
    if status == 405:  # noqa: PLR2004 - Method Not Allowed
        response.headers["allow"] = allowed
    return response


def _error(status: int, message: str, code: ErrorCode) -> Response:
    error = {"message": message, "extensions": {"code": code.value, "requestId": current_request_id()}}
    return Response(
        orjson.dumps({"errors": [error]}), status, {"cache-control": "no-store"}, media_type="application/json"
    )


def _mapping(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(type(value).__name__)
