"""Subscriptions over plain HTTP: server-sent events, and multipart as Apollo Client has it.

Seams, checked with strawberry-graphql 0.341: `SSETransport` and its overridable methods.
"""

from strawberry.http import GraphQLHTTPResponse
from strawberry.http.streaming import JSONEncoder, MultipartSubscriptionTransport, SSETransport

from graphql_api.transport.answers import GRAPHQL_RESPONSE, JSON, weights
from graphql_api.transport.delivery.tally import tally

EVENT_STREAM = "text/event-stream"
_JSON = frozenset({JSON, GRAPHQL_RESPONSE})


class ServerSentEvents(SSETransport):
    """The distinct connections mode of GraphQL over server-sent events: one operation a request.

    Lines end in LF, since urql finds the end of an event by it.
    """

    def accepts(self, accept: str) -> bool:
        """Tell whether a client prefers events to JSON: urql lists them for queries too, and can't read them there."""
        wanted_of = weights(accept)
        wanted = wanted_of.get(EVENT_STREAM, 0.0)
        return wanted > 0 and all(wanted_of.get(media_type, 0.0) < wanted for media_type in _JSON)

    def encode_event(self, event: str, data: str | None = None) -> str:
        """Write one event; a data field is always there, since browsers drop events without one."""
        tally.add(event == "next")
        return f"event: {event}\ndata: {data or ''}\n\n"

    def encode_comment(self, comment: str) -> str:
        """Write what keeps the connection open."""
        return f": {comment}\n\n"


class Multipart(MultipartSubscriptionTransport):
    """Subscriptions over multipart HTTP, counted."""

    def encode_next(self, response: GraphQLHTTPResponse, encode_json: JSONEncoder) -> str:
        """Write one event."""
        tally.add(1)
        return super().encode_next(response, encode_json)
