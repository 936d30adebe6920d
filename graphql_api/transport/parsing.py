"""HTTP as a server reads it: with the fast parser, and with a bound on what that would keep.

Seam, checked with uvicorn 0.54 and httptools 0.9: `HttpToolsProtocol`, its `data_received`, `send_400_response` and the
callbacks of its parser.
"""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 64 * 1024
"""Of a request's head, of a body's trailers, and of whatever else is neither."""


class BoundedProtocol(HttpToolsProtocol):
    """Uvicorn's HTTP on httptools, which itself keeps a head of any size until its end has come."""

    def connection_made(self, transport: object) -> None:
        """Begin with nothing kept."""
        self._kept_bytes = 0
        self._is_in_head = self._has_moved = False
        super().connection_made(transport)  # type: ignore[arg-type]  # uvicorn's own type is narrower

    def data_received(self, data: bytes) -> None:
        """Read what came; refuse whoever sends more and more of what is no body and has no end."""
        self._has_moved = False
        super().data_received(data)
        self._kept_bytes = 0 if self._has_moved else self._kept_bytes + len(data)
        if self._kept_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response(f"The head of a request has at most {MAX_HEAD_BYTES} bytes.")

    def on_message_begin(self) -> None:
        """Begin a head."""
        self._is_in_head = self._has_moved = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; trailers, which come after the body, are nothing that an application was told of."""
        if self._is_in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """End the head."""
        self._is_in_head, self._has_moved = False, True
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body, whose size is the application's business."""
        self._has_moved = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End the request."""
        self._has_moved = True
        super().on_message_complete()
