"""A runtime behind its circuit."""

from collections.abc import AsyncIterator
from contextlib import AbstractContextManager

from graphql_api.kit import metrics
from graphql_api.runtimes.circuit import Circuit
from graphql_api.runtimes.protocol import (
    AgentRuntime,
    Frame,
    Health,
    Normalizer,
    RunRequest,
    Snapshot,
    ThreadRef,
)

_SECONDS = metrics.histogram(
    "runtime_call_duration_seconds", "How long calls of a runtime take.", ["runtime", "call", "result"]
)


class GuardedRuntime:
    """Passes everything on, timed; while the circuit is open, nothing is started.

    Args:
        runtime: The adapter.
        circuit: The runtime's circuit.
    """

    def __init__(self, runtime: AgentRuntime, circuit: Circuit) -> None:
        self.name = runtime.name
        self.capabilities = runtime.capabilities
        self._runtime = runtime
        self._circuit = circuit

    async def health(self) -> Health:
        """Ask whether the runtime takes work; a slow answer during a run says nothing, so it is not counted."""
        with self._timed("health"):
            return await self._runtime.health()

    async def start(self, request: RunRequest) -> ThreadRef:
        """Start a run, and count whether that worked.

        Raises:
            RuntimeFailure: When the runtime refuses or can't be reached, or the circuit is open.
        """
        async with self._circuit.guard():
            with self._timed("start"):
                return await self._runtime.start(request)

    def events(self, request: RunRequest, thread: ThreadRef) -> AsyncIterator[Frame]:
        """Give the frames of a thread."""
        return self._runtime.events(request, thread)

    def normalizer(self, request: RunRequest) -> Normalizer:
        """Make the normalizer of one thread."""
        return self._runtime.normalizer(request)

    async def snapshot(self, thread: ThreadRef) -> Snapshot:
        """Ask for the state of a thread."""
        with self._timed("snapshot"):
            return await self._runtime.snapshot(thread)

    async def cancel(self, thread: ThreadRef) -> bool:
        """Ask the runtime to stop."""
        with self._timed("cancel"):
            return await self._runtime.cancel(thread)

    async def forget(self, thread: ThreadRef) -> bool:
        """Ask the runtime to drop what it keeps of the thread."""
        with self._timed("forget"):
            return await self._runtime.forget(thread)

    def _timed(self, call: str) -> AbstractContextManager[None]:
        return metrics.timed(_SECONDS, self.name, call)

    async def close(self) -> None:
        """Let go of connections."""
        await self._runtime.close()
