"""The engine with its real listener: what becomes of a proposal."""

import pytest
from support.executions import Engine
from support.proposed import proposed, read
from support.scripted_runtime import Break, ScriptedRuntime, end, files, said

from graphql_api.authoring.models import ProposalStatus
from graphql_api.authoring.outcomes import ProposalOutcomes
from graphql_api.kit.errors import ErrorCode
from graphql_api.runtimes import executions
from graphql_api.runtimes.ingest import Ingest
from graphql_api.runtimes.models import ExecutionState
from graphql_api.runtimes.protocol import RuntimeFailure

pytestmark = pytest.mark.anyio


async def run(engine: Engine, runtime: ScriptedRuntime) -> None:
    ingest = Ingest(engine.database, engine.log, runtime, ProposalOutcomes(engine.log))
    await ingest.run(await engine.claimed())


class TestProposals:
    async def test_a_run_that_succeeds_completes_it(self, engine: Engine) -> None:
        proposal_id = await proposed(engine)
        await run(engine, ScriptedRuntime(said("one"), files(a="x"), end(summary="Done.")))
        proposal = await read(engine, proposal_id)
        assert (proposal.status, proposal.impact_analysis) == (ProposalStatus.COMPLETED, "Done.")
        assert [type_ for type_, _ in await engine.story(proposal_id)] == [
            "ProposalStarted",
            "ProposalProgressed",
            "FilesChanged",
            "ProposalCompleted",
        ]

    async def test_a_run_that_is_given_up_fails_it_and_is_stopped(self, engine: Engine) -> None:
        proposal_id = await proposed(engine)
        await run(engine, ScriptedRuntime(said("one"), Break(RuntimeFailure("No \x00.", is_retryable=False))))
        proposal = await read(engine, proposal_id)
        assert proposal.status is ProposalStatus.FAILED
        assert (proposal.failure_code, proposal.failure_is_retryable) == (ErrorCode.RUNTIME_FAILED, False)
        assert (await engine.row(proposal_id)).state is ExecutionState.TO_FORGET
        assert (await engine.events(proposal_id))[-1].type == "ProposalFailed"

    async def test_one_that_never_started_can_fail(self, engine: Engine) -> None:
        proposal_id = await proposed(engine)
        await engine.set(proposal_id, f"attempts = {executions.MAX_ATTEMPTS}")
        await run(engine, ScriptedRuntime(end()))
        assert (await read(engine, proposal_id)).status is ProposalStatus.FAILED
        assert [type_ for type_, _ in await engine.story(proposal_id)] == ["ProposalFailed"]
