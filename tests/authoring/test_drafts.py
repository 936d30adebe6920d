import pytest
from support.studio import Studio, Team

pytestmark = pytest.mark.anyio


class TestSmoke:
    async def test_all(self, studio: Studio, team: Team) -> None:
        p = await studio.completed(team.editor, team.workflow, {"THE_SPEC/plan.md": "uno\n", "new.md": "n"})
        r = await team.editor.do("approveProposal", proposalId=p)
        print(r)
        print(await studio.publish(team.editor, team.workflow))
        print(await studio.events(team.viewer, team.workflow), await studio.actions(team.workflow))
        print(await studio.fingerprint(team.workflow))
