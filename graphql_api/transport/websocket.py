"""One WebSocket of `graphql-transport-ws`: who it is, and its operations."""

from collections.abc import Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from time import perf_counter
from typing import Any, cast
from uuid import uuid4

import structlog
from graphql import GraphQLError
from starlette.websockets import WebSocketDisconnect
from strawberry.asgi import ASGIWebSocketAdapter
from strawberry.http.exceptions import WebSocketDisconnected
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import (
    BaseGraphQLTransportWSHandler,
    Operation,
)
from strawberry.subscriptions.protocols.graphql_transport_ws.types import (
    ConnectionInitMessage,
    Message,
    SubscribeMessage,
)
from strawberry.types.execution import ExecutionResult

from graphql_api.context import Context
from graphql_api.identity.sessions import DISABLED
from graphql_api.kit.correlation import current_request_id
from graphql_api.kit.errors import BROKEN, DomainError, ErrorCode
from graphql_api.kit.overload import overload
from graphql_api.transport.answers import is_refusal, top_level, wants_cost
from graphql_api.transport.credentials import for_operation, signed_in
from graphql_api.transport.delivery.delivery import Delivery
from graphql_api.transport.delivery.outlets import outlet_of
from graphql_api.transport.delivery.tally import tally
from graphql_api.transport.persisted import PersistedOperations

UNAUTHORIZED = 4401

_MAX_REASON_BYTES = 123
"""What a close frame takes; with more the connection would break instead of closing."""

_log = structlog.get_logger()


class WebSocketAdapter(ASGIWebSocketAdapter):
    """The connection under the protocol."""

    async def close(self, code: int, reason: str) -> None:
        """Close the connection, unless it is closed already."""
        short = reason.encode()[:_MAX_REASON_BYTES].decode(errors="ignore")
        with suppress(RuntimeError, WebSocketDisconnect):
            await super().close(code, short)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What names an operation; Strawberry hands it on in the place of its text.

    Attributes:
        text: As it was sent; None when it was only named.
        document_id: Names it in a manifest.
        extensions: Of the operation; `persistedQuery` names it by its hash.
    """

    text: str | None
    document_id: str | None
    extensions: dict[str, Any] | None


class WebSocketHandler(BaseGraphQLTransportWSHandler[Context, None]):
    """One connection."""

    async def handle_message(self, message: Message) -> None:
        """Take one message; what is none of the protocol's closes the connection."""
        payload: object = message
        if not isinstance(payload, dict) or not isinstance(payload.get("type"), str):
            await self.handle_invalid_message("A message is an object with a type.")
        elif payload["type"] in {"subscribe", "complete"} and not _is_text(payload.get("id")):
            await self.handle_invalid_message("The id of an operation is a text that is not empty.")
        elif payload["type"] == "subscribe" and not _is_operation(payload.get("payload")):
            await self.handle_invalid_message("An operation has a query, and variables that are an object.")
        else:
            await super().handle_message(message)

    async def handle_connection_init(self, message: ConnectionInitMessage) -> None:
        """Take the credentials of the connection; wrong ones close it, so that the client opens another."""
        payload: object = message.get("payload")
        if payload is None:
            payload = {}
        if isinstance(payload, dict) and not self.connection_init_received:
            credentials = _credentials(payload)
            if credentials:
                self.context = await signed_in(self.context.engines, credentials, address=self.context.address)
            if self.context.refusal is not None:
                await self.websocket.close(code=UNAUTHORIZED, reason="Unauthorized")
                return
        await super().handle_connection_init(cast("ConnectionInitMessage", {**message, "payload": payload}))
        if self.connection_acknowledged:
            self.connection_init_timeout_task = None  # a task that was cancelled keeps its frames
        if self.connection_acknowledged and self.context.signed_in is not None:
            self.context.engines.presence.enter(self.context.signed_in.user_id, self.leave)

    async def shutdown(self) -> None:
        """Let go of the connection."""
        if self.context.signed_in is not None:
            self.context.engines.presence.exit(self.context.signed_in.user_id, self.leave)
        await super().shutdown()

    async def leave(self) -> None:
        """End a connection whose user was disabled: each operation is told, then it closes."""
        for operation in list(self.operations.values()):
            if operation.task is not None:
                operation.task.cancel()
            with suppress(WebSocketDisconnected):
                await operation.send_initial_errors([_error(DISABLED, ErrorCode.UNAUTHENTICATED, uuid4().hex)])
        await self.websocket.close(code=UNAUTHORIZED, reason="Unauthorized")

    async def handle_subscribe(self, message: SubscribeMessage) -> None:
        """Begin an operation, unless the connection has as many as it may."""
        limit = self.max_subscriptions_per_connection
        if limit is not None and len(self.operations) >= limit and message["id"] not in self.operations:
            told = f"At most {limit} operations run at once on a connection: end others first."
            error = _error(told, ErrorCode.QUOTA_EXCEEDED, current_request_id())
            await self.send_message({"id": message["id"], "type": "error", "payload": [error.formatted]})
            return
        payload = cast("dict[str, Any]", message["payload"])
        # With the operation, and nowhere else: one that ends before it began leaves nothing behind.
        asked = _Asked(payload.get("query"), payload.get("documentId"), payload.get("extensions"))
        await super().handle_subscribe(cast("SubscribeMessage", {**message, "payload": {**payload, "query": asked}}))
        message.clear()  # type: ignore[attr-defined]  # a plain dict, which is kept while the next one is waited for

    async def run_operation(self, operation: Operation[Context, None]) -> None:
        """Run one operation to its end; an error in it is its own and never the connection's."""
        context, started_at = self.context, perf_counter()
        try:
            context = await for_operation(self.context)
            await self._run(operation, context)
        except WebSocketDisconnected:
            self.operations.pop(operation.id, None)
        except Exception as error:  # noqa: BLE001 - whatever broke, the client is told, and the connection goes on
            with suppress(WebSocketDisconnected):
                await operation.send_initial_errors([_broken(error, context)])
        finally:
            _log.info("operation_ended", milliseconds=round((perf_counter() - started_at) * 1000, 1))

    def _text(self, operation: Operation[Context, None], context: Context) -> str | None:
        """Find the text of an operation, which may only be named."""
        asked = cast("_Asked", cast("object", operation.query))
        context.wants_cost = wants_cost(asked.extensions)
        persisted: PersistedOperations = self.view.persisted  # type: ignore[attr-defined]  # of GraphQLApp
        return persisted.text(asked.text, asked.document_id, asked.extensions, context)

    async def _run(self, operation: Operation[Context, None], context: Context) -> None:
        try:
            text = self._text(operation, context)
        except DomainError as error:
            await operation.send_initial_errors([top_level(error, context.request_id)])
            return
        outlet = outlet_of(cast("ASGIWebSocketAdapter", self.websocket).ws, operation.id)
        delivery = Delivery(self.schema)
        results = await self.schema.stream(
            text,
            variable_values=operation.variables,
            context_value=context,
            operation_name=operation.operation_name,
            operation_extensions=delivery.takeover.as_extensions(),
        )
        tally.begin(delivery)
        try:
            async with aclosing(results):
                async for each in results:
                    result = cast("ExecutionResult", each)  # the only kind, since @defer and @stream are not turned on
                    if not delivery.begins():
                        if is_refusal(result):
                            await operation.send_initial_errors(result.errors or [])
                            return
                        await operation.send_next(result)
                    while written := await delivery.batch():
                        await outlet.send(written)
                        del written
        finally:
            tally.end(delivery)
        await operation.send_operation_message({"id": operation.id, "type": "complete"})


