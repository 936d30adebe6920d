"""What PostgreSQL can't store in text or JSON: NUL, lone surrogates, numbers beyond its range."""

import re
from typing import Any

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

MAX_DEPTH = 64
"""Nesting of a payload; what lies deeper is left out, and said so."""

MAX_TEXT_LENGTH = 2 * 1024 * 1024
"""Characters of one text in a payload; the rest is left out, and said so."""

_LARGEST = 2**63 - 1
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def storable(value: Any, depth: int = 0) -> Any:  # noqa: ANN401 - any JSON value of a runtime
    """Return a JSON value that can be stored: the same one, but for characters and numbers that have no place there."""
    if isinstance(value, dict | list | tuple) and depth > MAX_DEPTH:
        return f"{REPLACEMENT} nested deeper than {MAX_DEPTH} levels"
    if isinstance(value, dict):
        return {storable_text(str(key)): storable(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable(item, depth + 1) for item in value]
    if value is None or (isinstance(value, int | float) and _is_storable(value)):
        return value
    # An integer of thousands of digits has no decimal form that Python would write.
    return storable_text(f"{value:#x}" if isinstance(value, int) else str(value))


def _is_storable(number: float) -> bool:
    return -_LARGEST <= number <= _LARGEST


def storable_text(text: str) -> str:
    """Return a text that can be stored; each character that can't is replaced by one, so that offsets stay right."""
    if len(text) > MAX_TEXT_LENGTH:
        text = f"{text[:MAX_TEXT_LENGTH]}{REPLACEMENT} {len(text) - MAX_TEXT_LENGTH} more characters"
    return _UNSTORABLE.sub(REPLACEMENT, text)
