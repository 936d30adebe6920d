import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest
from support.executions import Engine
from support.logs import Follower, following
from support.scripted_runtime import (
    Break,
    ScriptedRuntime,
    Step,
    delta,
    end,
    files,
    garbage,
    said,
    snapshot,
    used,
)
from support.waiting import until

from graphql_api.events.log import AppendRefused
from graphql_api.events.records import LiveEvent
from graphql_api.kit.errors import ErrorCode
from graphql_api.kit.files import MAX_FILE_BYTES
from graphql_api.runtimes import executions, snapshots
from graphql_api.runtimes.batches import BATCH, READ_AHEAD
from graphql_api.runtimes.executions import Failure, LeaseLost, Outcome
from graphql_api.runtimes.ingest import Ingest
from graphql_api.runtimes.lines import Patience
from graphql_api.runtimes.models import Execution, ExecutionState
from graphql_api.runtimes.progress import MAX_TOKENS
from graphql_api.runtimes.protocol import Frame, Resume, RunRequest, RuntimeFailure, ThreadRef
from graphql_api.runtimes.storable import REPLACEMENT

pytestmark = pytest.mark.anyio

GIVEN = {"plan.md": "# Plan\n", "old.md": "old\n"}

SMALL_RUN: list[Frame] = [
    said("one"),
    delta("Hel"),
    files(plan="# Plan\n1\n", old="old\n"),
    snapshot({"../bad": "x", "plan.md": "# Plan\n1\n", "new.md": "n\n", "big.md": "x" * (MAX_FILE_BYTES + 1)}),
    delta("lo"),
    used(10, 3),
    snapshot({"../bad": "x", "plan.md": "# Plan\n2\n", "new.md": "n\n"}),
    garbage(),
    used(5, 1),
    said("two"),
    end(summary="Done."),
]

STARTED = ("ProposalStarted", {"thread_id": "thread-ID", "runtime": "scripted"})
ENDED = ("ProposalEnded", {"failure": None})


def progressed(message: object) -> tuple[str, Any]:
    return "ProposalProgressed", {"message": message}


def refused(path: str, reason: str) -> tuple[str, Any]:
    return "RuntimeEventReceived", {"event_type": "file_refused", "data": {"path": path, "reason": reason}}


class Died(Exception):
    """The worker's process, as far as its database can tell."""


async def run(engine: Engine, *script: Step, given: dict[str, str] | None = None) -> UUID:
    """Run a script on an execution of its own."""
    execution_id = await engine.order(given)
    await engine.ingest(ScriptedRuntime(*script)).run(await engine.claimed())
    return execution_id


async def take_over(engine: Engine, runtime: ScriptedRuntime) -> None:
    await engine.ingest(runtime).run(await engine.claimed())


async def messages(engine: Engine, execution_id: UUID) -> list[object]:
    events = await engine.events(execution_id)
    return [event.payload["message"] for event in events if event.type == "ProposalProgressed"]


def deltas(follower: Follower) -> list[tuple[int, str]]:
    return [(event.payload["offset"], event.payload["text"]) for event in follower.got if isinstance(event, LiveEvent)]


