"""The committed GraphiQL, against what the locked packages make of the sources; third-party notices and all."""

import gzip
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from support.node import ROOT, packages

PROJECT = ROOT / "scripts" / "graphiql"
BUILD = ROOT / "graphql_api" / "transport" / "graphiql"

pytestmark = pytest.mark.timeout(600)


def contents(directory: Path) -> dict[str, bytes]:
    """Read a build: one Node compresses otherwise than another, so texts as they are before that."""
    files = {path.relative_to(directory).as_posix(): path for path in directory.rglob("*") if path.is_file()}
    return {
        name: gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for name, path in files.items()
        if path.suffix != ".br"
    }


@pytest.mark.skipif(os.environ.get("CI") != "true", reason="It takes half a minute: CI=true runs it.")
class TestRebuild:
    def test_gives_what_is_committed(self, tmp_path: Path) -> None:
        project = tmp_path / "scripts" / "graphiql"
        shutil.copytree(PROJECT, project, ignore=shutil.ignore_patterns("node_modules"))
        # Not a link: the bundler writes where modules really are into their names.
        shutil.copytree(packages(PROJECT), project / "node_modules", symlinks=True)
        output = tmp_path / "graphql_api" / "transport" / "graphiql"

        for command in (("npm", "test"), ("npx", "--no-install", "vite", "build"), ("node", "pack.js", str(output))):
            ended = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
            assert ended.returncode == 0, ended.stdout + ended.stderr

        wanted, found = contents(output), contents(BUILD)
        assert sorted(found) == sorted(wanted)
        assert [name for name in wanted if found[name] != wanted[name]] == []
