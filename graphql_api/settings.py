"""The environment, typed. Only app.py and the command line read it."""

from enum import Enum
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy import URL

from graphql_api.identity.tokens import MIN_SECRET_BYTES
from graphql_api.kit.bounds import Bounds
from graphql_api.kit.database import parse_url
from graphql_api.kit.places import MAX_OPERATIONS
from graphql_api.kit.rates import Rate
from graphql_api.runtimes.addresses import DEEPAGENTS, EMBEDDED, RuntimeAddress, parse_runtime_url


class SettingsError(Exception):
    """A variable of the environment is wrong; the message names it and says what is right."""


class Environment(Enum):
    """What kind of place the process runs in."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


class LogFormat(Enum):
    """How log lines look."""

    CONSOLE = "console"
    JSON = "json"


class Settings(BaseSettings):
    """What the environment and `.env` say; the README has a table of it."""

    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8", extra="ignore", env_ignore_empty=True, hide_input_in_errors=True
    )

    database_url: str | None = None
    jwt_secret: Annotated[tuple[str, ...], NoDecode] = ()
    jwt_issuer: str | None = None
    jwt_audience: str | None = None
    jwt_jwks_url: str | None = None
    runtime_url: str | None = None
    deepagents_runtime_url: str | None = None
    runtime_token: SecretStr | None = None
    runtime_timeout: float = Field(default=1800, ge=1, le=7 * 24 * 3600)
    runtime_idle_timeout: float = Field(default=300, ge=1, le=7 * 24 * 3600)
    agent_model: str | None = None
    embedded_runtime_pace_ms: float = Field(default=5, ge=0, le=10_000)
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    worker_port: int | None = Field(default=None, ge=0, le=65535)
    orchestrator_home: Path = Path(".orchestrator")
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    environment: Environment = Environment.DEVELOPMENT
    database_pool_size: int = Field(default=10, ge=1, le=1000)
    database_pool_seconds: float = Field(default=5, gt=0, le=60)
    max_concurrent_operations: int = Field(default=MAX_OPERATIONS, ge=1)
    otel_exporter_otlp_endpoint: str | None = None
    metrics_token: SecretStr | None = None
    log_level: str = "info"
    log_format: LogFormat | None = None
    max_concurrent_refinements: int = Field(default=10, ge=1)
    trusted_documents: Path | None = None
    max_body_bytes: int = Field(default=4 * 1024 * 1024, ge=1024, le=256 * 1024 * 1024)
    max_operation_cost: int = Field(default=Bounds().cost, ge=1)
    max_operation_depth: int = Field(default=Bounds().depth, ge=1, le=50)
    max_operation_tokens: int = Field(default=Bounds().tokens, ge=100, le=20_000)
    max_open_subscriptions: int = Field(default=500, ge=1)
    rate_limit_cost: str = "1000000/minute"
    rate_limit_mutations: str = "600/minute"
    rate_limit_refinements: str = "120/minute"
    rate_limit_subscriptions: str = "600/minute"
    proposal_ttl_hours: float = Field(default=24, gt=0, le=24 * 365 * 10)
    compact_logs_after_days: float = Field(default=30, ge=0, le=365 * 100)
    keep_audit_days: float | None = Field(default=None, ge=30, le=365 * 100)

    @field_validator("jwt_secret", "cors_origins", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:  # noqa: ANN401 - whatever the environment has
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("jwt_secret")
    @classmethod
    def _check_secrets(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any(len(secret.encode()) < MIN_SECRET_BYTES for secret in value):
            raise ValueError(
                f"each secret has at least {MIN_SECRET_BYTES} bytes; make one with: openssl rand -base64 48"
            )
        return value

    @field_validator("jwt_jwks_url")
    @classmethod
    def _check_jwks_url(cls, value: str | None, others: ValidationInfo) -> str | None:
        if value is None:
            return None
        url = urlsplit(value)
        is_here = url.scheme == "http" and url.hostname in {"localhost", "127.0.0.1", "::1"}
        if not url.hostname or not (url.scheme == "https" or is_here) or url.username is not None:
            raise ValueError("it is an https URL without a user, or http on this machine")
        if not others.data.get("jwt_issuer") or not others.data.get("jwt_audience"):
            raise ValueError("it needs JWT_ISSUER and JWT_AUDIENCE, as they stand in the provider's tokens")
        return value

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            scheme, separator, host = origin.partition("://")
            if scheme not in {"http", "https"} or not separator or not host or "/" in host:
                raise ValueError(f"{origin!r} is no origin; write https://app.example.com")
        return value

    @field_validator("rate_limit_cost", "rate_limit_mutations", "rate_limit_refinements", "rate_limit_subscriptions")
    @classmethod
    def _check_rate(cls, value: str, field: ValidationInfo) -> str:
        try:
            windows = Rate(str(field.field_name), value).items
        except ValueError:
            raise ValueError(f"{value!r} is no rate; write 60/minute, or several as 60/minute;500/hour") from None
        if field.field_name == "rate_limit_cost" and len(windows) > 1:
            raise ValueError("it has one window; write 1000000/minute")
        return value

    @field_validator("database_url")
    @classmethod
    def _check_database_url(cls, value: str | None) -> str | None:
        if value is not None:
            parse_url(value)
        return value

    @field_validator("runtime_url", "deepagents_runtime_url")
    @classmethod
    def _check_runtime_url(cls, value: str | None, field: ValidationInfo) -> str | None:
        if value is None:
            return None
        address = parse_runtime_url(value)
        if field.field_name == "deepagents_runtime_url" and address.adapter != DEEPAGENTS:
            raise ValueError(f"it is for {DEEPAGENTS} alone; set RUNTIME_URL")
        return value

    @field_validator("agent_model")
    @classmethod
    def _check_agent_model(cls, value: str | None) -> str | None:
        provider, _, name = (value or "provider:name").partition(":")
        if not provider or not name:
            raise ValueError("it is a provider and a model; write openai:gpt-4.1-mini, anthropic:… or ollama:…")
        return value

    @field_validator("log_level")
    @classmethod
    def _check_log_level(cls, value: str) -> str:
        levels = ("debug", "info", "warning", "error", "critical")
        if value.lower() not in levels:
            raise ValueError(f"it is one of {', '.join(levels)}")
        return value.lower()

    def parsed_database_url(self) -> URL | None:
        """Give the database's URL; None for the embedded one."""
        return None if self.database_url is None else parse_url(self.database_url)

    def runtime_address(self) -> RuntimeAddress:
        """Tell which runtime to speak to; the embedded one when nothing is said."""
        token = self.runtime_token
        return parse_runtime_url(
            self.runtime_url or self.deepagents_runtime_url or f"{EMBEDDED}:",
            token=None if token is None else token.get_secret_value(),
        )


def read_settings() -> Settings:
    """Read the environment.

    Raises:
        SettingsError: With the first variable that is wrong.
    """
    try:
        return Settings()
    except UnicodeDecodeError as error:
        raise SettingsError(f".env: it is no text in UTF-8, at byte {error.start}.") from None
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).upper()
        reason = first["msg"].removeprefix("Value error, ")
        raise SettingsError(f"{name}: {reason[:1].lower()}{reason[1:]}") from error