class TestRun:
    async def test_the_log_tells_exactly_what_the_runtime_did(self, engine: Engine) -> None:
        execution_id = await run(engine, *SMALL_RUN, given=GIVEN)
        story = await engine.story(execution_id)
        assert [event for event in story if event[0] != "FilesChanged"] == [
            STARTED,
            progressed("one"),
            refused("../bad", 'A path has no empty, "." or ".." segment.'),
            refused("big.md", f"A file has at most {MAX_FILE_BYTES} bytes; this one has {MAX_FILE_BYTES + 1}."),
            (
                "UsageReported",
                {
                    "model": "model",
                    "usage": {"input_tokens": 10, "output_tokens": 3, "total_tokens": 13},
                    "message_id": None,
                },
            ),
            ("RuntimeEventReceived", {"event_type": "delta", "data": 5}),
            (
                "UsageReported",
                {
                    "model": "model",
                    "usage": {"input_tokens": 5, "output_tokens": 1, "total_tokens": 6},
                    "message_id": None,
                },
            ),
            progressed("two"),
            ENDED,
        ]
        changes = [
            [
                (change["path"], change["kind"], change["additions"], change["deletions"])
                for change in changed["changes"]
            ]
            for type_, changed in story
            if type_ == "FilesChanged"
        ]
        assert changes == [
            [("plan.md", "MODIFIED", 1, 0)],
            [("new.md", "ADDED", 1, 0), ("old.md", "DELETED", 0, 1)],
            [("plan.md", "MODIFIED", 1, 1)],
        ]
        events = await engine.events(execution_id)
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        assert [event.sequence for event in events if event.is_terminal] == [len(events)]

    async def test_the_row_tells_how_it_went(self, engine: Engine) -> None:
        execution_id = await run(engine, *SMALL_RUN, given=GIVEN)
        row = await engine.row(execution_id)
        assert (row.state, row.frames_ingested) == (ExecutionState.ENDED, len(SMALL_RUN))
        assert (row.input_tokens, row.output_tokens) == (15, 4)
        assert engine.listener.outcomes == {execution_id: Outcome(None, "Done.")}

    async def test_files_are_right_after_each_event(self, engine: Engine) -> None:
        execution_id = await run(engine, *SMALL_RUN, given=GIVEN)
        expected = iter(
            [
                {"plan.md": "# Plan\n1\n", "old.md": "old\n"},
                {"plan.md": "# Plan\n1\n", "new.md": "n\n"},
                {"plan.md": "# Plan\n2\n", "new.md": "n\n"},
            ]
        )
        now = GIVEN
        for event in await engine.events(execution_id):
            now = next(expected) if event.type == "FilesChanged" else now
            assert await engine.files(execution_id, event.sequence) == now
        assert await engine.files(execution_id) == now == {"plan.md": "# Plan\n2\n", "new.md": "n\n"}
        assert await engine.files(execution_id, 0) == GIVEN

    async def test_files_of_one_batch_build_on_each_other(self, engine: Engine) -> None:
        execution_id = await run(engine, files(a="1\n"), files(a="2\n"), files(a="1\n"), files(a="1\n"), end())
        changes = [
            event.payload["changes"] for event in await engine.events(execution_id) if "changes" in event.payload
        ]
        assert [(change["kind"], change["additions"], change["deletions"]) for (change,) in changes] == [
            ("ADDED", 1, 0),
            ("MODIFIED", 1, 1),
            ("MODIFIED", 1, 1),
        ]

    async def test_the_runtime_gets_the_request_with_the_files(self, engine: Engine) -> None:
        requests = []

        class Curious(ScriptedRuntime):
            async def events(self, request: RunRequest, thread: ThreadRef) -> AsyncIterator[Frame]:
                requests.append((request.prompt, request.files, thread.handle))
                yield end()

        await engine.order(GIVEN, prompt="Please")
        await engine.ingest(Curious()).run(await engine.claimed())
        assert requests == [("Please", GIVEN, {"region": "north"})]

    async def test_deltas_are_followed_and_not_stored(self, engine: Engine) -> None:
        execution_id = await engine.order()
        script = [delta("Hel"), said("between"), delta("lo"), delta("x", "m2"), delta("\x00\ud800"), end()]
        async with following(engine.log, execution_id) as follower:
            await engine.ingest(ScriptedRuntime(*script)).run(await engine.claimed())
            await follower.ends()
        assert deltas(follower) == [(0, "Hel"), (3, "lo"), (0, "x"), (5, REPLACEMENT * 2)]
        story = await engine.story(execution_id)
        assert story == [STARTED, progressed("between"), ENDED]

    async def test_deltas_alone_are_followed_at_once(self, engine: Engine) -> None:
        gate = asyncio.Event()
        execution_id = await engine.order()
        async with following(engine.log, execution_id) as follower:
            task = asyncio.create_task(
                engine.ingest(ScriptedRuntime(delta("Hel"), gate, end())).run(await engine.claimed())
            )
            await until(lambda: deltas(follower) == [(0, "Hel")])
            gate.set()
            await task

    async def test_a_delta_before_files_comes_before_them(self, engine: Engine) -> None:
        execution_id = await engine.order()
        async with following(engine.log, execution_id) as follower:
            await engine.ingest(ScriptedRuntime(delta("a"), files(), delta("b"), end())).run(await engine.claimed())
            await follower.ends()
        assert deltas(follower) == [(0, "a"), (1, "b")]

    @pytest.mark.parametrize("size", [1, 99, 100, 101, 250])
    async def test_long_runs_come_in_bounded_batches(self, engine: Engine, size: int) -> None:
        execution_id = await run(engine, *(said(number) for number in range(size)), end())
        assert await messages(engine, execution_id) == list(range(size))
        events = await engine.events(execution_id)
        moments = {event.occurred_at for event in events if event.type == "ProposalProgressed"}
        assert len(moments) >= -(-size // 100)

    async def test_a_fast_runtime_is_not_read_ahead_of_the_log(self, engine: Engine) -> None:
        execution_id = await engine.order()
        gate = asyncio.Event()
        runtime = ScriptedRuntime(gate, *(said(number) for number in range(2000)), end())
        task = asyncio.create_task(take_over(engine, runtime))
        await until(lambda: runtime.open_streams > 0)
        async with engine.database.transaction() as session:
            await session.get_one(Execution, execution_id, with_for_update=True)
            gate.set()
            await until(lambda: runtime.sent >= READ_AHEAD)
            for _ in range(2000):
                await asyncio.sleep(0)
            assert runtime.sent <= BATCH + READ_AHEAD + 1
        await task
        assert await messages(engine, execution_id) == list(range(2000))


class TestEnds:
    async def test_what_the_runtime_says_of_its_failure_is_told(self, engine: Engine) -> None:
        execution_id = await run(engine, said("one"), end(error="out of \x00 money\ud800", summary="\ud83d"))
        assert engine.listener.outcomes[execution_id] == Outcome(
            Failure(ErrorCode.RUNTIME_FAILED, f"out of {REPLACEMENT} money{REPLACEMENT}", is_retryable=True),
            REPLACEMENT,
        )
        assert (await engine.row(execution_id)).state is ExecutionState.ENDED

    @pytest.mark.parametrize("later", [[end(error="no")], [said("late")], [files(late="x"), used(9, 9)]])
    async def test_nothing_counts_after_the_end(self, engine: Engine, later: list[Step]) -> None:
        execution_id = await run(engine, said("one"), end(), *later)
        assert await engine.story(execution_id) == [STARTED, progressed("one"), ENDED]
        row = await engine.row(execution_id)
        assert (row.frames_ingested, row.input_tokens) == (2, 0)

    async def test_only_the_listener_closes_the_log(self, engine: Engine) -> None:
        execution_id = await run(engine, Frame("final", None), said("more"), end())
        assert await messages(engine, execution_id) == ["final", "more"]

    async def test_a_run_that_takes_too_long_fails_and_is_stopped(self, engine: Engine) -> None:
        execution_id = await engine.order()
        runtime = ScriptedRuntime(said("one"), asyncio.Event())
        await engine.ingest(runtime, patience=Patience(total=0.5)).run(await engine.claimed())
        failure = engine.listener.outcomes[execution_id].failure
        assert failure == Failure(
            ErrorCode.RUNTIME_TIMEOUT, "The runtime did not finish within 0 seconds.", is_retryable=True
        )
        assert (await engine.row(execution_id)).state is ExecutionState.TO_FORGET
        assert runtime.open_streams == 0

    async def test_a_time_out_of_another_kind_is_not_the_runs(self, engine: Engine) -> None:
        await engine.order()
        runtime = ScriptedRuntime(said("one"), Break(TimeoutError()))
        with pytest.raises(TimeoutError):
            await take_over(engine, runtime)

    async def test_after_too_many_losses_it_fails_without_another_try(self, engine: Engine) -> None:
        execution_id = await engine.order()
        await engine.set(execution_id, f"attempts = {executions.MAX_ATTEMPTS}")
        runtime = ScriptedRuntime(end())
        await take_over(engine, runtime)
        failure = engine.listener.outcomes[execution_id].failure
        assert failure is not None
        assert (failure.code, failure.is_retryable) == (ErrorCode.RUNTIME_FAILED, True)
        assert runtime.started == []
        assert (await engine.row(execution_id)).state is ExecutionState.TO_FORGET

    async def test_a_refusal_for_good_is_a_failure(self, engine: Engine) -> None:
        execution_id = await engine.order()
        runtime = ScriptedRuntime(end())
        runtime.starting.faults.append(RuntimeFailure("No such \x00 model.", is_retryable=False))
        await take_over(engine, runtime)
        assert engine.listener.outcomes[execution_id].failure == Failure(
            ErrorCode.RUNTIME_FAILED, f"No such {REPLACEMENT} model.", is_retryable=False
        )

    async def test_a_refusal_for_now_is_a_loss(self, engine: Engine) -> None:
        await engine.order()
        runtime = ScriptedRuntime(end())
        runtime.starting.faults.append(RuntimeFailure("Busy.", is_retryable=True))
        with pytest.raises(RuntimeFailure):
            await take_over(engine, runtime)
        assert engine.listener.started_ids == []


class TestPoison:
    async def test_what_can_not_be_stored_is_replaced(self, engine: Engine) -> None:
        execution_id = await run(engine, said("a\x00\ud800"), said(10**400), Frame("odd\x00", {"\ud800": 1e300}), end())
        story = await engine.story(execution_id)
        assert story[1] == progressed(f"a{REPLACEMENT}{REPLACEMENT}")
        assert story[3] == (
            "RuntimeEventReceived",
            {"event_type": f"odd{REPLACEMENT}", "data": {REPLACEMENT: "1e+300"}},
        )
        assert story[-1] == ENDED

    async def test_a_bad_file_is_told_once_and_the_last_good_one_stays(self, engine: Engine) -> None:
        bad = {"a\x00\ud800.md": "x", "plan.md": "\x00"}
        execution_id = await run(engine, files(plan="good"), snapshot(bad), snapshot(bad), files(plan="better"), end())
        types = [type_ for type_, _ in await engine.story(execution_id)]
        assert types.count("RuntimeEventReceived") == 2
        assert types.count("FilesChanged") == 2
        assert await engine.files(execution_id) == {"plan.md": "better"}

    async def test_a_limited_number_of_bad_files_is_told(self, engine: Engine) -> None:
        bad = {f"/{number}": "x" for number in range(snapshots.MAX_REFUSALS + 50)}
        execution_id = await run(engine, snapshot(bad), snapshot({"/one-more": "x"}), end())
        assert len(await engine.events(execution_id)) == snapshots.MAX_REFUSALS + 2

    async def test_usage_that_can_not_be_is_not_believed(self, engine: Engine) -> None:
        execution_id = await run(engine, used(-5, 2**80), used(1, 1, "m\x00"), end())
        row = await engine.row(execution_id)
        assert (row.input_tokens, row.output_tokens) == (1, MAX_TOKENS + 1)
        assert (await engine.story(execution_id))[2][1]["model"] == f"m{REPLACEMENT}"


class TestTakeover:
    async def test_whenever_the_stream_breaks_the_log_is_that_of_an_undisturbed_run(self, engine: Engine) -> None:
        undisturbed = await engine.story(await run(engine, *SMALL_RUN, given=GIVEN))
        final = {"plan.md": "# Plan\n2\n", "new.md": "n\n"}
        for count in range(len(SMALL_RUN)):
            runtime = ScriptedRuntime(*SMALL_RUN[:count], Break(Died()), *SMALL_RUN[count:])
            execution_id = await engine.order(GIVEN)
            with pytest.raises(Died):
                await take_over(engine, runtime)
            await take_over(engine, runtime)
            assert await engine.story(execution_id) == undisturbed, count
            assert await engine.files(execution_id) == final
            row = await engine.row(execution_id)
            assert (row.input_tokens, row.output_tokens) == (15, 4)
            assert runtime.started == [execution_id]
            assert runtime.open_streams == 0

    async def test_whenever_the_worker_is_stopped_the_log_is_that_of_an_undisturbed_run(self, engine: Engine) -> None:
        undisturbed = await engine.story(await run(engine, *SMALL_RUN, given=GIVEN))
        for count in range(len(SMALL_RUN)):
            gate = asyncio.Event()
            execution_id = await engine.order(GIVEN)
            runtime = ScriptedRuntime(*SMALL_RUN[:count], gate, *SMALL_RUN[count:])
            task = asyncio.create_task(take_over(engine, runtime))
            await until(lambda runtime=runtime, count=count: runtime.open_streams > 0 and runtime.sent == count)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            assert runtime.open_streams == 0
            gate.set()
            await take_over(engine, runtime)
            assert await engine.story(execution_id) == undisturbed, count

    async def test_a_worker_that_dies_before_it_records_the_end_is_no_loss(self, engine: Engine) -> None:
        execution_id = await engine.order()
        runtime = ScriptedRuntime(said("one"), end(summary="Done."))
        engine.listener.faults.append(Died())
        with pytest.raises(Died):
            await take_over(engine, runtime)
        assert (await engine.row(execution_id)).frames_ingested == 2
        await take_over(engine, runtime)
        assert await engine.story(execution_id) == [STARTED, progressed("one"), ENDED]
        assert engine.listener.outcomes[execution_id].summary == "Done."

    async def test_offsets_of_deltas_go_on(self, engine: Engine) -> None:
        execution_id = await engine.order()
        runtime = ScriptedRuntime(delta("Hel"), said("between"), Break(Died()), delta("lo"), end())
        with pytest.raises(Died):
            await take_over(engine, runtime)
        async with following(engine.log, execution_id, after=2) as follower:
            await take_over(engine, runtime)
            await follower.ends()
        assert deltas(follower) == [(3, "lo")]

    async def test_without_replay_what_is_not_sent_again_is_not_waited_for(self, engine: Engine) -> None:
        execution_id = await engine.order()
        script = [said(1), used(1, 0), Break(Died()), said(2), Break(Died()), said(3), used(2, 0), end()]
        runtime = ScriptedRuntime(*script, resume=Resume.NONE)
        for _ in range(2):
            with pytest.raises(Died):
                await take_over(engine, runtime)
        await take_over(engine, runtime)
        assert await messages(engine, execution_id) == [1, 2, 3]
        row = await engine.row(execution_id)
        assert (row.frames_ingested, row.input_tokens) == (6, 3)

    async def test_a_runtime_that_was_asked_and_not_recorded_is_asked_again(self, engine: Engine) -> None:
        execution_id = await engine.order()
        gate = asyncio.Event()
        runtime = ScriptedRuntime(end())
        runtime.starting.faults.append(gate)
        task = asyncio.create_task(take_over(engine, runtime))
        await until(lambda: bool(runtime.started))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await take_over(engine, runtime)
        assert runtime.started == [execution_id] * 2
        assert await engine.story(execution_id) == [STARTED, ENDED]


class TestFence:
    @pytest.mark.parametrize("later", [[said("late"), end()], [files(late="x"), end()], [end()], [garbage(), end()]])
    async def test_a_paused_worker_writes_nothing_when_it_wakes(self, engine: Engine, later: list[Step]) -> None:
        execution_id = await engine.order()
        paused, awake = asyncio.Event(), ScriptedRuntime(said("one"), said("two"), asyncio.Event())
        old = asyncio.create_task(take_over(engine, ScriptedRuntime(said("one"), paused, *later)))
        await until(lambda: _has(engine, execution_id, 2))
        new = asyncio.create_task(take_over(engine, awake))
        await until(lambda: _has(engine, execution_id, 3))
        paused.set()
        with pytest.raises((LeaseLost, AppendRefused)):
            await old
        assert await messages(engine, execution_id) == ["one", "two"]
        assert await engine.files(execution_id) == {}
        assert engine.listener.outcomes == {}
        new.cancel()
        await asyncio.gather(new, return_exceptions=True)

    async def test_a_stopped_execution_takes_no_more(self, engine: Engine) -> None:
        execution_id = await engine.order()
        gate = asyncio.Event()
        runtime = ScriptedRuntime(said("one"), gate, said("late"), end())
        task = asyncio.create_task(take_over(engine, runtime))
        await until(lambda: _has(engine, execution_id, 2))
        await engine.stop(execution_id)
        gate.set()
        with pytest.raises((LeaseLost, AppendRefused)):
            await task
        assert await engine.story(execution_id) == [STARTED, progressed("one"), ("ProposalCancelled", {})]
        assert runtime.open_streams == 0

    async def test_a_thread_that_started_too_late_is_to_be_forgotten(self, engine: Engine) -> None:
        execution_id = await engine.order()
        gate = asyncio.Event()
        runtime = ScriptedRuntime(end())
        runtime.starting.faults.append(gate)
        ingest: Ingest = engine.ingest(runtime)
        claim = await engine.claimed()
        task = asyncio.create_task(ingest.run(claim))
        await until(lambda: bool(runtime.started))
        assert ingest.reading == set()
        await engine.stop(execution_id)
        gate.set()
        with pytest.raises(LeaseLost):
            await task
        row = await engine.row(execution_id)
        assert (row.state, row.thread_id) == (ExecutionState.TO_FORGET, f"thread-{execution_id}")

    async def test_a_thread_that_another_worker_took_over_is_left_to_it(self, engine: Engine) -> None:
        execution_id = await engine.order()
        gate = asyncio.Event()
        runtime = ScriptedRuntime(end())
        runtime.starting.faults.append(gate)
        old = asyncio.create_task(take_over(engine, runtime))
        await until(lambda: bool(runtime.started))
        runtime.starting.faults.clear()
        await take_over(engine, runtime)
        gate.set()
        with pytest.raises(LeaseLost):
            await old
        assert (await engine.row(execution_id)).state is ExecutionState.ENDED


async def _has(engine: Engine, execution_id: UUID, count: int) -> bool:
    return len(await engine.events(execution_id)) >= count
