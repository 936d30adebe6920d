"""Access lines: one for each request over HTTP, and one for each WebSocket."""

from time import perf_counter

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from graphql_api.kit.correlation import begin_request

PROBES = frozenset({"/health", "/ready", "/metrics"})
"""Asked every few seconds: their lines come with `LOG_LEVEL=debug`."""

MAX_PATH_LENGTH = 200
CLIENT_LEFT = 499
"""What is noted as the status of a request whose client left before the answer began; nginx's number for it."""

_log = structlog.get_logger()


class AccessLog:
    """Gives each request an id, which its answer and its lines carry, and writes a line when it is over.

    The query string is left out: people put tokens into it.

    Args:
        app: What answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or one WebSocket."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id, started_at, status = begin_request(), perf_counter(), CLIENT_LEFT

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except Exception:
            status = 500
            raise
        finally:
            log = _log.debug if scope["path"] in PROBES else _log.info
            log(
                "request_ended",
                method=scope["method"],
                path=scope["path"][:MAX_PATH_LENGTH],
                status=status,
                milliseconds=_milliseconds_since(started_at),
            )

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        begin_request()
        started_at = perf_counter()
        code: int | None = None

        async def hear() -> Message:
            nonlocal code
            message = await receive()
            if message["type"] == "websocket.disconnect":
                code = code or message.get("code")
            return message

        async def tell(message: Message) -> None:
            nonlocal code
            if message["type"] == "websocket.close":
                code = code or message.get("code")
            await send(message)

        try:
            await self._app(scope, hear, tell)
        finally:
            path = scope["path"][:MAX_PATH_LENGTH]
            _log.info("websocket_ended", path=path, code=code, milliseconds=_milliseconds_since(started_at))


def _milliseconds_since(moment: float) -> float:
    return round((perf_counter() - moment) * 1000, 1)
