"""GraphQL over HTTP and WebSocket, on one path.

Seams, checked with strawberry-graphql 0.341: `strawberry.asgi.GraphQL` and its overridable methods, its
`_get_stream_transport_from_headers` and `_create_streaming_response`, and `BaseGraphQLTransportWSHandler` in
`websocket.py`.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache, partial
from typing import Any, cast

import orjson
import structlog
from cross_web import AsyncHTTPRequestAdapter, HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.http import GraphQLHTTPResponse, GraphQLRequestData, GraphQLRequestProtocol
from strawberry.http.base import BaseRequestProtocol
from strawberry.http.types import QueryParams
from strawberry.schema.base import BaseSchema
from strawberry.subscriptions import (
    GRAPHQL_SSE_PROTOCOL,
    GRAPHQL_TRANSPORT_WS_PROTOCOL,
    MULTIPART_SUBSCRIPTION_PROTOCOL,
)
from strawberry.types.execution import ExecutionResult, PreExecutionError, SubscriptionExecutionResult

from graphql_api.context import Context, Engines
from graphql_api.kit import metrics
from graphql_api.kit.errors import BROKEN, DomainError, ErrorCode
from graphql_api.kit.overload import overload
from graphql_api.transport.answers import (
    JSON,
    failure,
    is_refusal,
    media_type,
    rate_headers,
    refusal,
    status_of,
    top_level,
    wants_cost,
)
from graphql_api.transport.credentials import address_of, signed_in
from graphql_api.transport.delivery.delivery import Delivery
from graphql_api.transport.delivery.json import to_json
from graphql_api.transport.graphiql_page import GraphiQL
from graphql_api.transport.persisted import PersistedOperations
from graphql_api.transport.requests import ANONYMOUS_BODY_BYTES, Body, Refused, check, check_media_types
from graphql_api.transport.streams import Multipart, ServerSentEvents, Stream, StreamTransport
from graphql_api.transport.websocket import WebSocketAdapter, WebSocketHandler

INIT_TIMEOUT = timedelta(seconds=10)
"""How long a WebSocket may take to say who it is."""

MAX_ACCEPTED = 256
"""Values of `accept` of which is remembered whether they ask for a stream."""

MAX_BODY_BYTES = 4 * 1024 * 1024

COST_HEADER = "graphql-cost"
"""With this header, whatever its value, the answer's `extensions` tell what the operation costs."""

_BODY = "orchestrator.body"
"""Under which a request's scope has what receives its body."""

_DELIVERY = "orchestrator.delivery"
"""Under which the scope of a request for a stream has what its events are delivered by."""

_CONNECTIONS = metrics.gauge("websocket_connections", "WebSockets that are open.")

_log = structlog.get_logger()


_PARAMETERS: tuple[tuple[str, type, str], ...] = (
    ("query", str, "a string"),
    ("operationName", str, "a string"),
    ("documentId", str, "a string"),
    ("variables", dict, "an object"),
    ("extensions", dict, "an object"),
)


@dataclass
class RequestData(GraphQLRequestData):
    """An operation as it was asked for.

    Attributes:
        document_id: Names one of a manifest.
        delivery: Of its events, when they are to be streamed.
    """

    document_id: str | None = None
    delivery: Delivery | None = None

    def __post_init__(self) -> None:
        """Let the events be taken over."""
        if self.delivery is not None:
            self.extensions = {**(self.extensions or {}), **self.delivery.takeover.as_extensions()}


