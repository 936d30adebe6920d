import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import uuid4

import pytest
from support.databases import another
from support.waiting import until

from graphql_api.kit.columns import now
from graphql_api.kit.database import Database
from graphql_api.runtimes.circuit import FAILURES_TO_OPEN, OPEN_SECONDS, TRIAL_SECONDS, TRIALS, Circuit, CircuitState
from graphql_api.runtimes.embedded.adapter import EmbeddedRuntime
from graphql_api.runtimes.guarded import GuardedRuntime
from graphql_api.runtimes.protocol import Frame, RunRequest, RuntimeFailure, ThreadRef, ThreadStatus

pytestmark = pytest.mark.anyio


class UnreachableRuntime(EmbeddedRuntime):
    """A runtime that nobody answers for until `is_back` is set."""

    def __init__(self, *, is_retryable: bool = True) -> None:
        super().__init__(pace_seconds=0)
        self.calls = 0
        self.is_back = False
        self.is_retryable = is_retryable

    async def start(self, request: RunRequest) -> ThreadRef:
        self.calls += 1
        if not self.is_back:
            raise RuntimeFailure("Nobody answers.", is_retryable=self.is_retryable)
        return await super().start(request)


def requested(files: Mapping[str, str] | None = None) -> RunRequest:
    return RunRequest(uuid4(), "Add a tester agent", None, None, files or {})


async def fail(runtime: GuardedRuntime, times: int) -> None:
    for _ in range(times):
        with pytest.raises(RuntimeFailure):
            await runtime.start(requested())


@pytest.fixture
def name() -> str:
    """Name a runtime that no other test knows."""
    return uuid4().hex


@pytest.fixture
async def replica(database: Database) -> AsyncIterator[Database]:
    async with another(database) as second:
        yield second


