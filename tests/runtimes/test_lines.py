import asyncio
from typing import Any
from uuid import UUID

import pytest
from support.executions import Engine
from support.logs import following
from support.scripted_runtime import (
    Break,
    ScriptedRuntime,
    Step,
    delta,
    end,
    files,
    message,
    plan,
    said,
    used,
)
from support.waiting import until

from graphql_api.events.records import LiveEvent
from graphql_api.kit.errors import ErrorCode
from graphql_api.runtimes import executions
from graphql_api.runtimes.executions import Failure
from graphql_api.runtimes.ingest import NO_FILES, NOT_KNOWN
from graphql_api.runtimes.lines import Patience
from graphql_api.runtimes.protocol import Resume, RuntimeFailure, Snapshot, ThreadStatus

pytestmark = pytest.mark.anyio

HASTY = Patience(outage=10, idle=10, asking=0.02, silence=0.1, first_delay=0.01, longest_delay=0.02)
GONE = RuntimeFailure("Gone.", is_retryable=True)
COMPLETED = Snapshot(ThreadStatus.COMPLETED, {"a.md": "done"}, "Done.")


class Died(Exception):
    """The worker's process, as far as its database can tell."""


def linked(state: str, *, missed: bool) -> tuple[str, Any]:
    return "RuntimeLinkChanged", {"state": state, "may_have_missed_events": missed}


def progressed(text: object) -> tuple[str, Any]:
    return "ProposalProgressed", {"message": text}


async def run(engine: Engine, runtime: ScriptedRuntime, patience: Patience = HASTY) -> UUID:
    """Run an execution of its own; files are not among what it is given."""
    execution_id = await engine.order()
    await engine.ingest(runtime, patience=patience).run(await engine.claimed())
    return execution_id


async def story(engine: Engine, execution_id: UUID) -> list[tuple[str, Any]]:
    """Read what happened between the start and the end."""
    return (await engine.story(execution_id))[1:-1]


def failure_of(engine: Engine, execution_id: UUID) -> Failure:
    failure = engine.listener.outcomes[execution_id].failure
    assert failure is not None
    return failure


class TestABrokenStream:
    @pytest.mark.parametrize("error", [None, GONE])
    @pytest.mark.parametrize("resume", [Resume.REPLAY, Resume.NONE])
    async def test_is_opened_again_and_both_are_told(
        self, engine: Engine, resume: Resume, error: Exception | None
    ) -> None:
        runtime = ScriptedRuntime(said(1), used(1, 2), Break(error), said(2), end(summary="Done."), resume=resume)

        execution_id = await run(engine, runtime)

        missed = resume is Resume.NONE
        assert [event for event in await story(engine, execution_id) if event[0] != "UsageReported"] == [
            progressed(1),
            linked("LOST", missed=missed),
            linked("RECONNECTED", missed=missed),
            progressed(2),
        ]
        assert engine.listener.outcomes[execution_id].summary == "Done."
        assert runtime.missed == int(missed)
        assert runtime.open_streams == 0
        row = await engine.row(execution_id)
        assert (row.frames_ingested, row.attempts, row.input_tokens) == (4, 1, 1)

    async def test_that_breaks_again_before_it_gives_anything_is_one_loss(self, engine: Engine) -> None:
        runtime = ScriptedRuntime(Break(times=5), said(1), end())
        runtime.states = [Snapshot(ThreadStatus.RUNNING)]

        execution_id = await run(engine, runtime)

        assert await story(engine, execution_id) == [
            linked("LOST", missed=False),
            linked("RECONNECTED", missed=False),
            progressed(1),
        ]

    async def test_that_breaks_while_it_is_replayed_tells_nothing_twice(self, engine: Engine) -> None:
        script: list[Step] = [
            said(1),
            files(a="1"),
            Break(),
            said(2),
            Break(),
            message("Hi"),
            Break(),
            plan("x"),
            end(),
        ]

        execution_id = await run(engine, ScriptedRuntime(*script))

        told = [type_ for type_, _ in await story(engine, execution_id) if type_ != "RuntimeLinkChanged"]
        assert told == [
            "ProposalProgressed",
            "FilesChanged",
            "ProposalProgressed",
            "AgentMessageCompleted",
            "PlanUpdated",
        ]

    async def test_that_stays_away_fails_the_run(self, engine: Engine) -> None:
        runtime = ScriptedRuntime(said(1), Break(GONE, times=10_000))
        runtime.states = [GONE]

        execution_id = await run(engine, runtime, Patience(outage=0.3, first_delay=0.01, longest_delay=0.02))

        failure = failure_of(engine, execution_id)
        assert (failure.code, failure.is_retryable) == (ErrorCode.RUNTIME_FAILED, True)
        assert "could not be made again" in failure.message
        assert runtime.asked >= 1

    async def test_offsets_of_deltas_go_on_where_the_runtime_replays(self, engine: Engine) -> None:
        execution_id = await engine.order()
        script = [delta("Hel"), said(1), Break(), delta("lo"), end()]
        async with following(engine.log, execution_id) as follower:
            await engine.ingest(ScriptedRuntime(*script), patience=HASTY).run(await engine.claimed())
            await follower.ends()

        pieces = [event.payload for event in follower.got if isinstance(event, LiveEvent)]
        assert [(piece["offset"], piece["text"]) for piece in pieces] == [(0, "Hel"), (3, "lo")]

    async def test_a_refusal_for_good_is_not_asked_again(self, engine: Engine) -> None:
        execution_id = await run(engine, ScriptedRuntime(Break(RuntimeFailure("No such run.", is_retryable=False))))

        assert failure_of(engine, execution_id) == Failure(ErrorCode.RUNTIME_FAILED, "No such run.", is_retryable=False)

    async def test_what_breaks_an_adapter_is_for_another_try(self, engine: Engine) -> None:
        await engine.order()

        with pytest.raises(ZeroDivisionError):
            await engine.ingest(ScriptedRuntime(Break(ZeroDivisionError()))).run(await engine.claimed())


