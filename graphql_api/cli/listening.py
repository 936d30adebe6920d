"""Sockets and signals of the processes that serve."""

import asyncio
import errno
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import FrameType

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from graphql_api.cli.problems import Problem, one_line
from graphql_api.kit import collector
from graphql_api.kit.duties import background
from graphql_api.transport.delivery.batching import BatchingProtocol
from graphql_api.transport.joining import JoiningProtocol
from graphql_api.transport.streams import STREAM

MAX_PORT = 65535
GRACE_SECONDS = 5
"""How long requests may take to end once the process is told to."""

READING_SECONDS = 0.5
"""How long clients may then take to read what was sent to them before their connection was closed."""

_LOOK_SECONDS = 0.1

MAX_MESSAGE_BYTES = 4 * 1024 * 1024

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def bound(host: str, port: int) -> Iterator[list[socket.socket]]:
    """Hold an address, without listening on it yet.

    Args:
        host: A name, or an IPv4 or IPv6 address; a name may stand for several addresses.
        port: 1 to 65535, or 0 for any that is free.

    Raises:
        Problem: When it can't be had; it says why.
    """
    if not 0 <= port <= MAX_PORT:
        raise Problem(f"{port} is no port; give one of 1 to {MAX_PORT}, or 0 for any that is free")
    with ExitStack() as stack:
        try:
            sockets = [stack.enter_context(taken) for taken in _take(host, port)]
        except (OSError, UnicodeError) as error:
            raise Problem(_refusal(host, port, error)) from error
        if not sockets:
            raise Problem(_refusal(host, port, OSError("this machine has no such address")))
        yield sockets


def _take(host: str, port: int) -> Iterator[socket.socket]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, kind, protocol, _, address in found:
        # The second address of a name takes the free port of the first.
        taken = _bind(family, kind, protocol, (address[0], port, *address[2:]))
        if taken is not None:
            port = taken.getsockname()[1]
            yield taken


def _bind(family: int, kind: int, protocol: int, address: tuple[object, ...]) -> socket.socket | None:
    """Bind a socket; None when the machine has no such address, as one without IPv6 has no `::1`."""
    try:
        taken = socket.socket(family, kind, protocol)
    except OSError:
        return None
    try:
        if sys.platform != "win32":
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            taken.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        taken.bind(address)
    except OSError as error:
        taken.close()
        if error.errno == errno.EADDRNOTAVAIL:
            return None
        raise
    return taken


def _refusal(host: str, port: int, error: OSError | UnicodeError) -> str:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return f"Port {port} of {host} is in use; stop what uses it, or choose another with --port"
    if isinstance(error, OSError) and error.errno == errno.EACCES:
        return f"Port {port} needs more rights than this account has; choose one above 1023 with --port"
    reason = error.strerror if isinstance(error, OSError) and error.strerror else one_line(error)
    return f"{host} can't be listened on: {reason}; choose another address with --host"


def base_url(host: str, port: int) -> str:
    """Write the address that a browser on this machine opens."""
    if host in {"0.0.0.0", "::", ""}:  # noqa: S104 - compared, not bound
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Server(uvicorn.Server):
    """Uvicorn, which says when it listens, and leaves the end of the process to its caller.

    Seam, checked with uvicorn 0.54: `Server.startup`, `Server.shutdown` and `Server.capture_signals`; of connections,
    `transport`, and over HTTP `cycle.response_started` and `cycle.scope`.

    Args:
        app: What is served.
        announce: Called once connections are taken.
        max_message_bytes: Of a message over WebSocket; a larger one closes it with 1009.
    """

    def __init__(
        self, app: ASGIApp, announce: Callable[[], None], *, max_message_bytes: int = MAX_MESSAGE_BYTES
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                access_log=False,
                lifespan="on",
                # Httptools is faster, but under uvicorn it reads the body of a request with a foreign `Upgrade` as the
                # next request, and forgets answers that run when another request is pipelined behind them.
                http=JoiningProtocol,
                log_config=None,
                server_header=False,
                timeout_graceful_shutdown=GRACE_SECONDS,
                ws=BatchingProtocol,
                ws_max_size=max_message_bytes,
                # Events are small, and each connection's window would cost hundreds of kilobytes.
                ws_per_message_deflate=False,
            )
        )
        self._announce = announce

    async def startup(self, sockets: Sequence[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(None if sockets is None else list(sockets))
        collector.spare()
        if self.started:
            self._announce()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop: sockets close with 1012, and streams break off, so that their clients come back to another process."""
        async with background(self._break_off()):
            await super().shutdown(sockets)

    async def _break_off(self) -> None:
        """Close streams, and cut off whoever does not read what came before; the close would wait for it."""
        loop = asyncio.get_running_loop()
        cut_at = loop.time() + READING_SECONDS
        while True:
            for connection in list(self.server_state.connections):
                transport = connection.transport
                if _is_stream(connection):
                    transport.close()
                if transport.is_closing() and loop.time() >= cut_at:
                    transport.abort()
            await asyncio.sleep(_LOOK_SECONDS)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at the first signal; uvicorn itself would raise it again once it has stopped, over our cleaning up."""
        with on_signals(self.handle_exit):
            yield


def _is_stream(connection: object) -> bool:
    """Tell whether an answer has begun on a connection that would not end by itself."""
    cycle: RequestResponseCycle | None = connection.cycle if isinstance(connection, H11Protocol) else None
    return cycle is not None and cycle.response_started and STREAM in cycle.scope["state"]


@contextmanager
def on_signals(handle: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Call this at SIGINT and SIGTERM, as long as the block lasts."""
    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
