"""The examples of docs/examples that are programs, run as they stand."""

import asyncio
import os
import re
from asyncio.subprocess import PIPE, STDOUT

import pytest
from support.node import ROOT, Workspace

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


class TestCurl:
    async def test_the_commands_do_what_the_page_says(self, address: str) -> None:
        page = (ROOT / "docs" / "examples" / "curl.md").read_text(encoding="utf-8")
        commands = re.findall(r"<!-- run -->\n```sh\n(.*?)```", page, re.DOTALL)
        assert len(commands) == 2
        process = await asyncio.create_subprocess_exec(
            *("sh", "-euc", "\n".join(commands)),
            env={**os.environ, "ORCHESTRATOR_URL": address},
            stdout=PIPE,
            stderr=STDOUT,
        )
        said = (await process.communicate())[0].decode()

        assert process.returncode == 0, said
        assert re.search(r'"viewer": ?\{"name": ?"Demo"\}', said), said
        events = re.findall(r'"__typename": ?"(\w+)"', said)
        assert (events[0], events[-1]) == ("ProposalQueued", "ProposalCompleted")
        assert "event: complete" in said


class TestTheGuide:
    def test_prints_what_the_examples_do(self) -> None:
        guide = (ROOT / "docs" / "guide" / "front-ends.md").read_text(encoding="utf-8")
        snippets = re.findall(r"<!-- examples: (\S+) -->\n```ts\n(.*?)```", guide, re.DOTALL)

        assert len(snippets) == guide.count("```ts")
        for name, snippet in snippets:
            example = (ROOT / "docs" / "examples" / name).read_text(encoding="utf-8")
            assert without_indent(snippet) in without_indent(example), snippet


def without_indent(text: str) -> str:
    return "\n".join(line.strip() for line in text.strip().splitlines())
