import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

import pytest
from structlog.testing import capture_logs
from support.databases import another
from support.executions import Engine, Listener, working
from support.logs import following, running_log
from support.scripted_runtime import Break, ScriptedRuntime, Step, end, files, said, used
from support.waiting import until

from graphql_api.events.records import NewEvent
from graphql_api.kit.database import Database, parse_url
from graphql_api.kit.errors import ErrorCode
from graphql_api.runtimes import executions, forgetting, worker
from graphql_api.runtimes.embedded.adapter import EmbeddedRuntime
from graphql_api.runtimes.models import ExecutionState
from graphql_api.runtimes.protocol import RuntimeFailure

pytestmark = pytest.mark.anyio

PATIENT = timedelta(seconds=30)


def endless(*script: Step) -> ScriptedRuntime:
    return ScriptedRuntime(*script, asyncio.Event())


async def in_state(engine: Engine, execution_id: UUID, state: ExecutionState) -> None:
    async def is_there() -> bool:
        return (await engine.row(execution_id)).state is state

    await until(is_there)


async def has_events(engine: Engine, execution_id: UUID, count: int) -> None:
    async def are_there() -> bool:
        return len(await engine.events(execution_id)) >= count

    await until(are_there)


async def end_connections(engine: Engine, condition: str) -> None:
    connection = await engine.database.connect()
    await connection.execute(f"SELECT pg_terminate_backend(pid) FROM pg_locks WHERE {condition}")
    await connection.close()


class TestRun:
    async def test_what_is_ordered_is_run_at_once(self, engine: Engine) -> None:
        runtime = ScriptedRuntime(said("one"), files(a="x"), used(2, 1), end(summary="Done."))
        async with working(engine.worker(runtime)):
            execution_id = await engine.order()
            await in_state(engine, execution_id, ExecutionState.ENDED)
        assert [type_ for type_, _ in await engine.story(execution_id)] == [
            "ProposalStarted",
            "ProposalProgressed",
            "FilesChanged",
            "UsageReported",
            "ProposalEnded",
        ]
        assert engine.listener.outcomes[execution_id].summary == "Done."

    async def test_it_runs_the_embedded_runtime_to_its_end(self, engine: Engine) -> None:
        execution_id = await engine.order(prompt="Add a reviewer agent")
        async with working(engine.worker(EmbeddedRuntime(0))), following(engine.log, execution_id) as follower:
            await follower.ends()
        assert follower.sequences == list(range(1, len(follower.sequences) + 1))
        assert "definition.json" in await engine.files(execution_id)

    async def test_two_workers_run_each_execution_once(self, engine: Engine) -> None:
        ids = [await engine.order() for _ in range(50)]
        runtime = ScriptedRuntime(said("one"), end())
        async with another(engine.database) as second_database, running_log(second_database) as second_log:
            second = Engine(second_database, second_log, Listener(second_log))
            # A lease that outlasts a busy machine: what is lost with one is a matter of other tests.
            first, other = engine.worker(runtime, lease=PATIENT), second.worker(runtime, lease=PATIENT)
            async with working(first), working(other):
                await until(lambda: len(engine.listener.outcomes) + len(second.listener.outcomes) == 50)
        assert Counter(runtime.started) == Counter(ids)
        for execution_id in ids:
            row = await engine.row(execution_id)
            assert (row.attempts, row.epoch, row.state) == (1, 1, ExecutionState.ENDED)

    async def test_it_takes_no_more_than_it_can_do(self, engine: Engine) -> None:
        ids = [await engine.order() for _ in range(worker.CAPACITY + 5)]
        async with working(engine.worker(endless())):
            await until(lambda: len(engine.listener.started_ids) == worker.CAPACITY)
            expiry = (await engine.row(ids[0])).lease_expires_at

            async def has_looked_again() -> bool:
                return (await engine.row(ids[0])).lease_expires_at != expiry

            await until(has_looked_again)
            assert len(await engine.claim(limit=100)) == 5

    async def test_a_place_that_is_free_again_is_taken_at_once(self, engine: Engine) -> None:
        ids = [await engine.order() for _ in range(worker.CAPACITY * 2)]
        async with working(engine.worker(ScriptedRuntime(end()))):
            await until(lambda: len(engine.listener.outcomes) == len(ids))

    async def test_without_a_notification_work_is_found(self, engine: Engine) -> None:
        async with working(engine.worker(ScriptedRuntime(end()))) as task:
            await until(lambda: not task.done())
            async with another(engine.database) as quiet_database:
                quiet = Engine(quiet_database, type(engine.log)(quiet_database), engine.listener)
                execution_id = await quiet.order()
            await in_state(engine, execution_id, ExecutionState.ENDED)


