"""A fake runtime on a port."""

import socket
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager

from starlette.applications import Starlette

from graphql_api.runtimes.fakes import sockets
from graphql_api.runtimes.fakes.deepagents import DeepagentsFake
from graphql_api.runtimes.fakes.faults import Fault
from graphql_api.runtimes.fakes.house import HUGE, House
from graphql_api.runtimes.fakes.langgraph import ASSISTANT, LangGraphFake
from graphql_api.runtimes.fakes.recordings import Protocol, Take
from graphql_api.runtimes.fakes.scripts import Script, refinement
from graphql_api.runtimes.fakes.threads import Thread


class FakeRuntime:
    """A server that speaks as a runtime does.

    A prompt may ask for faults of its own thread, each as `[fault:NAME]`; `Fault` has the names.

    Args:
        protocol: How it is spoken to.
        script: What its agents do, unless there is a take.
        take: A stream of a recording, played for every run.
        speed: How many times faster than it was written or recorded; 0 for without any waiting.
        faults: Of the server, and so of every thread.
        slow_seconds: Before each answer and frame of what is slow.
        huge: Characters of a huge frame.
    """

    def __init__(
        self,
        protocol: Protocol,
        *,
        script: Script = refinement,
        take: Take | None = None,
        speed: float = 1.0,
        faults: Collection[Fault] = (),
        slow_seconds: float = 2.0,
        huge: int = HUGE,
    ) -> None:
        self.protocol = protocol
        self._house = House(script, take, speed, frozenset(faults), slow_seconds, huge)
        fake = DeepagentsFake(self._house) if protocol is Protocol.DEEPAGENTS else LangGraphFake(self._house)
        self.app = Starlette(routes=fake.routes())

    @property
    def threads(self) -> dict[str, Thread]:
        """The threads that it knows, by id."""
        return self._house.threads

    @property
    def tries(self) -> dict[str, int]:
        """How often a start was asked for, by the thread that was asked for."""
        return self._house.tries

    def url(self, address: str) -> str:
        """Write the `RUNTIME_URL` of a server that listens at an `http://` address."""
        query = f"?assistant={ASSISTANT}" if self.protocol is Protocol.LANGGRAPH else ""
        return f"{self.protocol.value}+{address}{query}"

    async def restart(self) -> None:
        """Forget everything; whoever listens is cut off."""
        await self._house.forget_all()

    @asynccontextmanager
    async def serving(self, listening: Sequence[socket.socket] = ()) -> AsyncIterator[str]:
        """Serve while the context lasts; gives the `RUNTIME_URL`.

        Args:
            listening: Bound sockets; a free port of this machine when there are none.
        """
        taken = [*listening] or [_any_port()]
        try:
            async with sockets.serving(self.app, taken):
                try:
                    yield self.url(f"http://127.0.0.1:{taken[0].getsockname()[1]}")
                finally:
                    await self.restart()
        finally:
            for each in taken:
                each.close()


def _any_port() -> socket.socket:
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    return taken
