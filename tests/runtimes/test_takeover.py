import asyncio
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import psutil
import pytest
from support.executions import Engine
from support.logs import Follower, following
from support.waiting import until

from graphql_api.events.records import StoredEvent
from graphql_api.runtimes import executions
from graphql_api.runtimes.embedded.adapter import EmbeddedRuntime

pytestmark = pytest.mark.anyio

PROMPT = "Add a reviewer agent that checks every answer for tone"
FILES = {"THE_SPEC/plan.md": "# Plan\n\n- Answer\n"}
PACE_SECONDS = "0.02"
TESTS = Path(__file__).parents[1]


@asynccontextmanager
async def two_workers(engine: Engine, *, lease_seconds: float) -> AsyncIterator[tuple[Process, Process]]:
    """Run two workers in processes of their own; the second one is frozen, so that the first one gets what is ordered.

    Args:
        engine: Whose database they share.
        lease_seconds: Of the first one.
    """
    url = engine.database.url.render_as_string(hide_password=False)
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-m", "support.worker_process", url, PACE_SECONDS, str(lease), cwd=TESTS
        )
        for lease in (lease_seconds, 60)
    ]
    first, second = processes
    try:
        await until(lambda: living_workers(engine, 2))
        await freeze(second)
        yield first, second
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def freeze(process: Process) -> None:
    process.send_signal(signal.SIGSTOP)
    await until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)


async def living_workers(engine: Engine, count: int) -> bool:
    return await executions.count_workers(engine.database) == count


async def mid_run(follower: Follower) -> None:
    await until(lambda: len(follower.sequences) >= 6)


async def taken_over(engine: Engine, execution_id: UUID) -> None:
    """Wait for the next claim."""

    async def is_claimed_anew() -> bool:
        return (await engine.row(execution_id)).epoch == 2

    await until(is_claimed_anew)


async def assert_undisturbed(engine: Engine, execution_id: UUID, follower: Follower) -> None:
    """Compare what a follower got, and what is stored, with a run that nobody disturbed."""
    stored = [event for event in follower.got if isinstance(event, StoredEvent)]
    assert follower.sequences == list(range(1, len(stored) + 1))
    assert [event.sequence for event in stored if event.is_terminal] == [len(stored)]
    told = await engine.story(execution_id)
    files = await engine.files(execution_id)
    row = await engine.row(execution_id)
    undisturbed = await engine.order(FILES, prompt=PROMPT)
    await engine.ingest(EmbeddedRuntime(0)).run(await engine.claimed())
    assert told == await engine.story(undisturbed)
    assert files == await engine.files(undisturbed)
    other = await engine.row(undisturbed)
    assert (row.input_tokens, row.output_tokens) == (other.input_tokens, other.output_tokens)


class TestTakeover:
    async def test_after_kill_9_another_process_goes_on(self, engine: Engine) -> None:
        async with two_workers(engine, lease_seconds=60) as (first, second):
            execution_id = await engine.order(FILES, prompt=PROMPT)
            async with following(engine.log, execution_id) as follower:
                await mid_run(follower)
                second.send_signal(signal.SIGCONT)
                first.kill()
                await taken_over(engine, execution_id)
                await follower.ends()
        assert (await engine.row(execution_id)).attempts == 2
        await assert_undisturbed(engine, execution_id, follower)

    async def test_after_sigterm_another_process_goes_on_and_no_attempt_is_lost(self, engine: Engine) -> None:
        async with two_workers(engine, lease_seconds=60) as (first, second):
            execution_id = await engine.order(FILES, prompt=PROMPT)
            async with following(engine.log, execution_id) as follower:
                await mid_run(follower)
                second.send_signal(signal.SIGCONT)
                first.terminate()
                await taken_over(engine, execution_id)
                assert await first.wait() == 0
                await follower.ends()
        assert (await engine.row(execution_id)).attempts == 1
        await assert_undisturbed(engine, execution_id, follower)

    async def test_a_process_that_was_frozen_writes_nothing_when_it_wakes(self, engine: Engine) -> None:
        async with two_workers(engine, lease_seconds=3) as (first, second):
            execution_id = await engine.order(FILES, prompt=PROMPT)
            async with following(engine.log, execution_id) as follower:
                await mid_run(follower)
                await freeze(first)
                second.send_signal(signal.SIGCONT)
                await taken_over(engine, execution_id)
                first.send_signal(signal.SIGCONT)
                await follower.ends()
                first.terminate()
                assert await first.wait() == 0
        await assert_undisturbed(engine, execution_id, follower)