class TestAState:
    """What the state of a thread tells when its stream does not."""

    async def test_that_says_three_times_that_the_run_is_complete_is_believed(self, engine: Engine) -> None:
        runtime = ScriptedRuntime(said(1), Break(GONE, times=10_000), resume=Resume.NONE)
        runtime.states = [Snapshot(ThreadStatus.RUNNING), COMPLETED, GONE, COMPLETED]

        execution_id = await run(engine, runtime)

        *told, changed = await story(engine, execution_id)
        assert told == [
            progressed(1),
            linked("LOST", missed=True),
            linked("RECOVERED_FROM_STATE", missed=True),
        ]
        assert changed[0] == "FilesChanged"
        assert await engine.files(execution_id) == {"a.md": "done"}
        outcome = engine.listener.outcomes[execution_id]
        assert (outcome.failure, outcome.summary) == (None, "Done.")
        assert runtime.asked >= 5

    async def test_that_says_that_the_run_failed_is_believed(self, engine: Engine) -> None:
        runtime = ScriptedRuntime(Break(GONE, times=10_000))
        runtime.states = [Snapshot(ThreadStatus.FAILED, error="No key.")]

        execution_id = await run(engine, runtime)

        assert failure_of(engine, execution_id) == Failure(ErrorCode.RUNTIME_FAILED, "No key.", is_retryable=True)

    async def test_that_does_not_know_the_run_any_more_fails_it(self, engine: Engine) -> None:
        runtime = ScriptedRuntime(said(1), Break(), asyncio.Event())

        execution_id = await run(engine, runtime)

        assert failure_of(engine, execution_id).message == NOT_KNOWN
        assert runtime.open_streams == 0

    async def test_that_is_complete_without_files_has_those_that_came_before(self, engine: Engine) -> None:
        runtime = ScriptedRuntime(files(a="1"), Break(GONE, times=10_000))
        runtime.states = [Snapshot(ThreadStatus.COMPLETED)]

        execution_id = await run(engine, runtime)

        assert engine.listener.outcomes[execution_id].failure is None
        assert await engine.files(execution_id) == {"a.md": "1"}

    async def test_is_not_asked_while_the_stream_tells_enough(self, engine: Engine) -> None:
        gate = asyncio.Event()
        runtime = ScriptedRuntime(Break(), message("Hi"), gate, end())
        execution_id = await engine.order()
        patient = Patience(asking=0.02, silence=60, first_delay=0.01)
        task = asyncio.create_task(engine.ingest(runtime, patience=patient).run(await engine.claimed()))
        await until(lambda: runtime.open_streams == 1 and runtime.sent == 1)
        await until(lambda: _told(engine, execution_id, "AgentMessageCompleted"))
        asked = runtime.asked
        for _ in range(20):
            await asyncio.sleep(0)
        gate.set()
        await task

        assert runtime.asked <= asked + 1
        assert engine.listener.outcomes[execution_id].failure is None

    async def test_of_a_silent_stream_makes_it_be_opened_again(self, engine: Engine) -> None:
        silent = asyncio.Event()
        runtime = ScriptedRuntime(files(a="1"), silent, end())
        runtime.states = [COMPLETED]

        execution_id = await run(engine, runtime)

        assert linked("LOST", missed=False) in await story(engine, execution_id)
        assert await engine.files(execution_id) == {"a.md": "done"}

    async def test_that_says_that_a_silent_run_goes_on_changes_nothing(self, engine: Engine) -> None:
        gate = asyncio.Event()
        runtime = ScriptedRuntime(said(1), gate, end())
        runtime.states = [Snapshot(ThreadStatus.RUNNING)]
        execution_id = await engine.order()
        task = asyncio.create_task(engine.ingest(runtime, patience=HASTY).run(await engine.claimed()))
        await until(lambda: runtime.asked >= 5)
        gate.set()
        await task

        assert await story(engine, execution_id) == [progressed(1)]

    async def test_that_breaks_an_adapter_is_for_another_try(self, engine: Engine) -> None:
        await engine.order()
        runtime = ScriptedRuntime(Break(GONE, times=10_000))
        runtime.states = [ZeroDivisionError()]

        with pytest.raises(ZeroDivisionError):
            await engine.ingest(runtime, patience=HASTY).run(await engine.claimed())


