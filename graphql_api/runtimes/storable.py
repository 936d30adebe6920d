"""What PostgreSQL can't store in text or JSON: NUL, lone surrogates, numbers beyond its range."""

import math
from typing import Any

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
MAX_DEPTH = 64
"""Nesting of a payload; what lies deeper is left out, and said so."""

_LARGEST = 2**63 - 1


def storable(value: Any, depth: int = 0) -> Any:  # noqa: ANN401 - any JSON value of a runtime
    """Return a JSON value that can be stored: the same one, but for characters and numbers that have no place there."""
    if isinstance(value, str):
        return _storable_text(value)
    if depth > MAX_DEPTH:
        return f"{REPLACEMENT} nested deeper than {MAX_DEPTH} levels"
    if isinstance(value, dict):
        return {_storable_text(str(key)): storable(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable(item, depth + 1) for item in value]
    if isinstance(value, int | float):
        return value if math.isfinite(value) and abs(value) <= _LARGEST else str(value)
    return value


def _storable_text(text: str) -> str:
    if "\x00" in text:
        text = text.replace("\x00", REPLACEMENT)
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text
