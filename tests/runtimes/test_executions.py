import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import text
from support.executions import NOBODY, Engine
from support.waiting import until

from graphql_api.events.log import AppendRefused
from graphql_api.events.records import NewEvent, NewLiveEvent
from graphql_api.runtimes import executions, snapshots
from graphql_api.runtimes.executions import Claim, LeaseLost
from graphql_api.runtimes.models import ExecutionState
from graphql_api.runtimes.protocol import ThreadRef

pytestmark = pytest.mark.anyio

THREAD = ThreadRef("t", {"region": "north"})


async def living(engine: Engine, number: int) -> asyncpg.Connection:
    connection = await engine.database.connect()
    await connection.execute("SELECT pg_advisory_lock($1, $2)", executions.WORKER_LOCKS, number)
    return connection


async def begin(engine: Engine, claim: Claim) -> None:
    async with engine.database.transaction() as session:
        await executions.begin(session, claim, thread=THREAD, runtime="scripted")


async def note(engine: Engine, claim: Claim) -> None:
    await executions.note(engine.database, claim, frames=4)


async def end(engine: Engine, claim: Claim) -> None:
    async with engine.database.transaction() as session:
        await executions.end(session, claim)


async def append(engine: Engine, claim: Claim) -> None:
    async with engine.database.transaction() as session:
        await engine.log.append(session, claim.execution_id, [NewEvent("Happened", {})], epoch=claim.epoch)


async def tell(engine: Engine, claim: Claim) -> list[int]:
    events = [NewEvent("Happened", {"number": 1}), NewLiveEvent("Mentioned", {}), NewEvent("Happened", {"number": 2})]
    stored = await executions.tell(engine.log, claim, events, frames=7, input_tokens=5, output_tokens=3)
    return [event.sequence for event in stored]


async def assert_nothing_told(engine: Engine, claim: Claim) -> None:
    """Check that a claim that is over can neither append nor note anything."""
    before = await engine.row(claim.execution_id), await engine.events(claim.execution_id)
    with pytest.raises(AppendRefused):
        await tell(engine, claim)
    assert (await engine.row(claim.execution_id), await engine.events(claim.execution_id)) == before


async def due_in(engine: Engine, claim: Claim) -> timedelta:
    """Tell how long an execution may not be claimed, by the clock of the database."""
    connection = await engine.database.connect()
    answer: timedelta = await connection.fetchval(
        "SELECT due_at - now() FROM executions WHERE id = $1", claim.execution_id
    )
    await connection.close()
    return answer


class TestTell:
    async def test_events_and_progress_are_written_together(self, engine: Engine) -> None:
        await engine.order()
        claim = await engine.claimed()
        await append(engine, claim)
        assert await tell(engine, claim) == [2, 3]
        assert [event.payload for event in await engine.events(claim.execution_id)][1:] == [
            {"number": 1},
            {"number": 2},
        ]
        assert await tell(engine, claim) == [4, 5]
        row = await engine.row(claim.execution_id)
        assert (row.frames_ingested, row.input_tokens, row.output_tokens) == (7, 10, 6)

    async def test_a_claim_that_is_over_writes_nothing(self, engine: Engine) -> None:
        await engine.order()
        first = await engine.claimed()
        await engine.set(first.execution_id, "lease_expires_at = now()")
        second = await engine.claimed()
        await assert_nothing_told(engine, first)
        await engine.stop(second.execution_id)
        await assert_nothing_told(engine, second)

    async def test_a_closed_log_lets_no_progress_be_noted(self, engine: Engine) -> None:
        await engine.order()
        claim = await engine.claimed()
        async with engine.database.transaction() as session:
            await engine.log.append(session, claim.execution_id, [NewEvent("Ended", {}, is_terminal=True)])
        await assert_nothing_told(engine, claim)

    async def test_a_claim_that_ends_meanwhile_writes_nothing(self, engine: Engine) -> None:
        await engine.order()
        claim = await engine.claimed()
        async with engine.database.transaction() as session:
            await executions.end(session, claim)
            late = asyncio.create_task(tell(engine, claim))
            await until(partial(is_waiting, engine))
        with pytest.raises(AppendRefused):
            await late
        assert await engine.events(claim.execution_id) == []
        assert (await engine.row(claim.execution_id)).frames_ingested == 0

    async def test_another_change_of_the_row_meanwhile_is_no_obstacle(self, engine: Engine) -> None:
        await engine.order()
        claim = await engine.claimed()
        async with engine.database.transaction() as session:
            await session.execute(text("UPDATE executions SET input_tokens = 100"))
            late = asyncio.create_task(tell(engine, claim))
            await until(partial(is_waiting, engine))
        assert await late == [1, 2]
        row = await engine.row(claim.execution_id)
        assert (row.frames_ingested, row.input_tokens) == (7, 105)


