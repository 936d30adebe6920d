from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy.exc import IntegrityError
from support.api import key
from support.server import engines_for
from support.studio import Studio, Team

from graphql_api.authoring import idempotency, journal, retention
from graphql_api.events.archive import compact
from graphql_api.kit.database import Database

pytestmark = pytest.mark.anyio

AUDIT_LOG = "query($id: ID!) { workflow(id: $id) { auditLog { totalCount nodes { action } } } }"
READ = """query($id: ID!, $after: EventCursor) { proposal(id: $id) {
    status generatedFiles { path content } eventHead
    events(first: 100, after: $after) { nodes { __typename cursor sequence occurredAt } } } }"""


async def age_audit(studio: Studio, workflow: str, action: str, days: int) -> None:
    """Have an entry written that many days earlier; only somebody who turns triggers off can."""
    async with studio.database.engine.connect() as connection:
        raw = (await connection.get_raw_connection()).driver_connection
        assert raw is not None
        await raw.execute(
            f"""SET session_replication_role = replica;
            UPDATE audit_entries SET at = at - interval '{days} days'
            WHERE workflow_id = '{key(workflow, "Workflow")}' AND action = '{action}';
            RESET session_replication_role"""
        )


async def actions(studio: Studio, team: Team) -> list[str]:
    shown = (await team.owner(AUDIT_LOG, id=team.workflow))["workflow"]["auditLog"]
    assert shown["totalCount"] == len(shown["nodes"])
    return [node["action"] for node in shown["nodes"]]


class TestDuties:
    async def test_workers_do_what_the_policy_asks_for_and_no_more(
        self, fresh_database: Callable[..., Awaitable[Database]]
    ) -> None:
        engines = engines_for(await fresh_database())
        always = [
            "expire_proposals",
            "compact_logs",
            "forget_idempotency_keys",
            "forget_refresh_tokens",
            "forget_rates",
        ]
        assert [name for name, _, _ in retention.duties(engines)] == always
        strict = replace(engines, limits=replace(engines.limits, audit_lifetime=timedelta(days=90)))
        assert [name for name, _, _ in retention.duties(strict)] == [*always, "prune_audit"]
        for _, duty, _ in retention.duties(strict):
            assert await duty() == 0
        await engines.database.close()


class TestCompactLogs:
    async def test_clients_of_a_finished_proposal_notice_nothing(self, studio: Studio, team: Team) -> None:
        proposal = await studio.completed(team.editor, team.workflow, {"new.md": "new\n"})
        before = await team.viewer(READ, id=proposal)
        cursor = before["proposal"]["events"]["nodes"][1]["cursor"]
        later = await team.viewer(READ, id=proposal, after=cursor)

        assert await compact(studio.database, ended_for=timedelta(0)) >= len(before["proposal"]["events"]["nodes"])

        assert await studio.rows("SELECT 1 FROM events WHERE subject_id = :p", p=key(proposal, "Proposal")) == []
        assert await team.viewer(READ, id=proposal) == before
        assert await team.viewer(READ, id=proposal, after=cursor) == later
        decided = await team.editor.do("approveProposal", proposalId=proposal)
        assert decided["proposal"]["status"] == "APPROVED"


class TestForgetIdempotencyKeys:
    async def test_a_key_goes_after_24_hours(self, studio: Studio) -> None:
        ada = await studio.person()
        await studio.workflow(ada, name="x", idempotencyKey="old")
        await studio.workflow(ada, name="x", idempotencyKey="young")
        await studio.run("UPDATE idempotency_keys SET created_at = now() - interval '25 hours' WHERE key = 'old'")

        assert await idempotency.forget_expired(studio.database) == 1

        kept = await studio.rows("SELECT key FROM idempotency_keys WHERE key IN ('old', 'young')")
        assert [row[0] for row in kept] == ["young"]


class TestPruneAudit:
    async def test_what_has_outlived_the_policy_goes(self, studio: Studio, team: Team) -> None:
        before = await actions(studio, team)
        await age_audit(studio, team.workflow, "workflow.create", days=91)

        assert await journal.prune_audit(studio.database, lifetime=timedelta(days=90)) == 1

        assert await actions(studio, team) == [action for action in before if action != "workflow.create"]

    async def test_a_month_is_kept_whatever_the_policy_says(self, studio: Studio, team: Team) -> None:
        before = await actions(studio, team)
        await age_audit(studio, team.workflow, "workflow.create", days=29)

        assert await journal.prune_audit(studio.database, lifetime=timedelta(0)) == 0

        assert sorted(await actions(studio, team)) == sorted(before)

    @pytest.mark.parametrize("lifetime", ["", "0 days", "100 days"])
    async def test_nobody_deletes_what_is_within_its_lifetime(self, studio: Studio, team: Team, lifetime: str) -> None:
        await age_audit(studio, team.workflow, "workflow.create", days=29 if lifetime == "0 days" else 99)
        with pytest.raises(IntegrityError, match="is within its lifetime"):
            await studio.run(
                "WITH door AS (SELECT set_config('orchestrator.audit_lifetime', :lifetime, true) AS open) "
                "DELETE FROM audit_entries USING door WHERE workflow_id = :w AND open IS NOT NULL",
                w=key(team.workflow, "Workflow"),
                lifetime=lifetime,
            )
