"""Real clients against the real server. What each has to do is in the `*.test.ts` beside this file."""

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from support.node import Workspace

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(400)]

TESTS = sorted(Path(__file__).parent.glob("*.test.ts"))
NAMES = [
    name for path in TESTS for name in re.findall(r'^test\("(.+?)"', path.read_text(encoding="utf-8"), re.MULTILINE)
]


@pytest.fixture(scope="module")
async def report(workspace: Workspace, address: str) -> dict[str, str | None]:
    """Run all of them, a process for each client; give what went wrong in each test, or None."""
    process = await workspace.start(
        *("node", "--import", "tsx", "--test", "--test-reporter=junit"),
        *(str(workspace.clients / path.name) for path in TESTS),
        environment={"ORCHESTRATOR_URL": address},
    )
    said, _ = await process.communicate()
    cases = ET.fromstring(said[said.index(b"<?xml") :]).iter("testcase")
    return {case.attrib["name"]: "".join(case.itertext()).strip() or None for case in cases}


class TestClients:
    @pytest.mark.parametrize("name", NAMES)
    async def test_client(self, report: dict[str, str | None], name: str) -> None:
        assert name in report, report
        assert report[name] is None, report[name]

    async def test_none_goes_unnoticed(self, report: dict[str, str | None]) -> None:
        assert {name: report[name] for name in set(report) - set(NAMES)} == {}


class TestTypes:
    async def test_examples_and_clients_pass_the_strict_compiler(self, workspace: Workspace) -> None:
        await workspace.run("tsc", "--project", str(workspace.clients))

    async def test_the_compiler_sees_a_field_that_is_not_there(self, workspace: Workspace) -> None:
        wrong = workspace.clients / "wrong"
        wrong.mkdir()
        (wrong / "tsconfig.json").write_text('{ "extends": "../tsconfig.json", "include": ["."] }', encoding="utf-8")
        (wrong / "wrong.ts").write_text(
            'import { OneWorkflow } from "../../../docs/examples/documents";\n'
            'import type { ResultOf } from "@graphql-typed-document-node/core";\n'
            "export const read = (answer: ResultOf<typeof OneWorkflow>) => answer.workflow?.draft?.nothing;\n",
            encoding="utf-8",
        )
        process = await workspace.start("tsc", "--project", str(wrong))
        said, _ = await process.communicate()

        assert process.returncode != 0
        assert re.findall(r"error TS\d+: Property '(\w+)'", said.decode()) == ["nothing"]