class TestLosses:
    async def test_a_stream_that_broke_is_read_again(self, engine: Engine) -> None:
        execution_id = await engine.order()
        script = [said(1), Break(), said(2), Break(RuntimeFailure("Gone.", is_retryable=True)), said(3), end()]
        async with working(engine.worker(ScriptedRuntime(*script))):
            await in_state(engine, execution_id, ExecutionState.ENDED)
        progressed = [payload for type_, payload in await engine.story(execution_id) if type_ == "ProposalProgressed"]
        assert progressed == [{"message": 1}, {"message": 2}, {"message": 3}]
        assert (await engine.row(execution_id)).attempts == 1

    async def test_a_runtime_that_can_not_be_reached_is_asked_again(self, engine: Engine) -> None:
        runtime = ScriptedRuntime(said(1), end())
        runtime.starting.faults.append(RuntimeFailure("Busy.", is_retryable=True))
        execution_id = await engine.order()
        async with working(engine.worker(runtime)):
            await in_state(engine, execution_id, ExecutionState.ENDED)
        assert (await engine.row(execution_id)).attempts == 2

    async def test_one_that_breaks_takes_no_other_with_it(self, engine: Engine) -> None:
        gate = asyncio.Event()
        runtime = ScriptedRuntime(Break(ZeroDivisionError()), gate, end())
        ids = [await engine.order() for _ in range(2)]
        async with working(engine.worker(runtime)):
            gate.set()
            for execution_id in ids:
                await in_state(engine, execution_id, ExecutionState.ENDED)
        assert sorted([(await engine.row(execution_id)).attempts for execution_id in ids]) == [1, 2]

    async def test_after_too_many_it_has_failed(self, engine: Engine) -> None:
        execution_id = await engine.order()
        await engine.set(execution_id, f"attempts = {executions.MAX_ATTEMPTS - 1}")
        runtime = ScriptedRuntime(said("one"), Break(ZeroDivisionError(), times=100))
        async with working(engine.worker(runtime)):
            await until(lambda: runtime.open_streams == 0 and runtime.sent == 1)
            await in_state(engine, execution_id, ExecutionState.QUEUED)
            await engine.set(execution_id, "due_at = now()")
            await in_state(engine, execution_id, ExecutionState.FORGOTTEN)
        failure = engine.listener.outcomes[execution_id].failure
        assert failure is not None
        assert (failure.code, failure.is_retryable) == (ErrorCode.RUNTIME_FAILED, True)
        assert runtime.cancelled == runtime.forgotten == [f"thread-{execution_id}"]
        assert (await engine.events(execution_id))[-1].is_terminal


class TestStop:
    async def test_a_run_that_is_stopped_ends_and_is_forgotten(self, engine: Engine) -> None:
        runtime = endless(said("one"))
        async with working(engine.worker(runtime)):
            execution_id = await engine.order()
            await has_events(engine, execution_id, 2)
            await engine.stop(execution_id)
            await until(lambda: runtime.open_streams == 0)
            await in_state(engine, execution_id, ExecutionState.FORGOTTEN)
        assert runtime.cancelled == runtime.forgotten == [f"thread-{execution_id}"]

    async def test_one_that_is_just_starting_is_forgotten_too(self, engine: Engine) -> None:
        gate = asyncio.Event()
        runtime = endless()
        runtime.starting.faults.append(gate)
        async with working(engine.worker(runtime)):
            execution_id = await engine.order()
            await until(lambda: runtime.started == [execution_id])
            await engine.stop(execution_id)
            await in_state(engine, execution_id, ExecutionState.FORGOTTEN)
            assert runtime.forgotten == []
            gate.set()
            await until(lambda: runtime.forgotten == [f"thread-{execution_id}"])

    async def test_one_that_never_started_has_nothing_to_forget(self, engine: Engine) -> None:
        execution_id = await engine.order()
        await engine.stop(execution_id)
        runtime = endless()
        async with working(engine.worker(runtime)):
            await in_state(engine, execution_id, ExecutionState.FORGOTTEN)
        assert runtime.cancelled == runtime.started == []


