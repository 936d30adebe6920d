"""What docs/security.md says is what the code does."""

import re
from pathlib import Path

from graphql_api.context import ANONYMOUS, Limits
from graphql_api.identity import attempts
from graphql_api.identity.jwks import FRESH_SECONDS, MAX_BYTES, MAX_KEYS, RETRY_SECONDS, USABLE_SECONDS
from graphql_api.identity.outside_tokens import MAX_OUTSIDE_TOKEN_LENGTH
from graphql_api.identity.tokens import ACCESS_TOKEN_LIFETIME, MAX_TOKEN_LENGTH
from graphql_api.kit.bounds import Bounds
from graphql_api.kit.database import STATEMENT_SECONDS
from graphql_api.kit.errors import ErrorCode
from graphql_api.settings import Settings
from graphql_api.transport.graphql import INIT_TIMEOUT
from graphql_api.transport.requests import ANONYMOUS_BODY_BYTES, BODY_SECONDS

TEXT = (Path(__file__).parents[2] / "docs" / "security.md").read_text(encoding="utf-8")
OF_UVICORN = {"FORWARDED_ALLOW_IPS"}


def default(name: str) -> object:
    return Settings.model_fields[name].default


class TestSettings:
    def test_each_that_is_named_is_there(self) -> None:
        named = set(re.findall(r"`([A-Z]{3,}_[A-Z_]+)(?:=\w+)?`", TEXT))
        codes = {code.value for code in ErrorCode}
        assert named - codes - OF_UVICORN <= {name.upper() for name in Settings.model_fields}


class TestLimits:
    def test_the_table_has_the_defaults(self) -> None:
        bounds = Bounds()
        for row in (
            f"{default('max_body_bytes') // 1024**2} MiB; {ANONYMOUS_BODY_BYTES // 1024**2} MiB for the body of",  # type: ignore[operator]
            f"| {BODY_SECONDS:.0f} s | | 408 |",
            f"| {INIT_TIMEOUT.seconds} s | | 4408 |",
            f"| {bounds.tokens}; {ANONYMOUS.tokens} for strangers |",
            f"| depth | {bounds.depth} |",
            f"| {bounds.aliases}, {bounds.directives}, {bounds.fields} |",
            f"| cost of an operation | {bounds.cost} |",
            f"| operations at once in a process | {default('max_concurrent_operations')} |",
            f"| {MAX_TOKEN_LENGTH}, {MAX_OUTSIDE_TOKEN_LENGTH} characters |",
            f"{default('max_open_subscriptions')} | `RATE_LIMIT_SUBSCRIPTIONS`",
            f"{Limits().concurrent_refinements} | `RATE_LIMIT_REFINEMENTS`",
        ):
            assert row in TEXT, row

    def test_those_of_signing_in(self) -> None:
        windows = (attempts.BY_BOTH, attempts.BY_ACCOUNT, attempts.BY_ADDRESS)
        assert [rate.windows for rate in windows] == ["5/minute;20/hour;50/day", "100/hour", "60/minute;600/hour"]

    def test_those_in_the_text(self) -> None:
        assert (ACCESS_TOKEN_LIFETIME.seconds, STATEMENT_SECONDS) == (15 * 60, 15)
        assert (MAX_BYTES, MAX_KEYS, RETRY_SECONDS) == (256 * 1024, 100, 60)
        assert (FRESH_SECONDS, USABLE_SECONDS) == (15 * 60, 24 * 60 * 60)
