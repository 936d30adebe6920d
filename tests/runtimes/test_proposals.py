"""The engine with its real listener: what becomes of a proposal."""

from uuid import UUID, uuid4

import pytest
from support.executions import Engine
from support.people import PASSWORD_HASH
from support.scripted_runtime import Break, ScriptedRuntime, end, files, said

from graphql_api.authoring.models import Draft, Proposal, ProposalStatus, Workflow
from graphql_api.authoring.outcomes import ProposalOutcomes
from graphql_api.identity.models import User
from graphql_api.kit.errors import ErrorCode
from graphql_api.runtimes import executions
from graphql_api.runtimes.ingest import Ingest
from graphql_api.runtimes.models import ExecutionState
from graphql_api.runtimes.protocol import RuntimeFailure

pytestmark = pytest.mark.anyio


async def proposed(engine: Engine) -> UUID:
    """Order an execution for a proposal of somebody, in a workflow of its own."""
    execution_id = await engine.order()
    user = User(email=f"{uuid4().hex}@example.com", name="Ada", password_hash=PASSWORD_HASH, roles=["USER"])
    workflow = Workflow(id=uuid4(), name="Answers")
    async with engine.database.transaction() as session:
        await engine.log.open(session, workflow.id)
        session.add_all([user, workflow])
        await session.flush()
        draft = Draft(workflow_id=workflow.id, name="Draft", created_by_id=user.id)
        session.add(draft)
        await session.flush()
        session.add(
            Proposal(
                id=execution_id,
                workflow_id=workflow.id,
                draft_id=draft.id,
                prompt="Do it.",
                base_revision=1,
                created_by_id=user.id,
            )
        )
    return execution_id


async def run(engine: Engine, runtime: ScriptedRuntime) -> None:
    ingest = Ingest(engine.database, engine.log, runtime, ProposalOutcomes(engine.log))
    await ingest.run(await engine.claimed())


async def read(engine: Engine, proposal_id: UUID) -> Proposal:
    async with engine.database.transaction() as session:
        return await session.get_one(Proposal, proposal_id)


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
