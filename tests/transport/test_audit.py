"""The audits of graphql-http, the reference of GraphQL over HTTP."""

import asyncio
import json
import shutil
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest
from support.node import packages
from support.server import Site

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(400)]

AUDIT = Path(__file__).parent / "audit"
AUDITS = 61


async def test_the_server_passes_every_audit(running_site: Site, tmp_path: Path) -> None:
    (tmp_path / "node_modules").symlink_to(packages(AUDIT))
    for name in ("package.json", "audit.js"):
        shutil.copy(AUDIT / name, tmp_path)

    process = await asyncio.create_subprocess_exec(
        "node", "audit.js", f"{running_site.url}/graphql", cwd=tmp_path, stdout=PIPE, stderr=PIPE
    )
    said, wrong = await process.communicate()

    assert process.returncode == 0, wrong.decode()
    audits = [json.loads(line) for line in said.splitlines()]
    assert [audit for audit in audits if audit["status"] != "ok"] == []
    assert len(audits) == AUDITS
