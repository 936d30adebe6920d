import os
from pathlib import Path

import pytest
from pydantic import SecretStr

from graphql_api.runtimes.addresses import RuntimeAddress
from graphql_api.settings import Environment, LogFormat, Settings, SettingsError, read_settings

SECRET = "x" * 32
GOOD = [
    ("DATABASE_URL", "postgres://ada:pw@db/app", "database_url", "postgres://ada:pw@db/app"),
    ("DATABASE_URL", "postgresql+asyncpg://db/app", "database_url", "postgresql+asyncpg://db/app"),
    ("JWT_SECRET", SECRET, "jwt_secret", (SECRET,)),
    ("JWT_SECRET", f" {SECRET} ,, {SECRET}y,", "jwt_secret", (SECRET, f"{SECRET}y")),
    ("JWT_SECRET", "ö" * 16, "jwt_secret", ("ö" * 16,)),
    ("JWT_ISSUER", "us", "jwt_issuer", "us"),
    ("JWT_AUDIENCE", "them", "jwt_audience", "them"),
    ("RUNTIME_URL", "embedded:", "runtime_url", "embedded:"),
    ("RUNTIME_URL", "http://ada:pw@agents:8000", "runtime_url", "http://ada:pw@agents:8000"),
    ("DEEPAGENTS_RUNTIME_URL", "http://agents:8000", "deepagents_runtime_url", "http://agents:8000"),
    ("RUNTIME_TOKEN", "s3cret", "runtime_token", SecretStr("s3cret")),
    ("RUNTIME_TIMEOUT", "60", "runtime_timeout", 60.0),
    ("RUNTIME_IDLE_TIMEOUT", "1.5", "runtime_idle_timeout", 1.5),
    ("AGENT_MODEL", "ollama:qwen3:8b", "agent_model", "ollama:qwen3:8b"),
    ("EMBEDDED_RUNTIME_PACE_MS", "0", "embedded_runtime_pace_ms", 0.0),
    ("EMBEDDED_RUNTIME_PACE_MS", "10000", "embedded_runtime_pace_ms", 10000.0),
    ("HOST", "0.0.0.0", "host", "0.0.0.0"),
    ("WORKER_PORT", "0", "worker_port", 0),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318", "otel_exporter_otlp_endpoint", "http://c:4318"),
    ("DATABASE_POOL_SIZE", "1", "database_pool_size", 1),
    ("DATABASE_POOL_SECONDS", "0.5", "database_pool_seconds", 0.5),
    ("MAX_CONCURRENT_OPERATIONS", "1", "max_concurrent_operations", 1),
    ("PORT", "65535", "port", 65535),
    ("ORCHESTRATOR_HOME", "/srv/orchestrator", "orchestrator_home", Path("/srv/orchestrator")),
    (
        "CORS_ORIGINS",
        "https://a.example.com, http://localhost:3000",
        "cors_origins",
        ("https://a.example.com", "http://localhost:3000"),
    ),
    ("ENVIRONMENT", "production", "environment", Environment.PRODUCTION),
    ("METRICS_TOKEN", "a token", "metrics_token", SecretStr("a token")),
    ("LOG_LEVEL", "WARNING", "log_level", "warning"),
    ("LOG_FORMAT", "json", "log_format", LogFormat.JSON),
    ("MAX_CONCURRENT_REFINEMENTS", "1", "max_concurrent_refinements", 1),
    ("TRUSTED_DOCUMENTS", "/srv/manifest.json", "trusted_documents", Path("/srv/manifest.json")),
    ("MAX_BODY_BYTES", "1048576", "max_body_bytes", 1048576),
    ("MAX_OPERATION_COST", "1000", "max_operation_cost", 1000),
    ("MAX_OPERATION_DEPTH", "20", "max_operation_depth", 20),
    ("MAX_OPERATION_TOKENS", "2000", "max_operation_tokens", 2000),
    ("MAX_OPEN_SUBSCRIPTIONS", "10", "max_open_subscriptions", 10),
    ("RATE_LIMIT_COST", "500/second", "rate_limit_cost", "500/second"),
    ("RATE_LIMIT_MUTATIONS", "60/minute;500/hour", "rate_limit_mutations", "60/minute;500/hour"),
    ("RATE_LIMIT_REFINEMENTS", "10 per minute", "rate_limit_refinements", "10 per minute"),
    ("RATE_LIMIT_SUBSCRIPTIONS", "60/minute", "rate_limit_subscriptions", "60/minute"),
    ("PROPOSAL_TTL_HOURS", "0.5", "proposal_ttl_hours", 0.5),
    ("COMPACT_LOGS_AFTER_DAYS", "7", "compact_logs_after_days", 7),
    ("KEEP_AUDIT_DAYS", "365", "keep_audit_days", 365),
]
BAD = [
    ("DATABASE_URL", "mysql://ada:hunter2@db/app", "mysql://"),
    ("DATABASE_URL", "postgresql://ada:hunter2@db", "names no database"),
    ("DATABASE_URL", "hunter2", "not a URL"),
    ("DATABASE_URL", "postgresql://ada:hunter2@db:port/app", "not a URL"),
    ("JWT_SECRET", "hunter2", "at least 32 bytes"),
    ("JWT_SECRET", f"{SECRET},hunter2", "at least 32 bytes"),
    ("AGENT_MODEL", "hunter2", "a provider and a model"),
    ("AGENT_MODEL", ":hunter2", "a provider and a model"),
    ("RUNTIME_URL", "carrier-pigeon://ada:hunter2@loft", "'carrier-pigeon'"),
    ("RUNTIME_URL", "deepagents+http://ada:hunter2@agents:port", "not a URL"),
    ("RUNTIME_URL", "langgraph+http://", "names no host"),
    ("RUNTIME_URL", "+http://ada:hunter2@agents", "names no runtime"),
    ("DEEPAGENTS_RUNTIME_URL", "langgraph+http://ada:hunter2@agents", "set RUNTIME_URL"),
    ("RUNTIME_TIMEOUT", "0", "greater than or equal to 1"),
    ("RUNTIME_IDLE_TIMEOUT", "soon", "number"),
    ("EMBEDDED_RUNTIME_PACE_MS", "-1", "greater than or equal to 0"),
    ("EMBEDDED_RUNTIME_PACE_MS", "10001", "less than or equal to 10000"),
    ("EMBEDDED_RUNTIME_PACE_MS", "nan", "less than or equal"),
    ("PORT", "http", "integer"),
    ("PORT", "65536", "less than or equal to 65535"),
    ("PORT", "-1", "greater than or equal to 0"),
    ("CORS_ORIGINS", "*", "'*' is no origin"),
    ("CORS_ORIGINS", "https://a.example.com/path", "is no origin"),
    ("CORS_ORIGINS", "a.example.com", "is no origin"),
    ("CORS_ORIGINS", "https://", "is no origin"),
    ("ENVIRONMENT", "staging", "'development' or 'production'"),
    ("LOG_LEVEL", "loud", "debug, info, warning, error, critical"),
    ("LOG_FORMAT", "xml", "'console' or 'json'"),
    ("MAX_CONCURRENT_REFINEMENTS", "0", "greater than or equal to 1"),
    ("MAX_BODY_BYTES", "10", "greater than or equal to 1024"),
    ("MAX_OPERATION_COST", "0", "greater than or equal to 1"),
    ("MAX_OPERATION_DEPTH", "51", "less than or equal to 50"),
    ("MAX_OPERATION_TOKENS", "1", "greater than or equal to 100"),
    ("MAX_OPEN_SUBSCRIPTIONS", "0", "greater than or equal to 1"),
    ("RATE_LIMIT_MUTATIONS", "often", "write 60/minute"),
    ("RATE_LIMIT_REFINEMENTS", "60", "write 60/minute"),
    ("RATE_LIMIT_SUBSCRIPTIONS", "60/eon", "write 60/minute"),
    ("RATE_LIMIT_COST", "60/minute;500/hour", "one window"),
    ("PROPOSAL_TTL_HOURS", "0", "greater than 0"),
    ("PROPOSAL_TTL_HOURS", "inf", "less than or equal to"),
    ("PROPOSAL_TTL_HOURS", "soon", "number"),
    ("COMPACT_LOGS_AFTER_DAYS", "-1", "greater than or equal to 0"),
    ("KEEP_AUDIT_DAYS", "29", "greater than or equal to 30"),
]


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Read no `.env` but the test's own, and no variable but what a test sets."""
    monkeypatch.chdir(tmp_path)
    known = {name.upper() for name in Settings.model_fields}
    for name in os.environ:
        if name.upper() in known:
            monkeypatch.delenv(name)