class TestACircuit:
    async def test_is_closed_for_a_runtime_that_nobody_knows(self, database: Database, name: str) -> None:
        report = await Circuit(database, name).report()

        assert (report.state, report.retry_at) == (CircuitState.CLOSED, None)

    async def test_opens_after_more_than_five_failures_in_a_row(self, database: Database, name: str) -> None:
        circuit = Circuit(database, name)
        unreachable = UnreachableRuntime()
        runtime = GuardedRuntime(unreachable, circuit)

        await fail(runtime, FAILURES_TO_OPEN - 1)
        assert (await circuit.report()).state is CircuitState.CLOSED
        assert await circuit.refusal() is None
        before = now()
        await fail(runtime, 1)

        report = await circuit.report()
        assert report.state is CircuitState.OPEN
        assert report.retry_at is not None
        assert 0 <= (report.retry_at - before).total_seconds() <= OPEN_SECONDS + 15
        refusal = await circuit.refusal()
        assert refusal is not None
        assert refusal.retry_at == report.retry_at

    async def test_is_known_to_other_replicas_and_spares_the_runtime(
        self, database: Database, replica: Database, name: str
    ) -> None:
        await fail(GuardedRuntime(UnreachableRuntime(), Circuit(database, name)), FAILURES_TO_OPEN)
        elsewhere = UnreachableRuntime()

        await fail(GuardedRuntime(elsewhere, Circuit(replica, name)), 1)

        assert elsewhere.calls == 0

    async def test_counts_only_failures_without_a_success_between(self, database: Database, name: str) -> None:
        circuit = Circuit(database, name)
        unreachable = UnreachableRuntime()
        runtime = GuardedRuntime(unreachable, circuit)

        await fail(runtime, FAILURES_TO_OPEN - 1)
        unreachable.is_back = True
        await runtime.start(requested())
        unreachable.is_back = False
        await fail(runtime, FAILURES_TO_OPEN - 1)

        assert (await circuit.report()).state is CircuitState.CLOSED

    async def test_does_not_count_what_the_runtime_refuses_for_good(self, database: Database, name: str) -> None:
        circuit = Circuit(database, name)

        await fail(GuardedRuntime(UnreachableRuntime(is_retryable=False), circuit), FAILURES_TO_OPEN)

        assert (await circuit.report()).state is CircuitState.CLOSED

    async def test_closes_with_the_third_success_in_a_row_after_its_time(self, database: Database, name: str) -> None:
        circuit = Circuit(database, name)
        unreachable = UnreachableRuntime()
        runtime = GuardedRuntime(unreachable, circuit)
        await fail(runtime, FAILURES_TO_OPEN)
        await wait_out(database, name)

        assert (await circuit.report()).state is CircuitState.HALF_OPEN
        assert await circuit.refusal() is None
        unreachable.is_back = True
        for _ in range(TRIALS - 1):
            await runtime.start(requested())
            assert (await circuit.report()).state is CircuitState.HALF_OPEN
        await runtime.start(requested())

        assert (await circuit.report()).state is CircuitState.CLOSED
        unreachable.is_back = False
        await fail(runtime, FAILURES_TO_OPEN - 1)
        assert (await circuit.report()).state is CircuitState.CLOSED

    async def test_trials_are_counted_by_all_replicas(self, database: Database, replica: Database, name: str) -> None:
        unreachable = UnreachableRuntime()
        runtimes = [GuardedRuntime(unreachable, Circuit(where, name)) for where in (database, replica, database)]
        await fail(runtimes[0], FAILURES_TO_OPEN)
        await wait_out(database, name)

        unreachable.is_back = True
        for runtime in runtimes:
            await runtime.start(requested())

        assert (await Circuit(replica, name).report()).state is CircuitState.CLOSED

    async def test_opens_again_when_the_second_trial_fails(self, database: Database, name: str) -> None:
        circuit = Circuit(database, name)
        unreachable = UnreachableRuntime()
        runtime = GuardedRuntime(unreachable, circuit)
        await fail(runtime, FAILURES_TO_OPEN)
        await wait_out(database, name)
        unreachable.is_back = True
        await runtime.start(requested())

        unreachable.is_back = False
        await fail(runtime, 1)

        assert (await circuit.report()).state is CircuitState.OPEN

    async def test_opens_again_when_the_trial_fails(self, database: Database, name: str) -> None:
        circuit = Circuit(database, name)
        runtime = GuardedRuntime(UnreachableRuntime(), circuit)
        await fail(runtime, FAILURES_TO_OPEN)
        await wait_out(database, name)

        await fail(runtime, 1)

        assert (await circuit.report()).state is CircuitState.OPEN


class TestTrials:
    async def test_of_many_callers_at_once_three_are_let_through(
        self, database: Database, replica: Database, name: str
    ) -> None:
        circuit = await half_open(database, name)
        async with trying(circuit, Circuit(replica, name), callers=8) as trials:
            assert len(trials.under_way) == TRIALS
            assert [error.message for error in trials.refused] == ["The runtime's circuit is open."] * 5
            assert (await circuit.report()).state is CircuitState.HALF_OPEN
            await trials.end(*(None for _ in range(TRIALS)))
        assert (await circuit.report()).state is CircuitState.CLOSED

    async def test_one_that_fails_opens_it_and_the_others_say_nothing_any_more(
        self, database: Database, name: str
    ) -> None:
        circuit = await half_open(database, name)
        async with trying(circuit, callers=TRIALS) as trials:
            await trials.end(RuntimeFailure("Nobody answers.", is_retryable=True))
            assert (await circuit.report()).state is CircuitState.OPEN
            await wait_out(database, name)
            async with trying(circuit, callers=1) as later:
                await trials.end(None, None)
                assert (await circuit.report()).state is CircuitState.HALF_OPEN
                await later.end(None)
        assert (await circuit.report()).state is CircuitState.HALF_OPEN

    async def test_those_that_are_lost_are_made_up_for(self, database: Database, name: str) -> None:
        circuit = await half_open(database, name)
        async with trying(circuit, callers=TRIALS):
            await wait_out(database, name, TRIAL_SECONDS)
            async with trying(circuit, callers=TRIALS + 1) as trials:
                assert len(trials.under_way) == TRIALS
                await trials.end(*(None for _ in range(TRIALS)))
            assert (await circuit.report()).state is CircuitState.CLOSED

    async def test_a_refusal_for_good_is_an_answer(self, database: Database, name: str) -> None:
        circuit = await half_open(database, name)
        async with trying(circuit, callers=TRIALS) as trials:
            await trials.end(*(RuntimeFailure("No.", is_retryable=False) for _ in range(TRIALS)))
        assert (await circuit.report()).state is CircuitState.CLOSED

    async def test_what_was_called_before_it_opened_says_nothing_about_it(self, database: Database, name: str) -> None:
        circuit = Circuit(database, name)
        async with trying(circuit, callers=2) as early:
            await fail(GuardedRuntime(UnreachableRuntime(), circuit), FAILURES_TO_OPEN)
            await early.end(None, RuntimeFailure("Nobody answers.", is_retryable=True))
            assert (await circuit.report()).state is CircuitState.OPEN


