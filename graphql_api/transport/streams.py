"""Subscriptions over plain HTTP: server-sent events, and multipart as Apollo Client has it.

Seams, checked with strawberry-graphql 0.341: `SSETransport`, `MultipartSubscriptionTransport` and their overridable
methods; with starlette 1.10: `StreamingResponse.stream_response`, which is cancelled when the client goes.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import lru_cache

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send
from strawberry.http.streaming import MULTIPART_SUBSCRIPTION_BOUNDARY, MultipartSubscriptionTransport, SSETransport
from strawberry.types.execution import ExecutionResult

from graphql_api.kit.duties import background
from graphql_api.transport.answers import GRAPHQL_RESPONSE, JSON, NOT_KEPT, shown, weights
from graphql_api.transport.delivery.delivery import Delivery
from graphql_api.transport.delivery.json import to_json
from graphql_api.transport.delivery.tally import tally

EVENT_STREAM = "text/event-stream"

STREAM = "orchestrator.stream"
"""In the state of a request's scope when its answer is a stream, which does not end when the process is told to."""

_JSON = frozenset({JSON, GRAPHQL_RESPONSE})

_PART = (
    b"\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: %d\r\n\r\n"
    b'{"payload":%b}\r\n--' + MULTIPART_SUBSCRIPTION_BOUNDARY.encode()
)
_AROUND = len(b'{"payload":}')


class ServerSentEvents(SSETransport):
    """The distinct connections mode of GraphQL over server-sent events: one operation a request.

    Lines end in LF, since urql finds the end of an event by it.
    """

    def accepts(self, accept: str) -> bool:
        """Tell whether a client prefers events to JSON: urql lists them for queries too, and can't read them there."""
        wanted_of = weights(accept)
        wanted = wanted_of.get(EVENT_STREAM, 0.0)
        return wanted > 0 and all(wanted_of.get(media_type, 0.0) < wanted for media_type in _JSON)

    def encode_results(self, payloads: Sequence[bytes]) -> bytes:
        """Write an event for each result; JSON as we write it has no line ends."""
        return b"".join([b"event: next\ndata: %b\n\n" % payload for payload in payloads])

    def encode_event(self, event: str, data: str | None = None) -> str:
        """Write one event; a data field is always there, since browsers drop events without one."""
        return f"event: {event}\ndata: {data or ''}\n\n"

    def encode_comment(self, comment: str) -> str:
        """Write what keeps the connection open."""
        return f": {comment}\n\n"


class Multipart(MultipartSubscriptionTransport):
    """Subscriptions over multipart HTTP."""

    def encode_results(self, payloads: Sequence[bytes]) -> bytes:
        """Write a part for each result."""
        return b"".join([_PART % (_AROUND + len(payload), payload) for payload in payloads])


StreamTransport = ServerSentEvents | Multipart

_TRANSPORTS = (Multipart(), ServerSentEvents())


@lru_cache(maxsize=256)
def stream_transport(accept: str) -> StreamTransport | None:
    """Choose how a client wants results to be streamed; None when it wants one answer."""
    return next((transport for transport in _TRANSPORTS if transport.accepts(accept)), None)


class Stream(StreamingResponse):
    """Sends the results of an operation as they come, and keeps the connection open in between.

    Args:
        transport: How they are sent.
        results: Of the operation.
        delivery: What the operation was started with.
    """

    def __init__(
        self,
        transport: StreamTransport,
        results: AsyncGenerator[ExecutionResult, None],
        delivery: Delivery,
    ) -> None:
        super().__init__((), headers={**NOT_KEPT, **transport.headers})
        self._transport = transport
        self._results = results
        self._delivery = delivery

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and let the server know what kind of answer it is."""
        scope.setdefault("state", {})[STREAM] = True
        await super().__call__(scope, receive, send)

    async def stream_response(self, send: Send) -> None:
        """Send all of it."""
        transport = self._transport
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        # A part of the body at once: until then, a server may keep the head.
        await self._send(send, self._heartbeat() if transport.send_initial_heartbeat else b"")
        try:
            async with background(self._keep_open(send)):
                await self._deliver(send)
        except ExceptionGroup as broken:
            raise broken.exceptions[0] from broken.exceptions[0].__cause__
        await self._send(send, transport.encode_complete().encode(), is_last=True)

    async def _deliver(self, send: Send) -> None:
        delivery, encode = self._delivery, self._transport.encode_results
        tally.begin(delivery)
        try:
            async with aclosing(self._results):
                async for result in self._results:
                    if not delivery.begins():
                        await self._send(send, encode([to_json(shown(result))]))
                    while written := await delivery.batch():
                        await self._send(send, encode(written))
                        del written
        finally:
            tally.end(delivery)

    async def _keep_open(self, send: Send) -> None:
        while True:
            await asyncio.sleep(self._transport.heartbeat_interval)
            await self._send(send, self._heartbeat())

    def _heartbeat(self) -> bytes:
        return self._transport.heartbeat_message(lambda data: to_json(data).decode()).encode()

    async def _send(self, send: Send, body: bytes, *, is_last: bool = False) -> None:
        await send({"type": "http.response.body", "body": body, "more_body": not is_last})
