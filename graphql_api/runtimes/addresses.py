"""Where a runtime is, and with which adapter it is spoken to: what `RUNTIME_URL` says."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

EMBEDDED = "embedded"
"""The adapter that needs no server; its URL is `embedded:`."""

DEEPAGENTS = "deepagents"
"""The adapter of a URL that names none: `http://…` or `https://…`."""

_FORMS = "embedded:, deepagents+http://host:8000 or langgraph+http://host:2024?assistant=agent"


@dataclass(frozen=True, slots=True)
class RuntimeAddress:
    """Where a runtime is. Neither its text nor its URL shows a secret.

    Attributes:
        adapter: Name of the adapter, such as `deepagents`.
        url: `http(s)://host[:port][/path]` without a slash at its end, credentials, query or fragment; empty when the
            runtime is in this process.
        options: The query of the URL: the adapter's own settings.
        credentials: User and password that stood in the URL.
        token: A secret that the runtime knows its callers by.
    """

    adapter: str
    url: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    credentials: tuple[str, str] | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)

    def known_options(self, known: Collection[str]) -> Mapping[str, str]:
        """Give the options.

        Raises:
            ValueError: When there is one that the adapter does not know.
        """
        if unknown := sorted(self.options.keys() - set(known)):
            have = f"it has {', '.join(sorted(known))}" if known else "it has none"
            raise ValueError(f"{unknown[0]!r} is no option of {self.adapter}; {have}")
        return self.options


def parse_runtime_url(url: str, *, token: str | None = None) -> RuntimeAddress:
    """Read a runtime's URL.

    Args:
        url: `embedded:`, `<adapter>+http(s)://…`, or `http(s)://…`, which means deepagents.
        token: A secret that the runtime knows its callers by.

    Raises:
        ValueError: When it is none of these; the message has no secret.
    """
    if url == f"{EMBEDDED}:":
        return RuntimeAddress(EMBEDDED, token=token)
    try:
        parts = urlsplit(url)
        _ = parts.port  # it is read late, and may be no number
    except ValueError:
        raise ValueError(f"it is not a URL; write {_FORMS}") from None
    adapter, plus, scheme = parts.scheme.rpartition("+")
    if scheme not in {"http", "https"} or bool(plus) != bool(adapter):
        raise ValueError(f"{url.partition(':')[0]!r} names no runtime; write {_FORMS}")
    if not parts.hostname:
        raise ValueError(f"it names no host; write {_FORMS}")
    return RuntimeAddress(
        adapter=adapter or DEEPAGENTS,
        url=f"{scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}",
        options=dict(parse_qsl(parts.query, keep_blank_values=True)),
        credentials=_credentials(parts),
        token=token,
    )


def _credentials(parts: SplitResult) -> tuple[str, str] | None:
    if parts.username is None:
        return None
    return unquote(parts.username), unquote(parts.password or "")