class TestForgetting:
    async def test_what_fails_is_asked_again_later(self, engine: Engine) -> None:
        runtime = endless()
        runtime.forgetting.faults.append(RuntimeFailure("Busy.", is_retryable=True))
        runtime.cancelling.faults.append(ZeroDivisionError())
        execution_id = await self.stopped(engine)
        forgetter = forgetting.Forgetter(engine.database, runtime)
        for attempt in (1, 2):
            await forgetter.forget_due()
            row = await engine.row(execution_id)
            assert (row.state, row.attempts) == (ExecutionState.TO_FORGET, attempt)
            await forgetter.forget_due()
            assert len(runtime.cancelled) == attempt
            await engine.set(execution_id, "due_at = now()")
        await forgetter.forget_due()
        assert (await engine.row(execution_id)).state is ExecutionState.FORGOTTEN
        assert (len(runtime.cancelled), len(runtime.forgotten)) == (3, 2)

    async def test_after_too_many_failures_it_is_given_up(self, engine: Engine) -> None:
        execution_id = await self.stopped(engine)
        await engine.set(execution_id, f"attempts = {executions.MAX_ATTEMPTS - 1}")
        runtime = endless()
        runtime.cancelling.faults.append(TimeoutError())
        await forgetting.Forgetter(engine.database, runtime).forget_due()
        assert (await engine.row(execution_id)).state is ExecutionState.FORGOTTEN

    async def test_many_are_forgotten_in_rounds(self, engine: Engine) -> None:
        ids = [await self.stopped(engine) for _ in range(forgetting.AT_ONCE + 1)]
        runtime = endless()
        await forgetting.Forgetter(engine.database, runtime).forget_due()
        assert sorted(runtime.forgotten) == sorted(f"thread-{execution_id}" for execution_id in ids)

    async def test_a_thread_that_became_known_meanwhile_is_not_lost(self, engine: Engine) -> None:
        execution_id = await engine.order()
        await engine.stop(execution_id)
        (seen,) = await forgetting.claim_due(engine.database)
        await engine.set(execution_id, "thread_id = 'late'")
        await forgetting.forgotten(engine.database, seen)
        assert (await engine.row(execution_id)).state is ExecutionState.TO_FORGET

    async def test_a_runtime_that_does_not_answer_costs_no_lease(self, engine: Engine) -> None:
        runtime = endless(said("one"))
        runtime.cancelling.faults.append(asyncio.Event())
        await self.stopped(engine)
        async with working(engine.worker(runtime, lease=PATIENT)):
            await until(lambda: bool(runtime.cancelled))
            execution_id = await engine.order()
            await has_events(engine, execution_id, 2)
            await engine.set(execution_id, "lease_expires_at = now() + interval '2 seconds'")

            async def is_prolonged() -> bool:
                connection = await engine.database.connect()
                query = "SELECT lease_expires_at > now() + interval '5 seconds' FROM executions WHERE id = $1"
                answer: bool = await connection.fetchval(query, execution_id)
                await connection.close()
                return answer

            await until(is_prolonged)

    async def stopped(self, engine: Engine) -> UUID:
        execution_id = await engine.order()
        await engine.set(execution_id, f"thread_id = 'thread-{execution_id}'")
        await engine.stop(execution_id)
        return execution_id


class TestHandOver:
    async def test_a_worker_that_goes_leaves_its_work_claimable_and_nothing_behind(self, engine: Engine) -> None:
        runtime = endless(said("one"))
        before = asyncio.all_tasks()
        async with working(engine.worker(runtime)) as task:
            ids = [await engine.order() for _ in range(3)]
            for execution_id in ids:
                await has_events(engine, execution_id, 2)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        for execution_id in ids:
            row = await engine.row(execution_id)
            assert (row.state, row.attempts, row.lease_owner) == (ExecutionState.QUEUED, 0, None)
        assert len(await engine.claim(limit=9)) == 3
        assert runtime.open_streams == 0
        assert asyncio.all_tasks() <= before

    async def test_another_worker_goes_on_where_it_was(self, engine: Engine) -> None:
        gate = asyncio.Event()
        runtime = ScriptedRuntime(said("one"), gate, said("two"), end())
        execution_id = await engine.order()
        async with following(engine.log, execution_id) as follower:
            async with working(engine.worker(runtime)):
                await has_events(engine, execution_id, 2)
            gate.set()
            async with working(engine.worker(runtime)):
                await follower.ends()
        assert follower.sequences == [1, 2, 3, 4]
        row = await engine.row(execution_id)
        assert (row.attempts, row.epoch) == (1, 2)

    async def test_a_worker_that_never_reached_its_database_goes_too(self, engine: Engine) -> None:
        nowhere = Database(parse_url("postgresql://nobody@/nothing?host=/nonexistent"))
        async with working(worker.Worker(nowhere, engine.log, endless(), engine.listener)) as task:
            for _ in range(10):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task


