"""A server's HTTP that writes the head of an answer together with the first part of its body.

Uvicorn writes the head at once, which is one more call of the system and one more packet for each request. Here it
waits for the first part, however short that is: what streams sends an empty one.

Seam, checked with uvicorn 0.54 and h11 0.16: `H11Protocol.conn`, which makes all bytes that are written, and calls
`send_with_data_passthrough` for each. It is given to uvicorn as `http=`.
"""

from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


class JoiningProtocol(H11Protocol):
    """Uvicorn's HTTP on h11, but for the moment at which heads are written."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - whatever uvicorn's takes
        super().__init__(*args, **kwargs)
        self.conn = _Connection(h11.SERVER)


class _Connection(h11.Connection):
    """Keeps the head of an answer until there is more of it."""

    def __init__(self, role: type[h11.SERVER]) -> None:
        super().__init__(role)
        self._head: list[bytes] = []

    def send_with_data_passthrough(self, event: h11.Event) -> list[bytes] | None:
        """Give what is to be written."""
        written = super().send_with_data_passthrough(event)
        if written is None:
            return None
        if isinstance(event, h11.Response):
            self._head = written
            return []
        head, self._head = self._head, []
        return head + written