def _error(message: str, code: ErrorCode, request_id: str) -> GraphQLError:
    return GraphQLError(message, extensions={"code": code.value, "requestId": request_id})


def _broken(error: Exception, context: Context) -> GraphQLError:
    """Tell what broke an operation, as far as that is the caller's business."""
    overloaded = overload(error, request_id=context.request_id)
    if overloaded is not None:
        return top_level(overloaded, context.request_id)
    _log.exception("operation_broke", request_id=context.request_id, exc_info=error)
    return _error(BROKEN, ErrorCode.INTERNAL_ERROR, context.request_id)


def _credentials(payload: Mapping[str, Any]) -> str | None:
    """Find the token in the payload of `connection_init`, under any of the names that clients use."""
    headers = next((value for name, value in payload.items() if name.lower() == "headers"), None)
    for fields in (payload, headers):
        if isinstance(fields, dict):
            for name, value in fields.items():
                if name.lower() in {"authorization", "token"} and isinstance(value, str) and value:
                    return value
    return None


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_sent(payload: Mapping[str, Any]) -> bool:
    """Tell whether an operation has to come with its text, since nothing names it."""
    extensions = payload.get("extensions")
    is_hashed = isinstance(extensions, dict) and "persistedQuery" in extensions
    return payload.get("documentId") is None and not is_hashed


def _is_operation(value: object) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("query"), str if _is_sent(value) else str | None)
        and isinstance(value.get("documentId"), str | None)
        and isinstance(value.get("variables"), dict | None)
        and isinstance(value.get("extensions"), dict | None)
        and isinstance(value.get("operationName"), str | None)
    )