class GraphQLApp(GraphQL[Context, None]):
    """The GraphQL endpoint.

    Args:
        schema: What it serves.
        engines: What its resolvers use.
        graphiql: The page for browsers; None for no page.
        allowed_origins: Other origins whose pages may open a WebSocket.
        init_timeout: How long a WebSocket may take to say who it is.
        max_body_bytes: The most that a body may have of those who signed in; of others, 1 MiB at most.
        persisted: Operations that are named instead of sent; automatic persisted queries alone when None.
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
        max_body_bytes: int = MAX_BODY_BYTES,
        persisted: PersistedOperations | None = None,
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
        self._stream_of = lru_cache(MAX_ACCEPTED)(
            lambda accept: self._get_stream_transport_from_headers({"accept": accept})
        )
        self.engines = engines
        self._graphiql = graphiql
        self._max_body_bytes = max_body_bytes
        self.persisted = persisted or PersistedOperations()

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
        request, chosen = Request(scope, receive), JSON
        try:
            check_media_types(request)
            chosen = media_type(request.headers.get("accept", ""))
            check(request, self.allowed_origins)
            body = Body(request, receive, max_bytes=min(ANONYMOUS_BODY_BYTES, self._max_body_bytes))
            response = await self.run(Request({**scope, _BODY: body}, body))
        except HTTPException as error:
            response = refusal(error, chosen)
        except ClientDisconnect:
            return
        except Exception as error:  # noqa: BLE001 - whatever broke, the client is told, and the server goes on
            response = _broken(error)
        await response(scope, receive, send)

    async def get_context(self, request: HTTPConnection, response: Response | WebSocket) -> Context:  # noqa: ARG002 - the signature is Strawberry's
        """Make the context of a request, or of a connection until its `connection_init`."""
        headers = request.headers
        context = await signed_in(self.engines, headers.get("authorization"), address=address_of(request))
        context.wants_cost = COST_HEADER in headers
        if context.signed_in is not None and _BODY in request.scope:
            request.scope[_BODY].max_bytes = self._max_body_bytes
        return context

    def should_render_graphql_ide(self, request: BaseRequestProtocol) -> bool:
        """Show the page to those who ask for HTML, and to nobody else."""
        is_page = request.method == "GET" and request.query_params.get("query") is None
        return is_page and "text/html" in request.headers.get("accept", "")

    async def render_graphql_ide(self, request: Request) -> Response:
        """Show GraphiQL."""
        if self._graphiql is None:
            raise Refused(404, "There is no page here.")
        return await self._graphiql.page(request)

    async def parse_http_body(self, request: AsyncHTTPRequestAdapter) -> GraphQLRequestData | list[GraphQLRequestData]:
        """Read the operation of a request."""
        transport = self._stream_of(request.headers.get("accept", ""))
        if request.method == "GET":
            given = self.parse_query_params(request.query_params)
        else:
            given = self.parse_json(await request.get_body())
        for name, type_, words in _PARAMETERS:
            if not isinstance(given.get(name), type_ | None):
                raise Refused(400, f"The GraphQL operation's `{name}` must be {words} or null, if provided.")
        return RequestData(
            query=given.get("query"),
            variables=given.get("variables"),
            operation_name=given.get("operationName"),
            extensions=given.get("extensions"),
            protocol=transport.protocol if transport else "http",
            document_id=given.get("documentId"),
            delivery=Delivery(self.schema) if transport else None,
        )

    def parse_query_params(self, params: QueryParams) -> dict[str, Any]:
        """Read the query string; variables and extensions that are empty were not given."""
        given = {name: value for name, value in params.items() if value or name not in {"variables", "extensions"}}
        return super().parse_query_params(given)

    def parse_json(self, data: str | bytes) -> Any:  # noqa: ANN401 - the signature is Strawberry's
        """Read a body, variables or extensions: each is an object."""
        value = super().parse_json(data)
        if isinstance(value, list):
            raise Refused(400, "One operation a request: a list of them is not taken.")
        if not isinstance(value, dict):
            raise Refused(400, "The body is a JSON object, and so are variables and extensions.")
        return value

    def decode_json(self, data: str | bytes) -> object:
        """Read JSON strictly."""
        return orjson.loads(data)

    def encode_json(self, data: object) -> str:
        """Write JSON; as text, since bytes would make binary WebSocket frames."""
        return to_json(data).decode()

    async def get_sub_response(self, request: Request | WebSocket) -> Response:
        """Begin the answer; nothing of it may be kept by caches on the way."""
        response = await super().get_sub_response(request)
        response.media_type = media_type(request.headers.get("accept", ""))
        response.headers["cache-control"] = "no-store"
        return response

    async def execute_operation(
        self,
        request: Request,
        request_adapter: AsyncHTTPRequestAdapter,
        request_data: GraphQLRequestData | list[GraphQLRequestData],
        context: Context,
        root_value: None,
        sub_response: Response,
    ) -> ExecutionResult | list[ExecutionResult] | SubscriptionExecutionResult:
        """Run an operation, and choose the status and the headers of its answer."""
        try:
            if isinstance(request_data, RequestData):
                given = request_data
                request.scope[_DELIVERY] = given.delivery
                context.wants_cost = context.wants_cost or wants_cost(given.extensions)
                given.query = self.persisted.text(given.query, given.document_id, given.extensions, context)
        except DomainError as error:
            result: Any = PreExecutionError(data=None, errors=[top_level(error, context.request_id)])
        else:
            result = await super().execute_operation(
                request, request_adapter, request_data, context, root_value, sub_response
            )
        if isinstance(result, ExecutionResult):
            sub_response.status_code = status_of(result, sub_response.media_type or JSON)
            sub_response.headers.update(rate_headers(result, context))
        return cast("ExecutionResult", result)

    async def process_result(self, request: Request, result: ExecutionResult) -> GraphQLHTTPResponse:
        """Give the parts of an answer; where nothing ran there are no data."""
        processed = await super().process_result(request, result)
        if is_refusal(result):
            processed.pop("data", None)
        return processed

    async def _create_streaming_response(
        self,
        request: Request,
        result: SubscriptionExecutionResult,
        protocol: GraphQLRequestProtocol,
        sub_response: Response,
    ) -> Response:
        """Answer with a stream of what the operation gives."""
        return Stream(
            cast("StreamTransport", self._get_stream_transport(protocol)),
            cast("AsyncGenerator[ExecutionResult, None]", result),
            request.scope[_DELIVERY],
            partial(self.process_result, request),
            status=sub_response.status_code or 200,
            headers=sub_response.headers,
        )

    def create_response(
        self, response_data: GraphQLHTTPResponse | list[GraphQLHTTPResponse], sub_response: Response
    ) -> Response:
        """Answer with what the operation gave."""
        headers = dict(sub_response.headers)
        return Response(to_json(response_data), sub_response.status_code, headers, sub_response.media_type)


def _broken(error: Exception) -> Response:
    overloaded = overload(error)
    if overloaded is not None:
        headers = {"retry-after": str(overloaded.retry_after)}
        return failure(503, overloaded.message, overloaded.code, headers=headers)
    _log.exception("request_failed", exc_info=error)
    return failure(500, BROKEN, ErrorCode.INTERNAL_ERROR)