async def is_waiting(engine: Engine) -> bool:
    """Tell whether a statement waits for a row that a transaction holds."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return bool((await engine.database.fetch(query))[0][0])


class TestOrder:
    async def test_it_is_queued_with_its_files_and_due_at_once(self, engine: Engine) -> None:
        execution_id = await engine.order({"a.md": "text"}, prompt="Please")
        row = await engine.row(execution_id)
        assert row.state is ExecutionState.QUEUED
        assert row.request == {"prompt": "Please", "context_file_path": None, "context_selection": None}
        assert (row.attempts, row.epoch, row.frames_ingested, row.handle) == (0, 0, 0, {})
        assert await engine.files(execution_id, 0) == {"a.md": "text"}
        assert [claim.execution_id for claim in await engine.claim()] == [execution_id]

    async def test_workers_hear_of_it_once_it_is_committed(self, engine: Engine) -> None:
        heard = []
        connection = await engine.database.connect()
        await connection.add_listener(executions.CHANNEL, lambda *_: heard.append(True))
        await engine.order()
        await until(lambda: bool(heard))
        await connection.close()


class TestClaim:
    async def test_each_claim_counts_an_attempt_and_ends_the_one_before(self, engine: Engine) -> None:
        execution_id = await engine.order()
        first, second = await engine.claimed(), await engine.claimed()
        assert (first, second) == (Claim(execution_id, 1), Claim(execution_id, 2))
        row = await engine.row(execution_id)
        assert (row.state, row.attempts, row.lease_owner) == (ExecutionState.RUNNING, 2, NOBODY)
        with pytest.raises(AppendRefused):
            await append(engine, first)
        for write in (begin, note, end):
            with pytest.raises(LeaseLost):
                await write(engine, first)
        await append(engine, second)

    async def test_what_a_living_worker_holds_is_left_to_it(self, engine: Engine) -> None:
        await engine.order()
        connection = await living(engine, 7)
        assert len(await engine.claim(worker=7)) == 1
        assert await engine.claim() == []
        await connection.close()

    async def test_what_a_dead_worker_held_is_free_at_once(self, engine: Engine) -> None:
        execution_id = await engine.order()
        connection = await living(engine, 7)
        await engine.claim(worker=7)
        connection.terminate()

        async def is_claimed() -> bool:
            return await engine.claim() == [Claim(execution_id, 2)]

        await until(is_claimed)
        assert (await engine.row(execution_id)).lease_expires_at > datetime.now(UTC) + executions.LEASE / 2

    async def test_a_worker_that_lives_and_is_silent_loses_its_lease(self, engine: Engine) -> None:
        execution_id = await engine.order()
        connection = await living(engine, 7)
        await engine.claim(worker=7)
        await engine.set(execution_id, "lease_expires_at = now()")
        assert await engine.claim() == [Claim(execution_id, 2)]
        await connection.close()

    async def test_another_lock_is_no_sign_of_life(self, engine: Engine) -> None:
        await engine.order()
        await engine.claim(worker=7)
        connection = await engine.database.connect()
        await connection.execute("SELECT pg_advisory_lock($1)", (executions.WORKER_LOCKS << 32) + 7)
        assert len(await engine.claim()) == 1
        await connection.close()

    async def test_what_is_due_first_is_claimed_first_and_no_more_than_wanted(self, engine: Engine) -> None:
        ids = [await engine.order() for _ in range(3)]
        await engine.set(ids[0], "due_at = now() + interval '1 hour'")
        await engine.set(ids[2], "due_at = now() - interval '1 hour'")
        assert [claim.execution_id for claim in await engine.claim()] == [ids[2]]
        connection = await living(engine, 7)
        await engine.set(ids[2], "lease_owner = 7")
        assert [claim.execution_id for claim in await engine.claim(limit=9)] == [ids[1]]
        await connection.close()

    async def test_two_at_once_never_claim_the_same(self, engine: Engine) -> None:
        ids = {await engine.order() for _ in range(20)}
        connections = [await living(engine, 7), await living(engine, 8)]
        claims = await asyncio.gather(*(engine.claim(worker=worker, limit=2) for worker in (7, 8) for _ in range(8)))
        claimed = [claim.execution_id for batch in claims for claim in batch]
        assert len(claimed) == len(set(claimed))
        rest = [claim.execution_id for claim in await engine.claim(limit=20)]
        assert {*claimed, *rest} == ids
        assert len(claimed) + len(rest) == 20
        for connection in connections:
            await connection.close()


class TestRenew:
    async def test_what_is_held_is_prolonged_under_the_number_of_now(self, engine: Engine) -> None:
        await engine.order()
        claim = await engine.claimed()
        await engine.set(claim.execution_id, "lease_expires_at = now()")
        connection = await living(engine, 9)
        lease = timedelta(minutes=5)
        assert await executions.renew(connection, [claim], worker=9, lease=lease) == {claim}
        row = await engine.row(claim.execution_id)
        assert row.lease_owner == 9
        assert row.lease_expires_at > datetime.now(UTC) + lease / 2
        assert await engine.claim() == []
        await connection.close()

    async def test_a_claim_that_is_over_is_not_given(self, engine: Engine) -> None:
        for _ in range(4):
            await engine.order()
        ended, stopped, taken, held = await engine.claim(limit=4)
        await end(engine, ended)
        await engine.stop(stopped.execution_id)
        await engine.set(taken.execution_id, "epoch = epoch + 1")
        connection = await living(engine, 9)
        assert await executions.renew(connection, [ended, stopped, taken, held], worker=9) == {held}
        await connection.close()

    async def test_a_claim_that_its_worker_does_not_know_of_expires(self, engine: Engine) -> None:
        execution_id = await engine.order()
        connection = await living(engine, 9)
        await engine.claim(worker=9)
        await engine.set(execution_id, "lease_expires_at = now()")
        assert await executions.renew(connection, [], worker=9) == set()
        assert await engine.claim() == [Claim(execution_id, 2)]
        await connection.close()


class TestWrites:
    async def test_the_thread_is_noted(self, engine: Engine) -> None:
        await engine.order()
        claim = await engine.claimed()
        await begin(engine, claim)
        row = await engine.row(claim.execution_id)
        assert (row.thread_id, row.handle, row.runtime) == ("t", {"region": "north"}, "scripted")
        assert row.started_at is not None

    async def test_frames_without_events_are_noted(self, engine: Engine) -> None:
        await engine.order()
        claim = await engine.claimed()
        await note(engine, claim)
        assert (await engine.row(claim.execution_id)).frames_ingested == 4

    async def test_an_end_frees_the_lease_and_is_the_last_write(self, engine: Engine) -> None:
        await engine.order()
        claim = await engine.claimed()
        await end(engine, claim)
        row = await engine.row(claim.execution_id)
        assert (row.state, row.lease_owner, row.lease_expires_at) == (ExecutionState.ENDED, None, None)
        assert row.ended_at is not None
        with pytest.raises(LeaseLost):
            await end(engine, claim)
        assert await engine.claim() == []


class TestGiveBack:
    async def test_a_handover_is_claimable_at_once_and_no_attempt(self, engine: Engine) -> None:
        await engine.order()
        claim = await engine.claimed()
        await executions.give_back(engine.database, claim, is_loss=False)
        row = await engine.row(claim.execution_id)
        assert (row.state, row.attempts, row.lease_owner) == (ExecutionState.QUEUED, 0, None)
        assert (await engine.claimed()).epoch == 2

    @pytest.mark.parametrize(("attempts", "seconds"), [(1, 1), (2, 2), (3, 4), (4, 8), (5, 8), (5000, 8)])
    async def test_after_a_loss_the_delay_doubles_up_to_its_limit(
        self, engine: Engine, attempts: int, seconds: int
    ) -> None:
        await engine.order()
        claim = await engine.claimed()
        await engine.set(claim.execution_id, f"attempts = {attempts}")
        await executions.give_back(engine.database, claim, is_loss=True)
        assert (await engine.row(claim.execution_id)).attempts == attempts
        assert await engine.claim() == []
        # It was exact in the transaction; since then the clock went on.
        assert timedelta(seconds=seconds / 2) < await due_in(engine, claim) <= timedelta(seconds=seconds)

    async def test_a_claim_that_is_over_gives_nothing_back(self, engine: Engine) -> None:
        await engine.order()
        first, second = await engine.claimed(), await engine.claimed()
        await executions.give_back(engine.database, first, is_loss=False)
        row = await engine.row(first.execution_id)
        assert (row.state, row.attempts, row.epoch) == (ExecutionState.RUNNING, 2, second.epoch)

    async def test_workers_hear_of_it_even_when_this_process_goes(self, engine: Engine) -> None:
        await engine.order()
        claim = await engine.claimed()
        heard = []
        connection = await engine.database.connect()
        await connection.add_listener(executions.CHANNEL, lambda *_: heard.append(True))
        await executions.give_back(engine.database, claim, is_loss=False)
        await until(lambda: bool(heard))
        await connection.close()


class TestStop:
    async def test_whoever_works_on_it_loses_the_claim(self, engine: Engine) -> None:
        await engine.order()
        claim = await engine.claimed()
        await begin(engine, claim)
        await engine.stop(claim.execution_id)
        row = await engine.row(claim.execution_id)
        assert (row.state, row.attempts, row.lease_owner) == (ExecutionState.TO_FORGET, 0, None)
        assert row.ended_at is not None
        with pytest.raises(LeaseLost):
            await end(engine, claim)
        await executions.give_back(engine.database, claim, is_loss=True)
        assert await engine.claim() == []

    async def test_the_moment_of_the_end_stays(self, engine: Engine) -> None:
        await engine.order()
        claim = await engine.claimed()
        await end(engine, claim)
        ended_at = (await engine.row(claim.execution_id)).ended_at
        await engine.stop(claim.execution_id)
        assert (await engine.row(claim.execution_id)).ended_at == ended_at

    async def test_what_is_forgotten_stays_forgotten(self, engine: Engine) -> None:
        execution_id = await engine.order()
        await engine.set(execution_id, "state = 'FORGOTTEN'")
        await engine.stop(execution_id)
        assert (await engine.row(execution_id)).state is ExecutionState.FORGOTTEN


class TestFiles:
    async def test_they_are_read_as_they_are_and_as_they_were(self, engine: Engine) -> None:
        first, second = await engine.order({"a.md": "a", "b.md": "b"}), await engine.order({"c.md": "c"})
        connection = await engine.database.connect()
        query = "UPDATE execution_files SET to_sequence = 3 WHERE execution_id = $1 AND path = 'a.md'"
        await connection.execute(query, first)
        await connection.close()
        unknown = uuid4()
        moments = [(first, 2), (first, 3), (second, 9), (unknown, 1)]
        now = await snapshots.files_now(engine.database, [first, second, unknown])
        then = await snapshots.files_then(engine.database, moments)
        assert {key: [*files] for key, files in now.items()} == {first: ["b.md"], second: ["c.md"], unknown: []}
        assert [[*then[moment]] for moment in moments] == [["a.md", "b.md"], ["b.md"], ["c.md"], []]
        assert await snapshots.files_at(engine.database, first) == now[first]
        assert await snapshots.files_at(engine.database, first, 2) == then[first, 2]

    async def test_of_nothing_are_none(self, engine: Engine) -> None:
        assert (await snapshots.files_now(engine.database, []), await snapshots.files_then(engine.database, [])) == (
            {},
            {},
        )


class TestCounts:
    async def test_workers_that_live_and_executions_that_run(self, engine: Engine) -> None:
        await engine.order()
        await engine.order()
        await engine.claimed()
        connection = await living(engine, 7)
        assert await executions.count_workers(engine.database) == 1
        assert await executions.count_running(engine.database) == 1
        await connection.close()