class TestReadSettings:
    def test_an_empty_environment_is_development(self) -> None:
        settings = read_settings()

        assert settings.environment is Environment.DEVELOPMENT
        assert (settings.host, settings.port) == ("127.0.0.1", 8080)
        assert (settings.max_concurrent_refinements, settings.proposal_ttl_hours) == (10, 24)
        assert (settings.jwt_secret, settings.cors_origins, settings.log_format) == ((), (), None)
        assert settings.parsed_database_url() is None

    @pytest.mark.parametrize(("name", "value", "field", "meant"), GOOD)
    def test_a_good_value_is_taken(
        self, monkeypatch: pytest.MonkeyPatch, name: str, value: str, field: str, meant: object
    ) -> None:
        monkeypatch.setenv(name, value)

        assert getattr(read_settings(), field) == meant

    @pytest.mark.parametrize(("name", "value", "reason"), BAD)
    def test_a_bad_value_is_one_line_that_names_the_variable(
        self, monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
    ) -> None:
        monkeypatch.setenv(name, value)

        with pytest.raises(SettingsError) as refusal:
            read_settings()

        message = str(refusal.value)
        assert message.startswith(f"{name}: ")
        assert reason in message
        assert "\n" not in message
        assert "hunter2" not in message + repr(refusal.value.__cause__)

    @pytest.mark.parametrize("name", sorted({name for name, *_ in GOOD}))
    def test_an_empty_value_is_the_default(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        default = read_settings()
        monkeypatch.setenv(name, "")

        assert read_settings() == default

    def test_every_variable_has_a_good_value_here(self) -> None:
        assert {name for name, *_ in GOOD} | {"JWT_JWKS_URL"} == {name.upper() for name in Settings.model_fields}

    def test_the_file_is_read_and_the_environment_wins(self, monkeypatch: pytest.MonkeyPatch) -> None:
        Path(".env").write_text("PORT=1\nHOST=0.0.0.0\nUNKNOWN=1\n", encoding="utf-8")
        monkeypatch.setenv("PORT", "2")

        settings = read_settings()

        assert (settings.host, settings.port) == ("0.0.0.0", 2)

    def test_a_file_that_is_no_text_is_told(self) -> None:
        Path(".env").write_bytes(b"JWT_SECRET=\xff\xfe")

        with pytest.raises(SettingsError, match=r"^\.env: "):
            read_settings()

    def test_the_runtime_is_the_embedded_one_unless_another_is_named(self) -> None:
        assert read_settings().runtime_address() == RuntimeAddress("embedded")

    @pytest.mark.parametrize("name", ["RUNTIME_URL", "DEEPAGENTS_RUNTIME_URL"])
    def test_a_url_without_a_name_is_that_of_deepagents(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        monkeypatch.setenv(name, "http://agents:8000/")
        monkeypatch.setenv("RUNTIME_TOKEN", "s3cret")

        assert read_settings().runtime_address() == RuntimeAddress("deepagents", "http://agents:8000", token="s3cret")

    def test_the_general_variable_wins(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DEEPAGENTS_RUNTIME_URL", "http://agents:8000")
        monkeypatch.setenv("RUNTIME_URL", "embedded:")

        assert read_settings().runtime_address().adapter == "embedded"

    def test_no_secret_of_the_runtime_is_shown(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RUNTIME_URL", "http://ada:hunter2@agents:8000")
        monkeypatch.setenv("RUNTIME_TOKEN", "s3cret")

        address = read_settings().runtime_address()

        assert "hunter2" not in f"{address!r} {address} {address.url}"
        assert "s3cret" not in f"{address!r} {address}"

    @pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg"])
    def test_any_form_of_the_database_url_means_the_driver(self, monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
        monkeypatch.setenv("DATABASE_URL", f"{scheme}://ada@db:5433/app")

        url = read_settings().parsed_database_url()

        assert url is not None
        assert url.render_as_string() == "postgresql+asyncpg://ada@db:5433/app"


class TestIdentityProvider:
    @pytest.mark.parametrize("url", ["https://id.example.com/keys", "http://127.0.0.1:9000/keys", "http://[::1]/keys"])
    def test_its_keys_come_from_https_or_this_machine(self, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
        monkeypatch.setenv("JWT_ISSUER", "https://id.example.com/")
        monkeypatch.setenv("JWT_AUDIENCE", "orchestrator")
        monkeypatch.setenv("JWT_JWKS_URL", url)
        assert read_settings().jwt_jwks_url == url

    @pytest.mark.parametrize(
        "url", ["http://id.example.com/keys", "file:///etc/passwd", "https://", "https://ada:hunter2@id.example.com/k"]
    )
    def test_no_other_url_is_taken(self, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
        monkeypatch.setenv("JWT_ISSUER", "https://id.example.com/")
        monkeypatch.setenv("JWT_AUDIENCE", "orchestrator")
        monkeypatch.setenv("JWT_JWKS_URL", url)
        with pytest.raises(SettingsError, match="JWT_JWKS_URL: it is an https URL") as refusal:
            read_settings()
        assert "hunter2" not in str(refusal.value)

    @pytest.mark.parametrize("name", ["JWT_ISSUER", "JWT_AUDIENCE"])
    def test_issuer_and_audience_are_its_own(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        monkeypatch.setenv(name, "https://id.example.com/")
        monkeypatch.setenv("JWT_JWKS_URL", "https://id.example.com/keys")
        with pytest.raises(SettingsError, match="JWT_JWKS_URL: it needs JWT_ISSUER and JWT_AUDIENCE"):
            read_settings()
