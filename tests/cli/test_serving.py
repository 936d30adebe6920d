import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import orjson
import pytest
from support.commands import running

from graphql_api.kit.database import Database

pytestmark = pytest.mark.anyio

FreshDatabase = Callable[..., Awaitable[Database]]


class TestProduction:
    async def test_server_and_worker_log_json_and_end_at_sigterm(
        self, fresh_database: FreshDatabase, tmp_path: Path
    ) -> None:
        database = await fresh_database()
        variables = {
            "DATABASE_URL": database.url.set(drivername="postgresql").render_as_string(hide_password=False),
            "ENVIRONMENT": "production",
            "JWT_SECRET": "a secret of tests that is long enough to sign with",
        }
        with (
            running("serve", "--port", "0", home=tmp_path / "api", until='"listening"', **variables) as api,
            running("worker", home=tmp_path / "worker", until='"working"', **variables) as worker,
        ):
            async with httpx.AsyncClient(base_url=api.url, trust_env=False) as client:
                page = await client.get("/graphql", headers={"accept": "text/html"})
                ready = await client.get("/ready")
            codes = [worker.stop(signal.SIGTERM), api.stop(signal.SIGTERM)]

        assert page.status_code == 404
        assert ready.json()["status"] == "ready"
        assert codes == [0, 0]
        for command, first in ((api, "listening"), (worker, "working")):
            lines = [orjson.loads(line) for line in command.output.splitlines()]
            assert [line["event"] for line in lines if line["event"] != "request_ended"] == [first, "stopped"]

    async def test_a_worker_with_a_port_tells_how_it_is_and_ends_at_sigterm(
        self, fresh_database: FreshDatabase, tmp_path: Path
    ) -> None:
        database = await fresh_database()
        url = database.url.set(drivername="postgresql").render_as_string(hide_password=False)
        variables = {"DATABASE_URL": url, "WORKER_PORT": "0", "LOG_FORMAT": "json"}
        with running("worker", home=tmp_path, until='"working"', **variables) as worker:
            address = next(orjson.loads(line)["url"] for line in worker.output.splitlines() if '"working"' in line)
            async with httpx.AsyncClient(base_url=address, trust_env=False) as client:
                answers = {path: await client.get(path) for path in ("/health", "/ready", "/metrics", "/graphql")}
            code = worker.stop(signal.SIGTERM)

        assert {path: answer.status_code for path, answer in answers.items()} == {
            "/health": 200, "/ready": 200, "/metrics": 200, "/graphql": 404
        }  # fmt: skip
        assert "orchestrator_lease_takeovers_total" in answers["/metrics"].text
        assert code == 0
        assert '"stopped"' in worker.output
