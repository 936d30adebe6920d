"""`orchestrator fake-runtime`: an agent runtime without agents, to try out what good and bad ones lead to."""

import asyncio
import logging
from pathlib import Path
from socket import socket
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console

from graphql_api.cli import listening
from graphql_api.cli.examples import Runnable, examples
from graphql_api.cli.problems import Problem, one_line
from graphql_api.runtimes.fakes.faults import MEANINGS, Fault
from graphql_api.runtimes.fakes.recordings import NotARecording, Protocol, Take, longest, read_takes
from graphql_api.runtimes.fakes.scripts import SCRIPTS
from graphql_api.runtimes.fakes.server import FakeRuntime

PORTS = {Protocol.DEEPAGENTS: 8000, Protocol.LANGGRAPH: 2024}
"""Where the real ones listen unless they are told otherwise."""

_NAME_WIDTH = max(len(fault.value) for fault in Fault)
_FAULTS = "\n".join(f"  {fault.value:<{_NAME_WIDTH}}  {meaning}" for fault, meaning in MEANINGS.items())


def fake_runtime(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(help="Port, 0 for any free one; 8000 for deepagents and 2024 for langgraph when not given."),
    ] = None,
    protocol: Annotated[
        Protocol | None, typer.Option(help="How it is spoken to; that of the recording, or deepagents.")
    ] = None,
    script: Annotated[str, typer.Option(help=f"What its agents do: {', '.join(SCRIPTS)}.")] = "refinement",
    recording: Annotated[
        Path | None, typer.Option(help="Play this for every prompt instead, as orchestrator record wrote it.")
    ] = None,
    take: Annotated[str | None, typer.Option(help="Which stream of the recording; the longest when not given.")] = None,
    speed: Annotated[float, typer.Option(min=0, help="How many times faster; 0 for without any waiting.")] = 1.0,
    fault: Annotated[
        list[Fault] | None, typer.Option(metavar="NAME", help="How it misbehaves, see below; may be given again.")
    ] = None,
) -> None:
    """Serve a runtime that speaks as a real one, and misbehaves when asked to.

    It needs no model and no key: it writes what the embedded author would, or plays a recording. Set the RUNTIME_URL
    that it prints, and run orchestrator dev. Faults hold for every run with --fault, and for one when its prompt has
    the word [fault:NAME] in it.
    """
    played = None if recording is None else _take(recording, take)
    spoken = _protocol(protocol, played)
    if script not in SCRIPTS:
        raise Problem(f"{script} is no script; there are {', '.join(SCRIPTS)}")
    fake = FakeRuntime(spoken, script=SCRIPTS[script], take=played, speed=speed, faults=fault or ())
    with listening.bound(host, PORTS[spoken] if port is None else port) as sockets:
        # Its complaints are about streams that are cut, which is what faults are for.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        asyncio.run(_serve(fake, host, sockets[0].getsockname()[1], sockets))


COMMANDS = {
    "fake-runtime": Runnable(
        fake_runtime,
        "\n".join(
            (
                examples(
                    "orchestrator fake-runtime",
                    "orchestrator fake-runtime --protocol langgraph --speed 10",
                    "orchestrator fake-runtime --fault drops-always --fault state-lies",
                    "orchestrator fake-runtime --recording run.jsonl --speed 0",
                ),
                "",
                "\b",
                "Faults:",
                _FAULTS,
            )
        ),
    )
}


def _take(recording: Path, name: str | None) -> Take:
    try:
        takes = read_takes(recording)
    except NotARecording as error:
        raise Problem(one_line(error)) from error
    if name is None:
        return longest(takes)
    if name not in takes:
        raise Problem(f"{recording} has no stream {name}; it has {', '.join(takes)}")
    return takes[name]


def _protocol(asked_for: Protocol | None, played: Take | None) -> Protocol:
    if played is None:
        return asked_for or Protocol.DEEPAGENTS
    if asked_for not in {None, played.protocol}:
        raise Problem(f"The recording is of {played.protocol.value}; leave --protocol out")
    return played.protocol


async def _serve(fake: FakeRuntime, host: str, port: int, sockets: list[socket]) -> None:
    loop, told_to_stop = asyncio.get_running_loop(), asyncio.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(told_to_stop.set)

    address = listening.base_url(host, port)
    with listening.on_signals(stop):
        async with fake.serving(sockets):
            console = Console(highlight=False, soft_wrap=True)
            console.print(f"A fake {fake.protocol.value} runtime listens at {address}. Ctrl-C stops it.", markup=False)
            console.print(f"Set: RUNTIME_URL='{fake.url(address)}'", markup=False)
            await told_to_stop.wait()
