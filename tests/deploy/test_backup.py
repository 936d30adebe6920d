"""A backup as docs/operations.md makes it, and what comes back from it."""

import subprocess
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from support.logs import running_log
from support.studio import open_studio

from graphql_api.events.archive import compact
from graphql_api.kit import embedded_postgres_cluster as cluster
from graphql_api.kit import migrations
from graphql_api.kit.database import Database

pytestmark = pytest.mark.anyio

READ = "query($id: ID!) { proposal(id: $id) { status events(first: 50) { nodes { __typename cursor } } } }"


def run(program: str, *arguments: str | Path) -> None:
    """Run one of PostgreSQL's programs, of the server's own version."""
    found = cluster.find_binaries(cluster.server_account()).directory / program
    done = subprocess.run([found, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def address(database: Database) -> str:
    return database.url.set(drivername="postgresql").render_as_string(hide_password=False)


async def test_what_was_dumped_is_there_again_with_its_rules(
    fresh_database: Callable[..., Awaitable[Database]], tmp_path: Path
) -> None:
    old, new = await fresh_database(), await fresh_database(is_migrated=False)
    async with running_log(old) as log, open_studio(old, log) as studio:
        team = await studio.team()
        proposals = [await studio.completed(team.editor, team.workflow, {f"{n}.md": "new\n"}) for n in range(2)]
        await compact(old, ended_for=timedelta(0))
        proposals.append(await studio.completed(team.editor, team.workflow, {"last.md": "new\n"}))
        await studio.publish(team.owner, team.workflow)
        before = await studio.whole_fingerprint()
        shown = [await team.viewer(READ, id=proposal) for proposal in proposals]

    run("pg_dump", "--format=custom", f"--file={tmp_path / 'dump'}", f"--dbname={address(old)}")
    run("pg_restore", "--exit-on-error", "--no-owner", f"--dbname={address(new)}", tmp_path / "dump")

    await migrations.check(new)
    async with running_log(new) as log, open_studio(new, log) as restored:
        assert await restored.whole_fingerprint() == before
        reader = type(team.viewer)(restored.engines, team.viewer.user)
        assert [await reader(READ, id=proposal) for proposal in proposals] == shown
