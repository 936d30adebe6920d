"""One WebSocket of `graphql-transport-ws`: who it is, and its operations."""

from collections.abc import Mapping
from contextlib import aclosing
from typing import Any, cast

from graphql import GraphQLError
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import (
    BaseGraphQLTransportWSHandler,
    Operation,
)
from strawberry.subscriptions.protocols.graphql_transport_ws.types import ConnectionInitMessage, Message
from strawberry.types.execution import ExecutionResult, PreExecutionError

from graphql_api.context import Context
from graphql_api.transport.credentials import signed_in

UNAUTHORIZED = 4401


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
        credentials = _credentials(message.get("payload") or {})
        if credentials and not self.connection_init_received:
            self.context = await signed_in(self.context.engines, credentials)
            if self.context.refusal is not None:
                await self.websocket.close(code=UNAUTHORIZED, reason="Unauthorized")
                return
        await super().handle_connection_init(
            cast("ConnectionInitMessage", {**message, "payload": message.get("payload") or {}})
        )

    async def run_operation(self, operation: Operation[Context, None]) -> None:
        """Run one operation to its end; an error in it is its own and never the connection's."""
        results = await self.schema.stream(
            operation.query,
            variable_values=operation.variables,
            context_value=self.context.for_operation(),
            operation_name=operation.operation_name,
        )
        async with aclosing(results):
            async for result in results:
                if isinstance(result, PreExecutionError):
                    await operation.send_initial_errors(result.errors or [])
                    return
                if not isinstance(result, ExecutionResult):
                    await operation.send_initial_errors([GraphQLError("@defer and @stream are not supported here.")])
                    return
                await operation.send_next(result)
        await operation.send_operation_message({"id": operation.id, "type": "complete"})


def _credentials(payload: Mapping[str, Any]) -> str | None:
    """Find the token in the payload of `connection_init`, under any of the names that clients use."""
    for name, value in payload.items():
        if name.lower() in {"authorization", "token"} and isinstance(value, str):
            return value
        if name.lower() == "headers" and isinstance(value, dict):
            return _credentials(value)
    return None


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_operation(value: object) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("query"), str)
        and isinstance(value.get("variables") or {}, dict)
        and isinstance(value.get("operationName") or "", str)
    )
