"""`orchestrator record`: one run of a real runtime in a file, to play it again or to report what it does."""

import asyncio
import json
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import typer

from graphql_api.cli.examples import Runnable, examples
from graphql_api.cli.problems import Problem, one_line
from graphql_api.runtimes.addresses import RuntimeAddress, parse_runtime_url
from graphql_api.runtimes.fakes.recorder import Recorder
from graphql_api.runtimes.fakes.recordings import Protocol
from graphql_api.runtimes.protocol import RunRequest, RuntimeFailure


def record(
    *,
    runtime: Annotated[str, typer.Option(help="As in RUNTIME_URL, such as deepagents+http://127.0.0.1:8000.")],
    prompt: Annotated[str, typer.Option(help="What the agent is asked to do.")],
    output: Annotated[
        Path | None, typer.Option(help="The file; standard output when not given.", show_default=False)
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(envvar="RUNTIME_TOKEN", help="A secret that the runtime knows its callers by.", show_envvar=True),
    ] = None,
) -> None:
    """Run an agent once on a real runtime, and write down all that comes over the wire.

    The run is a real one: it costs what it costs, and what the runtime keeps of it stays. Each line is a JSON object
    with t, in seconds, and src; secrets of the URL are not in it, but what the agent says is. Play it again with
    orchestrator fake-runtime --recording FILE.
    """
    address = _address(runtime, token)
    with ExitStack() as stack:
        try:
            lines = sys.stdout if output is None else stack.enter_context(output.open("w", encoding="utf-8"))
        except OSError as error:
            raise Problem(f"{output} can't be written: {one_line(error)}") from error
        count = 0

        def tell(line: Mapping[str, Any]) -> None:
            nonlocal count
            count += 1
            lines.write(f"{json.dumps(line)}\n")
            lines.flush()

        try:
            asyncio.run(_record(address, prompt, Recorder(address, tell)))
        except* RuntimeFailure as failures:
            raise Problem(f"After {count} lines: {one_line(_first(failures))}") from None
    typer.echo(f"Wrote {count} lines to {output or 'standard output'}.", err=True)


COMMANDS = {
    "record": Runnable(
        record,
        examples(
            "orchestrator record --runtime deepagents+http://127.0.0.1:8000 --prompt 'Add a critic' --output run.jsonl",
            "orchestrator record --runtime 'langgraph+http://127.0.0.1:2024?assistant=agent' --prompt 'Add a critic'",
        ),
    )
}


def _address(url: str, token: str | None) -> RuntimeAddress:
    try:
        address = parse_runtime_url(url, token=token)
    except ValueError as error:
        raise Problem(f"--runtime: {one_line(error)}") from error
    if address.adapter not in {protocol.value for protocol in Protocol}:
        known = " or ".join(protocol.value for protocol in Protocol)
        raise Problem(f"--runtime: {address.adapter} has nothing to record; give the URL of a {known} server")
    return address


async def _record(address: RuntimeAddress, prompt: str, recorder: Recorder) -> None:
    request = RunRequest(uuid4(), prompt, None, None, {})
    if address.adapter == Protocol.LANGGRAPH.value:
        await recorder.langgraph(request)
    else:
        await recorder.deepagents(request)


def _first(failures: BaseExceptionGroup[RuntimeFailure]) -> BaseException:
    found: BaseException = failures
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found
