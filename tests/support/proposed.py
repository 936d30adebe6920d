"""Proposals that need no API: ordered in the database, for a worker to work on."""

from uuid import UUID, uuid4

from graphql_api.authoring.models import Draft, Proposal, Workflow
from graphql_api.identity.models import User
from support.executions import Engine
from support.people import PASSWORD_HASH


async def proposed(engine: Engine, prompt: str = "Do it.") -> UUID:
    """Order an execution for a proposal of somebody, in a workflow of its own."""
    execution_id = await engine.order(prompt=prompt)
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
                prompt=prompt,
                base_revision=1,
                created_by_id=user.id,
            )
        )
    return execution_id


async def read(engine: Engine, proposal_id: UUID) -> Proposal:
    """Read a proposal."""
    async with engine.database.transaction() as session:
        return await session.get_one(Proposal, proposal_id)
