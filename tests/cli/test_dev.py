import json
import re
import signal
import socket
import stat
from pathlib import Path

import httpx
import psutil
from support.commands import (
    Invoke,
    Running,
    assert_one_line,
    run,
    running,
    server_of,
)
from support.terminals import on_terminal

from graphql_api.kit import embedded_postgres

READY = "Ctrl-C stops it"


def ask(url: str, query: str, token: str) -> object:
    headers = {"authorization": token}
    answer = httpx.post(f"{url}/graphql", json={"query": query}, headers=headers, trust_env=False)
    return answer.json()["data"]


def token_on_the_page(url: str) -> str:
    page = httpx.get(f"{url}/graphql", headers={"accept": "text/html"}, trust_env=False).text
    found = re.search(r"Bearer [\w.-]+", page)
    assert found is not None
    return found[0]


def demo(url: str, home: Path) -> str:
    result = run("demo", "--url", url, home=home)
    assert result.returncode == 0, result.stderr
    return result.stdout


class TestDev:
    def test_it_says_where_everything_is_once_it_listens(self, dev: Running) -> None:
        assert f"GraphiQL  {dev.url}/graphql\n" in dev.output
        assert f"Schema    {dev.url}/schema.graphql\n" in dev.output
        assert f"{dev.url}/health  {dev.url}/ready\n" in dev.output
        assert "demo@example.com  password demo-password\n" in dev.output
        assert f"Data      {dev.home} (PostgreSQL)\n" in dev.output
        assert f"demo --url {dev.url}\n" in dev.output

    def test_it_is_ready_with_all_its_parts(self, dev: Running) -> None:
        assert httpx.get(f"{dev.url}/health", trust_env=False).json() == {"status": "healthy"}
        assert httpx.get(f"{dev.url}/ready", trust_env=False).json()["status"] == "ready"

    def test_graphiql_is_signed_in_as_the_demo_account_afresh_each_time(self, dev: Running) -> None:
        first, second = token_on_the_page(dev.url), token_on_the_page(dev.url)

        assert first != second
        assert ask(dev.url, "{ viewer { email name } }", second) == {
            "viewer": {"email": "demo@example.com", "name": "Demo"}
        }

    def test_no_output_has_a_color_or_a_secret(self, dev: Running) -> None:
        assert "\x1b" not in dev.output
        assert (dev.home / "jwt-secret").read_text().strip() not in dev.output

    def test_its_end_leaves_data_and_secret_and_no_process(self, home: Path) -> None:
        with running("dev", "--no-demo-data", "--port", "0", home=home, until=READY) as first:
            page = token_on_the_page(first.url)
            servers = server_of(home)
            assert len(servers) > 1
            assert first.stop(signal.SIGINT) == 0
        psutil.wait_procs(servers, timeout=20)
        assert server_of(home) == []
        secret = home / "jwt-secret"
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
        before = secret.read_text()

        with running("dev", "--no-demo-data", "--port", "0", home=home, until=READY) as second:
            assert secret.read_text() == before
            # The token is of the same secret and of the same user, though not of this process.
            assert ask(second.url, "{ viewer { name } }", page) == {"viewer": {"name": "Demo"}}
            assert second.stop(signal.SIGTERM) == 0

    def test_the_data_of_another_postgresql_is_left_alone(self, invoke: Invoke, home: Path) -> None:
        embedded_postgres.start(home).close()
        version = (home / "postgres").resolve() / "data" / "PG_VERSION"
        psutil.wait_procs(server_of(home), timeout=20)
        version.write_text("15\n")

        assert_one_line(invoke("dev", "--port", "0"), "was made by PostgreSQL 15", "DATABASE_URL")
        assert version.read_text() == "15\n"


class TestDemo:
    def test_a_pipe_gets_the_whole_journey_as_plain_lines(self, dev: Running, tmp_path: Path) -> None:
        lines = demo(dev.url, tmp_path).splitlines()

        assert "\x1b" not in "".join(lines)
        assert lines[0] == "Sign in            Demo <demo@example.com>"
        assert "Publish            version 1 with 9 files" in lines
        assert "Deploy             production runs version 1" in lines
        assert "  file    + THE_CAST/Fact_Checker.md  +18 -0" in lines
        assert "  plan    [x] Sum up the changes" in lines
        assert "Release notes: version 1, production runs version 1" in lines
        assert lines[-1] == f"Open {dev.url}/graphql to look around."

    def test_json_has_an_object_per_step_and_per_event(self, dev: Running, tmp_path: Path) -> None:
        result = run("demo", "--url", dev.url, "--json", "--prompt", "Add an agent Tester", home=tmp_path)

        lines = [json.loads(line) for line in result.stdout.splitlines()]
        steps = [line["step"] for line in lines if "step" in line]
        events = [line["event"] for line in lines if "event" in line]
        stored = [event["sequence"] for event in events if event["__typename"] != "AgentMessageDelta"]
        assert result.returncode == 0, result.stderr
        assert steps == ["sign_in", "create", "refine", "watch", "approve", "publish", "deploy"]
        assert stored == list(range(1, len(stored) + 1))
        assert events[-1]["__typename"] == "ProposalCompleted"
        assert lines[-1]["result"]["production"] == 1

    def test_a_terminal_gets_a_picture(self, dev: Running, tmp_path: Path) -> None:
        code, output = on_terminal("demo", "--url", dev.url, home=tmp_path)

        assert code == 0
        assert "\x1b[" in output
        assert "Fact_Checker.md" in output
        assert "runs version 1" in output.splitlines()[-12]

    def test_an_interruption_is_code_130(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}"
            with running("demo", "--url", url, home=tmp_path, until="") as command, silent.accept()[0]:
                assert command.stop(signal.SIGINT) == 130
        assert command.output == "Interrupted. What the agent was asked for goes on without a watcher.\n"


class TestUsers:
    def test_a_terminal_is_asked_twice(self, dev: Running) -> None:
        code, output = on_terminal(
            "users",
            "create",
            "--email",
            "bob@example.com",
            "--name",
            "Bob",
            home=dev.home,
            answer="long enough pw",
        )

        assert code == 0
        assert "Password (10 characters or more): " in output
        assert "Once more: " in output
        assert "long enough" not in output

    def test_an_account_made_while_dev_runs_can_sign_in(self, dev: Running, invoke: Invoke) -> None:
        invoke.set(ORCHESTRATOR_HOME=str(dev.home))
        invoke.type("long enough pw\n")

        made = invoke("users", "create", "--email", "Ada@Example.com", "--name", "Ada")

        assert made == (0, "Made the account of Ada <ada@example.com>.\n", "")
        document = """mutation {
          login(input: { email: "ada@example.com", password: "long enough pw" }) { session { user { name } } }
        }"""
        assert ask(dev.url, document, "") == {"login": {"session": {"user": {"name": "Ada"}}}}
