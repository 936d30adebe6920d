"""What comes from elsewhere: pinned, audited, listed."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

ROOT = Path(__file__).parents[2]
PROXIES = {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"}
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


class Vulnerabilities(BaseHTTPRequestHandler):
    """A database in which the first package has a vulnerability if `is_bad`."""

    is_bad = False

    def do_POST(self) -> None:
        queries = json.loads(self.rfile.read(int(self.headers["content-length"])))["queries"]
        results: list[dict[str, object]] = [{} for _ in queries]
        if self.is_bad:
            results[0] = {"vulns": [{"id": "GHSA-aaaa-bbbb-cccc", "modified": "2026-01-01T00:00:00Z"}]}
        self._answer({"results": results})

    def do_GET(self) -> None:
        self._answer(
            {"id": "GHSA-aaaa-bbbb-cccc", "modified": "2026-01-01T00:00:00Z", "summary": "It leaks.", "affected": []}
        )

    def log_message(self, *_arguments: object) -> None:
        """Write nothing."""

    def _answer(self, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def database(*, is_bad: bool) -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), type("Handler", (Vulnerabilities,), {"is_bad": is_bad}))
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def run(script: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    kept = {name: value for name, value in os.environ.items() if name not in PROXIES | {"GITHUB_ACTIONS"}}
    return subprocess.run(
        [ROOT / "scripts" / script], capture_output=True, text=True, check=False, env=kept | variables
    )


class TestAudit:
    def test_what_is_sound_passes(self) -> None:
        with database(is_bad=False) as url:
            result = run("audit", AUDIT_URL=url)
        assert (result.returncode, "SKIPPED" in result.stdout) == (0, False), result.stdout

    def test_a_vulnerability_fails(self) -> None:
        with database(is_bad=True) as url:
            result = run("audit", AUDIT_URL=url)
        assert result.returncode == 1
        assert "GHSA-aaaa-bbbb-cccc" in result.stdout

    def test_without_the_database_it_says_so_and_passes(self) -> None:
        result = run("audit", AUDIT_URL="http://127.0.0.1:1/")
        assert result.returncode == 0
        assert "SKIPPED" in result.stdout

    def test_in_the_workflow_it_has_to_be_made(self) -> None:
        assert run("audit", AUDIT_URL="http://127.0.0.1:1/", GITHUB_ACTIONS="true").returncode == 1


class TestBillOfMaterials:
    def test_it_lists_what_is_deployed_and_nothing_else(self) -> None:
        result = run("sbom")
        bill = json.loads(result.stdout)
        names = {component["name"] for component in bill["components"]}
        assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
        assert {"asyncpg", "strawberry-graphql", "cryptography"} <= names
        assert not {"pytest", "ruff", "mypy"} & names


class TestWorkflows:
    def test_there_is_one(self) -> None:
        assert WORKFLOWS

    @pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
    def test_an_action_is_a_commit_and_may_only_read(self, path: Path) -> None:
        text = path.read_text()
        actions = re.findall(r"uses: *(\S+)", text)
        assert all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action) for action in actions), actions
        assert "permissions:\n  contents: read\n" in text
        assert "write" not in re.findall(r"^\s+\w[\w-]*: (\w+)$", text, re.MULTILINE)

    def test_the_image_runs_as_nobody_in_particular(self) -> None:
        last_stage = (ROOT / "Dockerfile").read_text().rsplit("\nFROM ", 1)[1]
        assert re.search(r"^USER (?!root|0)", last_stage, re.MULTILINE)