class TestRefusals:
    """What the database refuses for a while: the worker lives on, and tries again."""

    async def test_what_could_not_be_claimed_is_claimed_later(self, engine: Engine) -> None:
        runtime = ScriptedRuntime(end())
        stopped = await engine.order()
        await engine.stop(stopped)
        tried = engine.worker(runtime)
        with capture_logs() as logs:
            async with refusing(engine, "attempts = 0"), working(tried):
                execution_id = await engine.order()
                await until(lambda: {"nothing_claimed", "forgetting_put_off"} <= {entry["event"] for entry in logs})
                assert tried.is_connected
            async with working(tried):
                await in_state(engine, execution_id, ExecutionState.ENDED)
                await in_state(engine, stopped, ExecutionState.FORGOTTEN)

    async def test_what_could_not_be_given_back_expires(self, engine: Engine) -> None:
        gate = asyncio.Event()
        runtime = ScriptedRuntime(said("one"), gate, Break(ZeroDivisionError()), said("two"), end())
        with capture_logs() as logs:
            async with working(engine.worker(runtime, lease=timedelta(seconds=2))):
                execution_id = await engine.order()
                await has_events(engine, execution_id, 2)
                async with refusing(engine, "state <> 'QUEUED'"):
                    gate.set()
                    await until(lambda: "lease_left_to_expire" in {entry["event"] for entry in logs})
                await in_state(engine, execution_id, ExecutionState.ENDED)
        assert (await engine.row(execution_id)).attempts == 2


@asynccontextmanager
async def refusing(engine: Engine, rule: str) -> AsyncIterator[None]:
    """Let the database refuse rows of executions that break a rule."""
    connection = await engine.database.connect()
    await connection.execute(f"ALTER TABLE executions ADD CONSTRAINT refusing CHECK ({rule}) NOT VALID")
    try:
        yield
    finally:
        await connection.execute("ALTER TABLE executions DROP CONSTRAINT refusing")
        await connection.close()


class TestConnection:
    async def test_a_lost_connection_is_renewed_and_the_work_goes_on(self, engine: Engine) -> None:
        gate = asyncio.Event()
        runtime = ScriptedRuntime(said("one"), gate, end())
        tried = engine.worker(runtime)
        async with working(tried):
            execution_id = await engine.order()
            await has_events(engine, execution_id, 2)
            owner = (await engine.row(execution_id)).lease_owner
            await end_connections(engine, f"locktype = 'advisory' AND classid = {executions.WORKER_LOCKS}")

            async def is_held_anew() -> bool:
                return (await engine.row(execution_id)).lease_owner != owner

            await until(is_held_anew)
            assert tried.is_connected
            gate.set()
            await in_state(engine, execution_id, ExecutionState.ENDED)
        assert (await engine.row(execution_id)).epoch == 1

    async def test_a_run_whose_lease_was_taken_is_left(self, engine: Engine) -> None:
        runtime = endless(said("one"))
        async with working(engine.worker(runtime)):
            execution_id = await engine.order()
            await has_events(engine, execution_id, 2)
            await engine.set(execution_id, "epoch = epoch + 1, lease_owner = 1")
            await until(lambda: runtime.open_streams == 0)

    async def test_a_run_that_meets_a_closed_log_is_left(self, engine: Engine) -> None:
        gate = asyncio.Event()
        runtime = ScriptedRuntime(said("one"), gate, said("two"), end())
        async with working(engine.worker(runtime, lease=timedelta(seconds=30))):
            execution_id = await engine.order()
            await has_events(engine, execution_id, 2)
            async with engine.database.transaction() as session:
                await engine.log.append(session, execution_id, [NewEvent("Closed", {}, is_terminal=True)])
            gate.set()
            await until(lambda: runtime.open_streams == 0)
        assert len(await engine.events(execution_id)) == 3
