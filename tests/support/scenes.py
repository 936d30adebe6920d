"""A workflow with one of everything, and an input for every mutation of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from support.studio import Studio, Team


@dataclass
class Scene:
    """A workflow with one of everything.

    Attributes:
        team: The workflow and its people.
        completed: Global id of a proposal that waits for a decision.
        pending: Global id of one that is not started.
        ids: A global id of each type of node.
    """

    team: Team
    completed: str
    pending: str
    ids: dict[str, str]

    @property
    def workflow(self) -> str:
        """Global id of the workflow."""
        return self.team.workflow


async def make_scene(studio: Studio) -> Scene:
    """Make a workflow with a version, a draft that moved, a proposal that waits and one that is to be worked on."""
    team = await studio.team()
    await studio.publish(team.owner, team.workflow)
    await studio.edit(team.editor, team.workflow, {"THE_SPEC/more.md": "more\n"})
    completed = await studio.completed(team.editor, team.workflow, {"THE_SPEC/plan.md": "two\n"})
    pending = await studio.refine(team.editor, team.workflow)
    document = """query ($id: ID!) { workflow(id: $id) {
      draft { id } latestVersion { id } owner { id } auditLog(first: 1) { nodes { id } }
    } }"""
    seen = (await team.owner(document, id=team.workflow))["workflow"]
    ids = {
        "Workflow": team.workflow,
        "Draft": seen["draft"]["id"],
        "Version": seen["latestVersion"]["id"],
        "Proposal": completed,
        "AuditEntry": seen["auditLog"]["nodes"][0]["id"],
        "User": seen["owner"]["id"],
    }
    return Scene(team, completed, pending, ids)


Input = Callable[[Scene], dict[str, Any]]


def _of_workflow(**more: Any) -> Input:  # noqa: ANN401 - any JSON
    return lambda scene: {"workflowId": scene.workflow, **more}


INPUTS: dict[str, Input] = {
    "createWorkflow": lambda _: {"name": "Another"},
    "updateWorkflow": _of_workflow(name="Renamed"),
    "deleteWorkflow": _of_workflow(),
    "setWorkflowMember": lambda scene: {
        "workflowId": scene.workflow,
        "email": scene.team.admin.user.email,
        "role": "VIEWER",
    },
    "lockWorkflow": _of_workflow(),
    "unlockWorkflow": _of_workflow(),
    "editDraft": _of_workflow(expectedRevision=2, delete=["THE_SPEC/plan.md"]),
    "discardDraft": _of_workflow(),
    "publishDraft": _of_workflow(),
    "deployVersion": _of_workflow(number=1),
    "deprecateVersion": _of_workflow(number=1),
    "refineWorkflow": _of_workflow(prompt="Do it."),
    "cancelProposal": lambda scene: {"proposalId": scene.pending},
    "retryProposal": lambda scene: {"proposalId": scene.completed},
    "approveProposal": lambda scene: {"proposalId": scene.completed},
    "rejectProposal": lambda scene: {"proposalId": scene.completed},
}
"""An input for each mutation that works in a scene; a test of the matrix misses those that are not here."""
