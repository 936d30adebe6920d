"""What both fake protocols share: threads, what they play, and the faults of the server."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from graphql_api.runtimes.fakes.faults import Fault, faults_in
from graphql_api.runtimes.fakes.recordings import Take
from graphql_api.runtimes.fakes.scripts import Script, refinement
from graphql_api.runtimes.fakes.threads import Thread

HUGE = 20 * 1024 * 1024
PACE_SECONDS = 0.02


@dataclass
class House:
    """A fake runtime's memory, and how it behaves.

    Attributes:
        script: What agents do, unless there is a take.
        take: What is played in place of a script.
        speed: How many times faster than it was written or recorded; 0 for without any waiting.
        faults: Of every thread.
        slow_seconds: Before each answer and frame of what is slow.
        huge: Characters of a huge frame.
        threads: By id.
        aliases: The id that a thread really has, by the one that was asked for.
        tries: How often a start was asked for, by the id that was asked for.
    """

    script: Script = refinement
    take: Take | None = None
    speed: float = 1.0
    faults: Collection[Fault] = ()
    slow_seconds: float = 2.0
    huge: int = HUGE
    threads: dict[str, Thread] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    tries: dict[str, int] = field(default_factory=dict)

    def faults_of(self, text: str) -> frozenset[Fault]:
        """Give the faults of a thread whose prompt is in a text."""
        return frozenset(self.faults) | faults_in(text)

    async def refusal(self, key: str, faults: Collection[Fault]) -> Response | None:
        """Count a try to start a run; give the answer that refuses it, unless it may start."""
        self.tries[key] = self.tries.get(key, 0) + 1
        await self.dawdle(faults)
        if Fault.REFUSES in faults or (Fault.REFUSES_ONCE in faults and self.tries[key] == 1):
            return JSONResponse({"detail": "Overloaded"}, 503)
        if Fault.FAILS_TO_START in faults:
            return PlainTextResponse("Internal Server Error", 500)
        return None

    def is_hidden(self, key: str, faults: Collection[Fault]) -> bool:
        """Tell whether a start that worked is answered as if it had not."""
        return Fault.FAILS_AFTER_START in faults and self.tries[key] == 1

    async def dawdle(self, faults: Collection[Fault]) -> None:
        """Take the time that a slow runtime takes to answer."""
        if Fault.SLOW in faults:
            await asyncio.sleep(self.slow_seconds)

    async def forget(self, thread_id: str) -> None:
        """Know nothing of a thread any more."""
        thread = self.threads.pop(thread_id, None)
        if thread is not None:
            await thread.stop()

    async def forget_all(self) -> None:
        """Know nothing any more, as after a restart."""
        for thread_id in [*self.threads]:
            await self.forget(thread_id)


async def body_of(request: Request) -> tuple[dict[str, Any], str]:
    """Read the body of a request; give it parsed, and as text."""
    content = await request.body()
    return (await request.json() if content else {}), content.decode("utf-8", "replace")


def prompt_of(given: Mapping[str, Any]) -> str:
    """Find the prompt in the input of a run: the last message, or a text of its own."""
    messages = given.get("messages")
    if isinstance(messages, list) and messages:
        last = messages[-1]
        return str(last.get("content", "")) if isinstance(last, dict) else str(last)
    return next((str(given[name]) for name in ("prompt", "user_request", "instructions") if name in given), "")


def files_of(given: Mapping[str, Any]) -> dict[str, str]:
    """Read the files in the input of a run: content by path, without a leading slash."""
    files = given.get("files")
    return {path.removeprefix("/"): _text(file) for path, file in files.items()} if isinstance(files, dict) else {}


def _text(file: Any) -> str:  # noqa: ANN401 - any JSON value
    content = file.get("content") if isinstance(file, dict) else file
    return "\n".join(map(str, content)) if isinstance(content, list) else str(content)
