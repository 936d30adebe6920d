"""The servers in Python that are compared: `servers.py product|product-asgi|strawberry|starlette`; prints its port."""

import socket
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from functools import partial
from typing import Any, cast

import orjson
import strawberry
import uvicorn
from source import Topics
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket, WebSocketDisconnect
from strawberry.asgi import GraphQL
from strawberry.schema.config import StrawberryConfig
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL

from graphql_api.authoring.types.proposal_events import PROPOSAL_EVENTS, ProposalEvent, proposal_event
from graphql_api.context import Engines
from graphql_api.events.records import StoredEvent
from graphql_api.kit import collector, logs
from graphql_api.kit.admission import Admission
from graphql_api.kit.batches import Batched
from graphql_api.kit.bounds import Caller
from graphql_api.kit.documents import Documents
from graphql_api.kit.execution import EventExecutor
from graphql_api.kit.types import SCALARS

# What the types of the product's events know of each other comes with the schema's own imports.
from graphql_api.schema import schema as _product  # noqa: F401 - see above
from graphql_api.transport.delivery.batching import BatchingProtocol
from graphql_api.transport.graphql import GraphQLApp

_TOPICS: Topics[ProposalEvent] = Topics(proposal_event)


@strawberry.type
class Query:
    """Nothing is queried."""

    nothing: int | None = None


@strawberry.type(name="Subscription")
class EventByEvent:
    """The product's own field and types, over events in memory."""

    @strawberry.subscription
    async def proposal_events(self, proposal_id: strawberry.ID) -> AsyncGenerator[ProposalEvent]:
        """Follow a log."""
        async for event in _TOPICS.follow(proposal_id):
            yield event


class _ForAnybody(Admission):
    caller = Caller()


@strawberry.type(name="Subscription")
class InBatches:
    """The same, as the product's log hands events on."""

    @strawberry.subscription
    async def proposal_events(self, proposal_id: strawberry.ID) -> AsyncIterator[ProposalEvent]:
        """Follow a log."""
        return Batched(_TOPICS.batches(proposal_id))


def _schema(subscription: type, **options: Any) -> strawberry.Schema:  # noqa: ANN401 - Strawberry's own
    return strawberry.Schema(
        Query,
        subscription=subscription,
        types=[*PROPOSAL_EVENTS.values()],
        config=StrawberryConfig(scalar_map=SCALARS),
        **options,
    )


def product() -> ASGIApp:
    """Make the product's endpoint."""
    collector.spare()
    schema = _schema(
        InBatches, execution_context_class=EventExecutor, extensions=[partial(_ForAnybody, Documents(), {})]
    )
    return GraphQLApp(schema, cast("Engines", None), graphiql=None)


def stock() -> ASGIApp:
    """Make Strawberry's own endpoint."""
    return GraphQL(_schema(EventByEvent), subscription_protocols=[GRAPHQL_TRANSPORT_WS_PROTOCOL])


def relay() -> ASGIApp:
    """Make an endpoint that parses no GraphQL: what is sent was made once for all subscribers."""
    topics = Topics(_payload())

    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept(subprotocol=GRAPHQL_TRANSPORT_WS_PROTOCOL)
        await websocket.receive_text()
        await websocket.send_text('{"type":"connection_ack"}')
        operation = orjson.loads(await websocket.receive_text())
        prefix = f'{{"id":"{operation["id"]}","type":"next","payload":'
        try:
            async for payload in topics.follow(operation["payload"]["variables"]["proposalId"]):
                await websocket.send_text(f"{prefix}{payload}}}")
        except WebSocketDisconnect:
            return

    return Starlette(routes=[WebSocketRoute("/graphql", endpoint)])


def _payload() -> Callable[[StoredEvent], str]:
    common = ("__typename", "cursor", "sequence", "occurredAt")
    names = {
        "AgentMessageCompleted": {"messageId": "message_id", "agent": "agent", "role": "role", "text": "text"},
        "ToolCallFinished": {
            "toolCallId": "tool_call_id",
            "agent": "agent",
            "name": "name",
            "status": "status",
            "output": "output",
        },
    }

    def payload(event: StoredEvent) -> str:
        shown = proposal_event(event)
        heads = (event.type, shown.cursor, event.sequence, event.occurred_at.isoformat())
        fields = {name: event.payload[key] for name, key in names[event.type].items()}
        return orjson.dumps({"data": {"proposalEvents": dict(zip(common, heads, strict=True)) | fields}}).decode()

    return payload


_SERVERS: dict[str, tuple[Callable[[], ASGIApp], Any]] = {
    "product": (product, BatchingProtocol),
    "product-asgi": (product, "websockets-sansio"),
    "strawberry": (stock, "websockets-sansio"),
    "starlette": (relay, "websockets-sansio"),
}


def main() -> None:
    """Serve until the process is ended."""
    # Some complain of each client that goes while they send.
    logs.configure("critical", is_json=True)
    make, protocol = _SERVERS[sys.argv[1]]
    listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
    config = uvicorn.Config(make(), ws=protocol, ws_per_message_deflate=False, log_level="critical", lifespan="off")
    print(listening.getsockname()[1], flush=True)
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
