"""The Python example: its types from ariadne-codegen, its program against the server."""

import asyncio
import hashlib
import os
import shutil
import subprocess
import sys
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import pytest
from support import readme
from support.node import CACHE, ROOT

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(400)]

EXAMPLE = ROOT / "docs" / "examples" / "python"


JOURNEY = """
import asyncio
import os

from orchestrator_client import Orchestrator

URL = os.environ["ORCHESTRATOR_URL"]


async def walk():
    session = (await Orchestrator(url=URL).sign_in_mutation()).login.session
    bearer = {"Authorization": f"Bearer {session.access_token}"}
    socket = URL.replace("http", "ws")
    async with Orchestrator(url=URL, headers=bearer, ws_url=socket, ws_connection_init_payload=bearer) as client:
        workflow = (await client.create_workflow_mutation()).create_workflow.workflow.id
        proposal = (await client.refine_mutation(workflow)).refine_workflow.proposal.id
        async for event in client.watch_subscription(proposal):
            print(event.proposal_events.typename__)
        digest = (await client.review_query(proposal)).proposal.merge_preview.digest
        await client.approve_mutation(proposal, digest)
        await client.publish_mutation(workflow)
        print((await client.deploy_mutation(workflow)).deploy_version.workflow.production_version.number)


asyncio.run(walk())
"""


class Project:
    """A copy of the example, laid out as in the repository, in an environment of its own.

    Args:
        root: Where `schema.graphql` is.
    """

    def __init__(self, root: Path) -> None:
        self.directory = root / "docs" / "examples" / "python"
        shutil.copytree(EXAMPLE, self.directory)
        shutil.copy(ROOT / "schema.graphql", root)
        digest = hashlib.sha256((EXAMPLE / "uv.lock").read_bytes() + sys.version.encode()).hexdigest()[:20]
        own = {"VIRTUAL_ENV": "", "PYTHONPATH": "", "UV_PROJECT_ENVIRONMENT": str(CACHE / f"python-{digest}")}
        self._environment = {**os.environ, **own}
        bootstrap = [sys.executable, "-I", str(ROOT / "scripts" / "bootstrap.py"), "uv"]
        self._uv = subprocess.run(bootstrap, check=True, capture_output=True, text=True).stdout.strip()

    async def run(self, *command: str, **environment: str) -> str:
        """Run a command of the environment to its end, which must be a good one; give what it said."""
        process = await asyncio.create_subprocess_exec(
            *(self._uv, "run", "--frozen", "--quiet", "--python", sys.executable, *command),
            cwd=self.directory,
            env={**self._environment, **environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
        )
        said, _ = await process.communicate()
        assert process.returncode == 0, said.decode()
        return said.decode()


@pytest.fixture(scope="module")
async def project(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("python"))
    await project.run("ariadne-codegen")
    return project


class TestPython:
    async def test_its_types_are_strict(self, project: Project) -> None:
        await project.run("mypy", "--strict", "follow.py")

    async def test_runs_from_signing_in_to_the_end_of_the_work(self, project: Project, address: str) -> None:
        lines = (await project.run("follow.py", ORCHESTRATOR_URL=address)).splitlines()

        *events, review = lines
        assert [int(line.split()[0]) for line in events] == list(range(1, len(events) + 1))
        assert (events[0], events[-1].split()[1]) == ("1 ProposalQueued", "ProposalCompleted")
        assert review == "COMPLETED"

    async def test_walks_the_journey_of_the_readme(self, tmp_path: Path, address: str) -> None:
        project = Project(tmp_path)
        queries = "\n".join(readme.operations().values())
        (project.directory / "queries.graphql").write_text(queries, encoding="utf-8")
        (project.directory / "journey.py").write_text(JOURNEY, encoding="utf-8")
        await project.run("ariadne-codegen")

        lines = (await project.run("python", "journey.py", ORCHESTRATOR_URL=address)).splitlines()

        assert (lines[0], lines[-2:]) == ("ProposalQueued", ["ProposalCompleted", "1"])
