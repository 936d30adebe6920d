"""The examples of docs/examples that are programs, run as they stand."""

import pytest
from support.node import Workspace

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(400)]


class TestApollo:
    async def test_runs_from_signing_in_to_the_end_of_the_work(self, workspace: Workspace, address: str) -> None:
        said = await workspace.run(
            *("node", "--import", "tsx", "--import", str(workspace.clients / "setup.ts")),
            str(workspace.examples / "apollo" / "run.ts"),
            environment={"ORCHESTRATOR_URL": address},
        )

        lines = said.splitlines()
        assert lines[0] == "1 ProposalQueued"
        assert lines[-1].endswith(" ProposalCompleted")
        assert len(lines) > 20
