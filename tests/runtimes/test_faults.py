"""Every fault of a runtime, through the real worker and database: what becomes of a proposal and its neighbour."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

import pytest
import stamina
from support.adapters import REMOTE, Adapter
from support.executions import Engine, working
from support.proposed import proposed, read
from support.waiting import until

from graphql_api.authoring.models import ProposalStatus
from graphql_api.authoring.outcomes import ProposalOutcomes
from graphql_api.kit.errors import ErrorCode
from graphql_api.runtimes import executions
from graphql_api.runtimes.circuit import Circuit
from graphql_api.runtimes.fakes.faults import Fault
from graphql_api.runtimes.fakes.scripts import SHORT_FILES, short
from graphql_api.runtimes.guarded import GuardedRuntime
from graphql_api.runtimes.lines import Patience
from graphql_api.runtimes.worker import Worker

pytestmark = pytest.mark.anyio

ENDS = {
    True: (ProposalStatus.COMPLETED, "ProposalCompleted"),
    False: (ProposalStatus.FAILED, "ProposalFailed"),
}
PATIENCE = Patience(total=30, idle=20, outage=5, silence=0.3, asking=0.05, first_delay=0.005, longest_delay=0.02)
"""Of a worker whose time is short."""

SILENT = {Fault.NEVER_ENDS, Fault.SILENT}
"""Where nobody would wait for the next frame as long as a busy machine may take for a huge one."""

BREAKS = {Fault.DROP_MID_FRAME, Fault.DROPS_ALWAYS, Fault.RESTARTS}
MAY_BREAK = {Fault.CLOSES_EARLY, Fault.HUGE_FRAMES}
"""Here it depends on the protocol, or on how far the run is by then, whether the stream was needed any more."""

UNREADABLE = {Fault.GARBAGE, Fault.INVALID_UTF8}
TROUBLE = {"RuntimeLinkChanged", "RuntimeEventReceived"}
TERMINAL = {"ProposalCompleted", "ProposalFailed", "ProposalCancelled"}
REQUIREMENTS = "THE_SPEC/requirements.md"
NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True)
class Expected:
    """What becomes of a proposal.

    Attributes:
        code: Of the failure; None when it completes.
        files: Content by path, in the end.
    """

    files: Mapping[str, str]
    code: ErrorCode | None = None


COMPLETED = Expected(SHORT_FILES)
FAILED = Expected(NOTHING, ErrorCode.RUNTIME_FAILED)
TIMED_OUT = Expected(SHORT_FILES, ErrorCode.RUNTIME_TIMEOUT)

TABLE: Mapping[Fault, Expected] = {
    Fault.SLOW: COMPLETED,
    Fault.REFUSES: FAILED,
    Fault.REFUSES_ONCE: COMPLETED,
    Fault.FAILS_TO_START: FAILED,
    Fault.FAILS_AFTER_START: COMPLETED,
    Fault.DROP_MID_FRAME: COMPLETED,
    Fault.DROPS_ALWAYS: COMPLETED,
    Fault.CLOSES_EARLY: COMPLETED,
    Fault.DUPLICATES: COMPLETED,
    Fault.REORDERS: COMPLETED,
    Fault.GARBAGE: COMPLETED,
    Fault.INVALID_UTF8: COMPLETED,
    Fault.HUGE_FRAMES: COMPLETED,
    Fault.NEVER_ENDS: TIMED_OUT,
    Fault.SILENT: Expected(NOTHING, ErrorCode.RUNTIME_TIMEOUT),
    Fault.ENDS_TWICE: COMPLETED,
    Fault.NO_FILES: FAILED,
    Fault.FILES_IN_STATE_ONLY: COMPLETED,
    Fault.CHANGES_THREAD_ID: COMPLETED,
    Fault.RESTARTS: Expected({REQUIREMENTS: SHORT_FILES[REQUIREMENTS]}, ErrorCode.RUNTIME_FAILED),
    Fault.ERROR_THEN_END: Expected(SHORT_FILES, ErrorCode.RUNTIME_FAILED),
    Fault.EVENTS_AFTER_END: COMPLETED,
    Fault.STATE_LIES: COMPLETED,
}


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let nobody wait before trying again."""
    monkeypatch.setattr(executions, "FIRST_DELAY", timedelta(milliseconds=5))
    monkeypatch.setattr(executions, "LONGEST_DELAY", timedelta(milliseconds=20))
    stamina.set_testing(True, attempts=3)
    yield
    stamina.set_testing(False)


@pytest.mark.parametrize("adapter", REMOTE, ids=lambda adapter: adapter.name)
@pytest.mark.parametrize(("fault", "expected"), TABLE.items(), ids=[fault.value for fault in TABLE])
async def test_a_fault(engine: Engine, adapter: Adapter, fault: Fault, expected: Expected) -> None:
    async with adapter.runtime(script=short, speed=20, slow_seconds=0.005, huge=34_000_000) as stage:
        runtime = GuardedRuntime(stage.runtime, Circuit(engine.database, f"{adapter.name}-{fault.value}"))
        patience = replace(PATIENCE, idle=1) if fault in SILENT else PATIENCE
        worker = Worker(engine.database, engine.log, runtime, ProposalOutcomes(engine.log), patience=patience)
        faulty = await proposed(engine, f"[fault:{fault.value}] Do it.")
        neighbour = await proposed(engine)
        async with working(worker):
            await over(engine, neighbour)
            await over(engine, faulty)
    await assert_ended(engine, neighbour, COMPLETED)
    assert not TROUBLE & {event.type for event in await engine.events(neighbour)}
    await assert_ended(engine, faulty, expected)
    told = {event.type for event in await engine.events(faulty)}
    if fault not in MAY_BREAK:
        assert ("RuntimeLinkChanged" in told) is (fault in BREAKS)
    assert ((await engine.row(faulty)).thread_id in {None, str(faulty)}) is (fault is not Fault.CHANGES_THREAD_ID)
    if fault in UNREADABLE:
        assert "RuntimeEventReceived" in told


async def over(engine: Engine, proposal_id: UUID) -> None:
    """Wait until a proposal has ended."""

    async def has_ended() -> bool:
        return (await read(engine, proposal_id)).status not in {ProposalStatus.PENDING, ProposalStatus.PROCESSING}

    await until(has_ended)


async def assert_ended(engine: Engine, proposal_id: UUID, expected: Expected) -> None:
    """Check the end of a proposal, and that its log tells the same once and last."""
    proposal = await read(engine, proposal_id)
    told = [event.type for event in await engine.events(proposal_id)]
    status, last = ENDS[expected.code is None]
    assert (proposal.status, proposal.failure_code) == (status, expected.code), (proposal.failure_message, told)
    assert [event.sequence for event in await engine.events(proposal_id)] == [*range(1, len(told) + 1)]
    assert [event_type for event_type in told if event_type in TERMINAL] == [last] == told[-1:]
    assert await engine.files(proposal_id) == expected.files
