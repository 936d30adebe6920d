"""Clients in Node: their packages as the lock says, and programs that run with them."""

import asyncio
import hashlib
import os
import shutil
import subprocess
import tempfile
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLIENTS = ROOT / "tests" / "clients"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ide-orchestrator"
INSTALL = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error")
EMPTY: Mapping[str, str] = {}
INSTALL_SECONDS = 300


def needs_node() -> None:
    """Without Node, skip a test on a newcomer's machine and fail it in CI."""
    missing = [name for name in ("node", "npm") if shutil.which(name) is None]
    if not missing:
        return
    reason = f"{' and '.join(missing)} is missing; install Node 20, on Debian with: apt-get install nodejs npm"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def packages(project: Path) -> Path:
    """Install what a project's lock says, once for each lock; give the `node_modules`."""
    needs_node()
    digest = hashlib.sha256((project / "package-lock.json").read_bytes()).hexdigest()[:20]
    home = CACHE / f"{project.name}-{digest}"
    if not home.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as directory:
            new = Path(directory) / "new"
            new.mkdir()
            for name in ("package.json", "package-lock.json"):
                shutil.copy(project / name, new)
            ended = subprocess.run(
                INSTALL, cwd=new, stdout=PIPE, stderr=STDOUT, text=True, check=False, timeout=INSTALL_SECONDS
            )
            assert ended.returncode == 0, ended.stdout
            if not home.is_dir():  # whoever else installed the same meanwhile
                new.rename(home)
    return home / "node_modules"


class Workspace:
    """A copy of the clients and of the examples, beside the packages that they import.

    Args:
        directory: Where it is; laid out like the repository.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clients = directory / "tests" / "clients"
        self.examples = directory / "docs" / "examples"
        self._packages = packages(CLIENTS)
        (directory / "node_modules").symlink_to(self._packages)
        for name in ("package.json", "schema.graphql", "possible-types.json"):
            shutil.copy(CLIENTS / name if name == "package.json" else ROOT / name, directory)
        shutil.copytree(CLIENTS, self.clients, ignore=shutil.ignore_patterns("*.py", "__pycache__", "node_modules"))
        shutil.copytree(ROOT / "docs" / "examples", self.examples)

    async def start(self, *command: str, cwd: Path | None = None, environment: Mapping[str, str] = EMPTY) -> Process:
        """Start a program of the packages, or `node` itself; what it says is one stream."""
        path = f"{self._packages / '.bin'}{os.pathsep}{os.environ['PATH']}"
        return await asyncio.create_subprocess_exec(
            *command,
            cwd=cwd or self.directory,
            env={**os.environ, "PATH": path, "NO_COLOR": "1", **environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
        )

    async def run(self, *command: str, cwd: Path | None = None, environment: Mapping[str, str] = EMPTY) -> str:
        """Run a program to its end, which must be a good one; give what it said."""
        process = await self.start(*command, cwd=cwd, environment=environment)
        said, _ = await process.communicate()
        assert process.returncode == 0, said.decode()
        return said.decode()

    @asynccontextmanager
    async def running(self, program: Path, **environment: str) -> AsyncIterator[Process]:
        """Run a TypeScript program while the context lasts."""
        process = await self.start("node", "--import", "tsx", str(program), environment=environment)
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