class TestAnEndWithoutFiles:
    async def test_has_the_files_of_the_state(self, engine: Engine) -> None:
        runtime = ScriptedRuntime(said(1), end(has_files=False))
        runtime.states = [Snapshot(ThreadStatus.RUNNING), GONE, COMPLETED]

        execution_id = await run(engine, runtime)

        assert await engine.files(execution_id) == {"a.md": "done"}
        assert engine.listener.outcomes[execution_id].summary == "Done."

    @pytest.mark.parametrize(
        ("state", "message"),
        [
            (Snapshot(ThreadStatus.COMPLETED), NO_FILES),
            (Snapshot(ThreadStatus.UNKNOWN), NO_FILES),
            (Snapshot(ThreadStatus.COMPLETED, {}, error="No key."), "No key."),
            (Snapshot(ThreadStatus.FAILED, {"a.md": "x"}, error="No key."), "No key."),
            (Snapshot(ThreadStatus.FAILED), "The runtime failed, and did not say why."),
        ],
    )
    async def test_is_a_failure_when_the_state_has_none(self, engine: Engine, state: Snapshot, message: str) -> None:
        runtime = ScriptedRuntime(said(1), end(has_files=False))
        runtime.states = [state]

        execution_id = await run(engine, runtime)

        assert failure_of(engine, execution_id) == Failure(ErrorCode.RUNTIME_FAILED, message, is_retryable=True)
        assert await engine.files(execution_id) == {}

    async def test_is_a_failure_when_the_state_can_not_be_asked(self, engine: Engine) -> None:
        runtime = ScriptedRuntime(end(has_files=False))
        runtime.states = [GONE]

        assert failure_of(engine, await run(engine, runtime)).message == NO_FILES

    async def test_has_the_files_that_came_before_when_the_state_has_none(self, engine: Engine) -> None:
        runtime = ScriptedRuntime(files(a="1"), end(has_files=False))

        execution_id = await run(engine, runtime)

        assert engine.listener.outcomes[execution_id].failure is None
        assert await engine.files(execution_id) == {"a.md": "1"}

    async def test_that_failed_is_not_looked_into(self, engine: Engine) -> None:
        runtime = ScriptedRuntime(end("No key.", has_files=False))

        assert failure_of(engine, await run(engine, runtime)).message == "No key."
        assert runtime.asked == 0


