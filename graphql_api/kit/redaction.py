"""What never stands in a log: secrets, and what people and agents write."""

import re
from collections.abc import MutableMapping
from functools import lru_cache
from typing import Any

from structlog.typing import EventDict

CUT = "***"

_SECRET_NAME = re.compile(
    r"password|passphrase|secret|token|authorization|cookie|api_?key|credential|dsn", re.IGNORECASE
)
_CONTENT_NAME = re.compile(
    r"prompt|contents?|context_?selection|selection|comment|text|body|unified_?diff|files|variables|document|payload"
    r"|frame|arguments|result|summary",
    re.IGNORECASE,
)
_SECRET_TEXTS = (
    (re.compile(r"(?<=://)([^\s/:@]*):[^\s@]*@"), rf"\1:{CUT}@"),
    (re.compile(r"\b(bearer)\s+[\w.~+/=-]+", re.IGNORECASE), rf"\1 {CUT}"),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"), CUT),
    # What SQLAlchemy adds to the message of a failed statement.
    (re.compile(r"^\[parameters: .*\]$", re.MULTILINE), f"[parameters: {CUT}]"),
    # PostgreSQL shows whole rows, whose texts have line ends of their own.
    (re.compile(r"DETAIL:\s.*?(?=\nHINT:|\n\[SQL:|\n\nThe above|\n\nDuring handling|\Z)", re.DOTALL), f"DETAIL: {CUT}"),
    (re.compile(r"input_value=.*?(?=, input_type=)", re.DOTALL), f"input_value={CUT}"),
)


_ECHO = re.compile(r"(\bfound:|\bvalue:) (?!(?:Expected|String|ID|Enum) ).*", re.DOTALL | re.IGNORECASE)
_TAKES_SECRETS = re.compile(r"'(?:Login|Logout|RefreshSession)Input'")

_SUSPICIOUS = re.compile(r"://|b[eE][aA][rR][eE][rR]|B[eE][aA][rR][eE][rR]|eyJ|\[parameters|DETAIL:|input_value=")
"""What every text has in it that one of the above cuts; most have not, and one look is enough.

Where each branch begins with a letter as it is, `re` goes through a text four times as fast.
"""


def redact(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Cut secrets and contents out of an event: by the names of values, and by what looks like a secret in any text."""
    return {name: _cut(value, name) for name, value in event.items()}


def without_values(message: str) -> str:
    """Cut the caller's own values out of a validation error about a secret; such errors end up in many places.

    Source: the messages of graphql-core 3.3's `validate_input_value`.
    """
    return (
        _ECHO.sub(rf"\1 {CUT}", message) if _SECRET_NAME.search(message) or _TAKES_SECRETS.search(message) else message
    )


def _cut(value: Any, name: str = "") -> Any:  # noqa: ANN401 - whatever was logged
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if _is_private(name):
        return CUT
    if isinstance(value, str):
        if _SUSPICIOUS.search(value):
            for pattern, replacement in _SECRET_TEXTS:
                value = pattern.sub(replacement, value)
        return value
    if isinstance(value, MutableMapping):
        return {key: _cut(inner, str(key)) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_cut(inner) for inner in value]
    return value


@lru_cache(maxsize=1000)
def _is_private(name: str) -> bool:
    return bool(_SECRET_NAME.search(name) or _CONTENT_NAME.fullmatch(name))