@dataclass
class Trials:
    """Calls of a runtime that last until they are told how they end."""

    under_way: list[asyncio.Future[None]] = field(default_factory=list)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    refused: list[RuntimeFailure] = field(default_factory=list)
    over: int = 0

    async def call(self, circuit: Circuit) -> None:
        try:
            async with circuit.guard():
                self.under_way.append(answer := asyncio.get_running_loop().create_future())
                await answer
        except RuntimeFailure as error:
            self.refused.append(error)
        self.over += 1

    async def end(self, *errors: RuntimeFailure | None) -> None:
        """End as many calls, each with an error or well, and wait until they are counted."""
        until_over = self.over + len(errors)
        for error in errors:
            answer = self.under_way.pop(0)
            answer.set_result(None) if error is None else answer.set_exception(error)
        await until(lambda: self.over >= until_over)


@asynccontextmanager
async def trying(*circuits: Circuit, callers: int) -> AsyncIterator[Trials]:
    """Let callers call at once, in turns through one circuit or the other; those that have no answer go in the end."""
    trials = Trials()
    trials.tasks = [asyncio.create_task(trials.call(circuits[each % len(circuits)])) for each in range(callers)]
    try:
        await until(lambda: len(trials.under_way) + trials.over == callers)
        yield trials
    finally:
        for task in trials.tasks:
            task.cancel()
        await asyncio.gather(*trials.tasks, return_exceptions=True)


async def half_open(database: Database, name: str) -> Circuit:
    """Give a circuit that opened, and is due to be tried."""
    circuit = Circuit(database, name)
    await fail(GuardedRuntime(UnreachableRuntime(), circuit), FAILURES_TO_OPEN)
    await wait_out(database, name)
    return circuit


class TestAGuardedRuntime:
    async def test_passes_everything_on(self, database: Database, name: str) -> None:
        inner = EmbeddedRuntime(pace_seconds=0)
        runtime = GuardedRuntime(inner, Circuit(database, name))
        request = requested()

        thread = await runtime.start(request)
        frames: list[Frame] = [frame async for frame in runtime.events(request, thread)]

        assert runtime.name == inner.name
        assert runtime.capabilities == inner.capabilities
        assert (await runtime.health()).is_healthy
        assert list(runtime.normalizer(request).normalize(frames[-1]))
        assert (await runtime.snapshot(thread)).status is ThreadStatus.COMPLETED
        await runtime.cancel(thread)
        assert await runtime.forget(thread)
        await runtime.close()


async def wait_out(database: Database, name: str, seconds: float = OPEN_SECONDS) -> None:
    """Let the time pass that a circuit stays open."""
    connection = await database.connect()
    await connection.execute("UPDATE runtime_circuits SET opened_at = opened_at - $2 WHERE name = $1", name, seconds)
    await connection.close()