class TestTime:
    async def test_a_stream_that_says_nothing_fails_the_run(self, engine: Engine) -> None:
        runtime = ScriptedRuntime(said(1), asyncio.Event())

        execution_id = await run(engine, runtime, Patience(idle=0.2))

        assert failure_of(engine, execution_id) == Failure(
            ErrorCode.RUNTIME_TIMEOUT, "The runtime said nothing for 0 seconds.", is_retryable=True
        )
        assert runtime.open_streams == 0

    async def test_a_run_has_its_time_once_whoever_works_on_it(self, engine: Engine) -> None:
        execution_id = await engine.order()
        runtime = ScriptedRuntime(said(1), Break(Died()), asyncio.Event())
        with pytest.raises(Died):
            await engine.ingest(runtime).run(await engine.claimed())
        await engine.set(execution_id, "started_at = now() - interval '1 hour'")

        await engine.ingest(runtime).run(await engine.claimed())

        assert failure_of(engine, execution_id).code is ErrorCode.RUNTIME_TIMEOUT

    async def test_a_run_that_never_began_has_all_its_time(self, engine: Engine) -> None:
        execution_id = await engine.order()
        async with engine.database.transaction() as session:
            assert await executions.seconds_since_start(session, execution_id) == 0


class TestTakeoverWithoutReplay:
    async def test_what_is_stored_is_not_told_again(self, engine: Engine) -> None:
        said_before: list[Step] = [message("Hi"), plan("a"), used(5, 1, message_id="m1"), files(a="1")]
        repeated: list[Step] = [message("Hi"), delta("Hi"), plan("a"), used(5, 1, message_id="m1"), files(a="1")]
        script = [*said_before, Break(Died()), *repeated, message("Bye", "m2"), plan("a", "b"), end()]
        runtime = ScriptedRuntime(*script, resume=Resume.NONE)
        execution_id = await engine.order()
        with pytest.raises(Died):
            await engine.ingest(runtime).run(await engine.claimed())

        await engine.ingest(runtime).run(await engine.claimed())

        assert [type_ for type_, _ in await story(engine, execution_id)] == [
            "AgentMessageCompleted",
            "PlanUpdated",
            "UsageReported",
            "FilesChanged",
            "RuntimeLinkChanged",
            "AgentMessageCompleted",
            "PlanUpdated",
        ]
        assert runtime.missed == 1
        assert (await engine.row(execution_id)).input_tokens == 5

    async def test_a_run_that_ended_meanwhile_is_read_from_its_state(self, engine: Engine) -> None:
        runtime = ScriptedRuntime(files(a="1"), Break(Died()), asyncio.Event(), resume=Resume.NONE)
        runtime.states = [COMPLETED]
        execution_id = await engine.order()
        with pytest.raises(Died):
            await engine.ingest(runtime, patience=HASTY).run(await engine.claimed())

        await engine.ingest(runtime, patience=HASTY).run(await engine.claimed())

        assert await engine.files(execution_id) == {"a.md": "done"}
        assert (await story(engine, execution_id))[1] == linked("RECOVERED_FROM_STATE", missed=True)

    async def test_a_link_that_was_lost_is_told_to_be_back(self, engine: Engine) -> None:
        runtime = ScriptedRuntime(said(1), Break(), Break(Died()), said(2), end())
        execution_id = await engine.order()
        with pytest.raises(Died):
            await engine.ingest(runtime).run(await engine.claimed())

        await engine.ingest(runtime).run(await engine.claimed())

        assert await story(engine, execution_id) == [
            progressed(1),
            linked("LOST", missed=False),
            linked("RECONNECTED", missed=False),
            progressed(2),
        ]


async def _told(engine: Engine, execution_id: UUID, type_: str) -> bool:
    return type_ in [event.type for event in await engine.events(execution_id)]
