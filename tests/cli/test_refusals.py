import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from sqlalchemy import make_url
from support.commands import Invoke, assert_one_line

SECRET = "a secret of tests that is long enough to sign with"
NOBODY = "postgresql://ada:not-to-be-shown@127.0.0.1:1/name"


@pytest.fixture
def taken_port() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield str(taken.getsockname()[1])


class TestListening:
    @pytest.mark.parametrize("command", ["dev", "serve"])
    def test_a_port_in_use_is_named_with_a_way_out(self, invoke: Invoke, taken_port: str, command: str) -> None:
        invoke.set(JWT_SECRET=SECRET)
        assert_one_line(invoke(command, "--port", taken_port), f"Port {taken_port} of 127.0.0.1 is in use", "--port")

    def test_a_port_out_of_range_is_refused_from_either_place(self, invoke: Invoke) -> None:
        assert_one_line(invoke("dev", "--port", "65536"), "65536 is no port")
        assert_one_line(invoke("dev", "--port", "-1"), "-1 is no port")
        invoke.set(PORT="65536")
        assert_one_line(invoke("dev"), "PORT: ")

    @pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid", "a" * 70, "bad..name"])
    def test_an_address_of_another_machine_is_refused(self, invoke: Invoke, host: str) -> None:
        assert_one_line(invoke("dev", "--host", host), f"{host} can't be listened on", "--host")


class TestEnvironment:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("PORT", "http"),
            ("LOG_LEVEL", "loud"),
            ("DATABASE_URL", "mysql://ada:not-to-be-shown@db/name"),
            ("DATABASE_URL", "not-to-be-shown"),
            ("JWT_SECRET", "not-to-be-shown"),
            ("ENVIRONMENT", "staging"),
        ],
    )
    def test_a_bad_value_names_its_variable(self, invoke: Invoke, name: str, value: str) -> None:
        invoke.set(**{name: value})
        assert_one_line(invoke("worker"), f"Error: {name}: ")

    def test_serve_needs_a_secret(self, invoke: Invoke) -> None:
        assert_one_line(invoke("serve"), "JWT_SECRET is not set", "openssl rand -base64 48")

    def test_dev_is_not_for_production(self, invoke: Invoke) -> None:
        invoke.set(ENVIRONMENT="production")
        assert_one_line(invoke("dev"), "orchestrator serve")

    def test_a_secret_that_was_cut_off_is_not_used(self, invoke: Invoke, home: Path) -> None:
        home.mkdir()
        (home / "jwt-secret").write_text("not-to-be-shown")
        assert_one_line(invoke("dev", "--port", "0"), str(home / "jwt-secret"), "delete it")

    def test_a_home_that_is_a_file_is_named(self, invoke: Invoke, home: Path) -> None:
        home.write_text("")
        assert_one_line(invoke("dev", "--port", "0"), str(home), "ORCHESTRATOR_HOME")
        assert_one_line(invoke("db", "upgrade"), str(home), "DATABASE_URL")


class TestDatabase:
    @pytest.mark.parametrize(
        "words", ["dev --port 0", "serve --port 0", "worker", "db upgrade", "db downgrade base", "db check"]
    )
    def test_one_that_nobody_answers_for_is_named_without_its_password(self, invoke: Invoke, words: str) -> None:
        invoke.set(DATABASE_URL=NOBODY, JWT_SECRET=SECRET)
        assert_one_line(invoke(*words.split()), "127.0.0.1:1/name can't be used: connection refused", "DATABASE_URL")

    def test_a_wrong_password_is_told(self, invoke: Invoke, server_url: str) -> None:
        wrong = make_url(server_url).set(password="not-to-be-shown").render_as_string(hide_password=False)
        invoke.set(DATABASE_URL=wrong)
        assert_one_line(invoke("worker"), "password authentication failed")


class TestUsage:
    def test_an_unknown_command_is_code_2(self, invoke: Invoke) -> None:
        result = invoke("walk")
        assert result.code == 2
        assert "No such command 'walk'" in result.err

    def test_a_missing_option_is_code_2(self, invoke: Invoke) -> None:
        assert invoke("users", "create", "--email", "ada@example.com").code == 2

    def test_the_overview_has_every_command_and_loads_none(self, invoke: Invoke) -> None:
        program = (
            "import sys; from graphql_api.cli import main\ntry: main(['--help'])\nfinally: print(sorted(sys.modules))"
        )
        shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
        for name in ("dev", "demo", "watch", "tail", "serve", "worker", "db", "users", "schema"):
            assert f"\n  {name} " in shown
        assert "'sqlalchemy'" not in shown
        assert "'strawberry'" not in shown

    @pytest.mark.parametrize(
        "words",
        [
            "dev",
            "demo",
            "watch",
            "tail",
            "serve",
            "worker",
            "db upgrade",
            "db downgrade",
            "users create",
            "schema export",
        ],
    )
    def test_every_help_ends_with_examples(self, invoke: Invoke, words: str) -> None:
        result = invoke(*words.split(), "--help")
        assert result.code == 0
        assert f"orchestrator {words}" in result.out.partition("Examples:\n")[2]

    def test_the_version_is_that_of_the_package(self, invoke: Invoke) -> None:
        assert invoke("--version") == (0, f"orchestrator {version('ide-orchestrator')}\n", "")
