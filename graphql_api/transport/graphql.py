"""GraphQL over HTTP and WebSocket, on one path.

Requests over HTTP are run here, WebSockets by Strawberry. Seams, checked with strawberry-graphql 0.341:
`strawberry.asgi.GraphQL`, its `get_context`, `decode_json` and `encode_json`, what `Schema.execute` raises, and
`BaseGraphQLTransportWSHandler` in `websocket.py`.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import cast

import orjson
import structlog
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.exceptions import MissingQueryError
from strawberry.http.types import HTTPMethod
from strawberry.schema.base import BaseSchema
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.types.execution import ExecutionResult, PreExecutionError
from strawberry.types.graphql import OperationType

from graphql_api.context import Context, Engines
from graphql_api.kit import metrics
from graphql_api.kit.errors import BROKEN, DomainError, ErrorCode
from graphql_api.kit.overload import overload
from graphql_api.transport.answers import JSON, failure, media_type, refusal, top_level, wants_cost, whole
from graphql_api.transport.credentials import address_of, signed_in
from graphql_api.transport.delivery.delivery import Delivery
from graphql_api.transport.delivery.json import to_json
from graphql_api.transport.graphiql_page import GraphiQL
from graphql_api.transport.persisted import PersistedOperations
from graphql_api.transport.requests import (
    ANONYMOUS_BODY_BYTES,
    Asked,
    Body,
    Refused,
    check,
    check_media_types,
    from_body,
    from_query,
)
from graphql_api.transport.streams import Stream, StreamTransport, stream_transport
from graphql_api.transport.websocket import WebSocketAdapter, WebSocketHandler

INIT_TIMEOUT = timedelta(seconds=10)
"""How long a WebSocket may take to say who it is."""

MAX_BODY_BYTES = 4 * 1024 * 1024

COST_HEADER = "graphql-cost"
"""With this header, whatever its value, the answer's `extensions` tell what the operation costs."""

_SUBSCRIPTION_BY_JSON = (
    "Subscriptions run over WebSocket as graphql-transport-ws, or over HTTP with accept: text/event-stream or "
    "multipart/mixed;subscriptionSpec=1.0, on this path."
)

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
            subscription_protocols=[GRAPHQL_TRANSPORT_WS_PROTOCOL],
            connection_init_wait_timeout=init_timeout,
            allowed_origins=allowed_origins,
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
            response = await self._run(request, body, chosen)
        except Refused as error:
            response = refusal(error, chosen)
        except ClientDisconnect:
            return
        except Exception as error:  # noqa: BLE001 - whatever broke, the client is told, and the server goes on
            response = _broken(error)
        await response(scope, receive, send)

    async def _run(self, request: Request, body: Body, chosen: str) -> Response:
        """Run what a request asks for, and begin the answer."""
        context = await self.get_context(request)
        if context.signed_in is not None:
            body.max_bytes = self._max_body_bytes
        method, accept = cast("HTTPMethod", request.method), request.headers.get("accept", "")
        if method == "GET" and "text/html" in accept and "query" not in request.query_params:
            return await self._page(request)
        asked = from_query(request.query_params) if method == "GET" else from_body(await body.read())
        context.wants_cost = context.wants_cost or wants_cost(asked.extensions)
        try:
            text = self.persisted.text(asked.query, asked.document_id, asked.extensions, context)
        except DomainError as error:
            return whole(PreExecutionError(data=None, errors=[top_level(error, context.request_id)]), context, chosen)
        allowed, transport = OperationType.from_http(method), stream_transport(accept)
        if transport is None:
            return whole(await self._execute(asked, text, context, allowed), context, chosen)
        return await self._stream(transport, asked, text, context, allowed)

    async def _execute(
        self, asked: Asked, text: str | None, context: Context, allowed: set[OperationType]
    ) -> ExecutionResult:
        try:
            return await self.schema.execute(
                text,
                variable_values=asked.variables,
                context_value=context,
                operation_name=asked.operation_name,
                allowed_operation_types=allowed,
                operation_extensions=asked.extensions,
            )
        except MissingQueryError:
            raise Refused(400, "There is no operation in the request: send it as `query`.") from None
        except CannotGetOperationTypeError as error:
            raise Refused(400, error.as_http_error_reason()) from None
        except InvalidOperationTypeError as error:
            if error.operation_type is OperationType.MUTATION:
                raise Refused(405, "A mutation takes POST.", headers={"allow": "POST"}) from None
            raise Refused(400, _SUBSCRIPTION_BY_JSON) from None

    async def _stream(
        self,
        transport: StreamTransport,
        asked: Asked,
        text: str | None,
        context: Context,
        allowed: set[OperationType],
    ) -> Response:
        delivery = Delivery(self.schema)
        results = await self.schema.stream(
            text,
            variable_values=asked.variables,
            context_value=context,
            operation_name=asked.operation_name,
            operation_extensions={**(asked.extensions or {}), **delivery.takeover.as_extensions()},
            allowed_operation_types=transport.allowed_operation_types(allowed),
        )
        return Stream(transport, cast("AsyncGenerator[ExecutionResult, None]", results), delivery)

    async def get_context(self, request: HTTPConnection, response: Response | WebSocket | None = None) -> Context:  # noqa: ARG002 - the signature is Strawberry's
        """Make the context of a request, or of a connection until its `connection_init`."""
        headers = request.headers
        context = await signed_in(self.engines, headers.get("authorization"), address=address_of(request))
        context.wants_cost = COST_HEADER in headers
        return context

    async def _page(self, request: Request) -> Response:
        if self._graphiql is None:
            raise Refused(404, "There is no page here.")
        return await self._graphiql.page(request)

    def decode_json(self, data: str | bytes) -> object:
        """Read JSON strictly."""
        return orjson.loads(data)

    def encode_json(self, data: object) -> str:
        """Write JSON; as text, since bytes would make binary WebSocket frames."""
        return to_json(data).decode()


def _broken(error: Exception) -> Response:
    overloaded = overload(error)
    if overloaded is not None:
        headers = {"retry-after": str(overloaded.retry_after)}
        return failure(503, overloaded.message, overloaded.code, headers=headers)
    _log.exception("request_failed", exc_info=error)
    return failure(500, BROKEN, ErrorCode.INTERNAL_ERROR)
