"""What PostgreSQL takes back at the last moment is done again: once, and as a whole."""

import pytest
from support.databases import taking_back
from support.proposals import types
from support.scenes import INPUTS, Scene, make_scene
from support.studio import TABLES, Studio, Team

from graphql_api.kit.database import DATABASE_ERRORS
from graphql_api.kit.metrics import REGISTRY

pytestmark = pytest.mark.anyio

KEYED = {"createWorkflow", "editDraft", "refineWorkflow", "publishDraft", "approveProposal"}
"""What takes an idempotency key."""

ENTRIES = {"deleteWorkflow": 2, "discardDraft": 2, "publishDraft": 2}
"""Audit entries of what also ends a proposal; of any other change it is one."""

Facts = dict[str, float]


async def facts(studio: Studio) -> Facts:
    """Count all rows, revisions and sequences, and the events that followers and metrics were told of."""
    parts = [f"SELECT '{table}', count(*) FROM {table}" for table in TABLES]
    parts += [
        "SELECT 'revisions', sum(revision) FROM drafts",
        "SELECT 'sequences', sum(last_sequence) FROM event_logs",
    ]
    counted: Facts = {name: float(count) for name, count in await studio.rows(" UNION ALL ".join(parts))}
    return {**counted, "told": REGISTRY.get_sample_value("orchestrator_events_appended_total") or 0}


def growth(before: Facts, after: Facts) -> Facts:
    return {name: after[name] - before[name] for name in after if after[name] != before[name]}


class TestMutations:
    @pytest.mark.parametrize("name", INPUTS)
    async def test_a_commit_that_was_taken_back_leaves_what_an_undisturbed_one_leaves(
        self, studio: Studio, name: str
    ) -> None:
        async def do(scene: Scene) -> Facts:
            given = INPUTS[name](scene)
            if name in KEYED:
                given["idempotencyKey"] = scene.workflow
            if name == "unlockWorkflow":
                await scene.team.owner.do("lockWorkflow", workflowId=scene.workflow)
            before = await facts(studio)
            payload = await scene.team.owner.do(name, **given)
            after = await facts(studio)
            if name in KEYED:
                assert await scene.team.owner.do(name, **given) == payload
                assert await facts(studio) == after
            return growth(before, after)

        undisturbed = await do(await make_scene(studio))
        scene = await make_scene(studio)
        async with taking_back(studio.database, "audit_entries"):
            assert await do(scene) == undisturbed
        assert undisturbed["audit_entries"] == ENTRIES.get(name, 1)
        assert undisturbed.get("idempotency_keys", 0) == (1 if name in KEYED else 0)
        assert undisturbed.get("told") == undisturbed.get("events") == undisturbed.get("sequences")

    async def test_the_record_of_a_refusal_that_was_taken_back_is_written_once(
        self, studio: Studio, team: Team
    ) -> None:
        before = await studio.actions(team.workflow)
        async with taking_back(studio.database, "audit_entries"):
            error = await team.viewer.refused("publishDraft", workflowId=team.workflow)
        assert error["code"] == "FORBIDDEN"
        assert await studio.actions(team.workflow) == [*before, "access.refuse"]


class TestRuns:
    async def test_what_becomes_of_a_run_is_written_with_the_event_that_tells_it_or_not_at_all(
        self, studio: Studio, team: Team
    ) -> None:
        proposal = await studio.refine(team.editor, team.workflow)
        await studio.start(proposal)
        for step in (
            lambda: studio.change(proposal, {"new.md": "new\n", "THE_SPEC/plan.md": None}),
            lambda: studio.end(proposal, summary="Done."),
        ):
            before = await studio.fingerprint(team.workflow)
            async with taking_back(studio.database, "events"):
                with pytest.raises(DATABASE_ERRORS, match="could not serialize access"):
                    await step()
                assert await studio.fingerprint(team.workflow) == before
                await step()
        assert await types(team.viewer, proposal) == [
            "ProposalQueued",
            "ProposalStarted",
            "FilesChanged",
            "ProposalCompleted",
        ]
