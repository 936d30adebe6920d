"""GraphQL over HTTP and WebSocket, on one path.

Seams, checked with strawberry-graphql 0.341: `strawberry.asgi.GraphQL` and its overridable methods, and
`BaseGraphQLTransportWSHandler` in `websocket.py`.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import orjson
from cross_web import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.http import GraphQLHTTPResponse
from strawberry.http.base import BaseRequestProtocol
from strawberry.schema.base import BaseSchema
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL

from graphql_api.context import Context, Engines
from graphql_api.kit.errors import ErrorCode
from graphql_api.transport.credentials import signed_in
from graphql_api.transport.graphiql_page import GraphiQL
from graphql_api.transport.websocket import WebSocketHandler

INIT_TIMEOUT = timedelta(seconds=10)
"""How long a WebSocket may take to say who it is."""


class GraphQLApp(GraphQL[Context, None]):
    """The GraphQL endpoint.

    Args:
        schema: What it serves.
        engines: What its resolvers use.
        graphiql: The page for browsers; None for no page.
        allowed_origins: Other origins whose pages may open a WebSocket.
    """

    graphql_transport_ws_handler_class = WebSocketHandler

    def __init__(
        self, schema: BaseSchema, engines: Engines, *, graphiql: GraphiQL | None, allowed_origins: Sequence[str] = ()
    ) -> None:
        super().__init__(
            schema,
            graphql_ide="graphiql" if graphiql else None,
            subscription_protocols=[GRAPHQL_TRANSPORT_WS_PROTOCOL],
            connection_init_wait_timeout=INIT_TIMEOUT,
            allowed_origins=allowed_origins,
        )
        self.engines = engines
        self._graphiql = graphiql

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or one WebSocket; refusals are JSON like every other answer."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        try:
            response = await self.run(Request(scope, receive))
        except HTTPException as error:
            response = _refusal(error.status_code, error.reason or "The request can't be read.")
        await response(scope, receive, send)

    async def get_context(self, request: HTTPConnection, response: Response | WebSocket) -> Context:  # noqa: ARG002 - the signature is Strawberry's
        """Make the context of a request, or of a connection until its `connection_init`."""
        return await signed_in(self.engines, request.headers.get("authorization"))

    def should_render_graphql_ide(self, request: BaseRequestProtocol) -> bool:
        """Show the page to those who ask for HTML, and to nobody else."""
        is_page = request.method == "GET" and request.query_params.get("query") is None
        return is_page and "text/html" in request.headers.get("accept", "")

    async def render_graphql_ide(self, request: Request) -> Response:
        """Show GraphiQL."""
        if self._graphiql is None:
            raise HTTPException(404, "There is no page here.")
        return await self._graphiql.page(request)

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
        return response


def _refusal(status: int, reason: str) -> Response:
    error: Mapping[str, Any] = {"message": reason, "extensions": {"code": ErrorCode.VALIDATION_FAILED.value}}
    headers = {"allow": "GET, POST"} if status == 405 else None  # noqa: PLR2004 - Method Not Allowed
    return Response(orjson.dumps({"errors": [error]}), status, headers, "application/json")


def _mapping(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(type(value).__name__)
