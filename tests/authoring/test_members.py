from contextlib import aclosing

import pytest
from support.reading import WORKFLOW, audited, read
from support.studio import Studio, Team

from graphql_api.schema import schema

pytestmark = pytest.mark.anyio


class TestSetWorkflowMember:
    async def test_gives_changes_and_takes_roles(self, team: Team, studio: Studio) -> None:
        email = team.stranger.user.email
        before = len(await studio.events(team.viewer, team.workflow))
        for role in ("VIEWER", "OWNER", "EDITOR", None):
            payload = await team.owner.do(
                "setWorkflowMember", workflowId=team.workflow, email=f" {email.upper()} ", role=role
            )
            roles = {each["user"]["email"]: each["role"] for each in payload["workflow"]["members"]}
            assert roles.get(email) == role
            assert await audited(team.owner, team.workflow) == {
                "action": "workflow.share",
                "subject": team.stranger.user_id,
                "details": {"role": role},
                "actor": {"id": team.owner.user_id},
            }
        assert await studio.events(team.viewer, team.workflow, before) == ["WorkflowMembersChanged"] * 4
        document = """query ($id: ID!) { workflow(id: $id) { events(first: 100) { nodes {
          ... on WorkflowMembersChanged { role actor { id } member { id } } } } } }"""
        nodes = (await team.viewer(document, id=team.workflow))["workflow"]["events"]["nodes"][before:]
        assert nodes == [
            {"role": role, "actor": {"id": team.owner.user_id}, "member": {"id": team.stranger.user_id}}
            for role in ("VIEWER", "OWNER", "EDITOR", None)
        ]

    async def test_giving_what_they_have_is_not_recorded(self, team: Team, studio: Studio) -> None:
        before = await studio.fingerprint(team.workflow)
        await studio.join(team.workflow, team.owner, team.viewer, "VIEWER")
        await studio.join(team.workflow, team.owner, team.stranger, None)
        await studio.join(team.workflow, team.owner, team.owner, "OWNER")
        assert await studio.fingerprint(team.workflow) == before

    async def test_anybody_may_leave_and_sees_once_more_what_they_left(self, team: Team) -> None:
        members = {"owner": "OWNER", "editor": "EDITOR", "viewer": "VIEWER"}
        for who in ("viewer", "editor"):
            api = team.api(who)
            del members[who]
            selection = "workflow { id viewerRole members { role user { id } } }"
            payload = await api.do(
                "setWorkflowMember", selection, workflowId=team.workflow, email=api.user.email, role=None
            )
            shown = [{"role": role, "user": {"id": team.api(name).user_id}} for name, role in members.items()]
            assert payload == {"workflow": {"id": team.workflow, "viewerRole": "VIEWER", "members": shown}}
            assert (await api(WORKFLOW, id=team.workflow))["workflow"] is None

    async def test_nobody_raises_their_own_role(self, team: Team) -> None:
        for api in (team.viewer, team.editor):
            error = await api.refused("setWorkflowMember", workflowId=team.workflow, email=api.user.email, role="OWNER")
            assert (error["code"], error["requiredRole"]) == ("FORBIDDEN", "OWNER")

    @pytest.mark.parametrize("role", [None, "VIEWER", "EDITOR"])
    async def test_the_last_owner_stays(self, team: Team, studio: Studio, role: str | None) -> None:
        before = await studio.fingerprint(team.workflow)
        for api in (team.owner, team.admin):
            error = await api.refused(
                "setWorkflowMember", workflowId=team.workflow, email=team.owner.user.email, role=role
            )
            assert error == {"__typename": "ValidationError", "code": "VALIDATION_FAILED", "path": ["input", "role"]}
        assert await studio.fingerprint(team.workflow) == before

    async def test_the_longest_standing_owner_is_the_owner(self, team: Team, studio: Studio) -> None:
        await studio.join(team.workflow, team.owner, team.editor, "OWNER")
        assert (await read(team.viewer, team.workflow))["owner"] == {"id": team.owner.user_id}
        await studio.join(team.workflow, team.owner, team.owner, None)
        assert (await read(team.viewer, team.workflow))["owner"] == {"id": team.editor.user_id}

    @pytest.mark.parametrize("email", ["", "nobody@example.com", "no\0body", "\ud800", "a" * 100_000])
    async def test_refuses_an_address_that_nobody_has(self, team: Team, email: str) -> None:
        error = await team.owner.refused("setWorkflowMember", workflowId=team.workflow, email=email, role="VIEWER")
        assert error == {"__typename": "NotFoundError", "code": "NOT_FOUND", "path": ["input", "email"]}

    async def test_refuses_somebody_who_is_disabled(self, team: Team, studio: Studio) -> None:
        gone = await studio.person()
        await studio.run("UPDATE users SET disabled_at = now() WHERE id = :u", u=gone.user.id)
        error = await team.owner.refused(
            "setWorkflowMember", workflowId=team.workflow, email=gone.user.email, role="VIEWER"
        )
        assert error["path"] == ["input", "email"]

    async def test_who_loses_access_is_told_so_by_what_they_follow(self, team: Team, studio: Studio) -> None:
        document = "subscription ($id: ID!) { workflowEvents(workflowId: $id) { sequence workflow { id } } }"
        context = team.viewer.context()
        results = await schema.subscribe(document, variable_values={"id": team.workflow}, context_value=context)
        async with aclosing(results) as events:
            for sequence in range(1, 5):
                result = await anext(events)
                assert result.data == {"workflowEvents": {"sequence": sequence, "workflow": {"id": team.workflow}}}
            await studio.join(team.workflow, team.owner, team.viewer, None)
            result = await anext(events)
        assert result.errors is not None
        assert (result.errors[0].extensions or {})["code"] == "NOT_FOUND"
