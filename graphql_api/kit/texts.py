"""Text that people write: what can be stored and compared."""

import unicodedata
from collections.abc import Sequence

from graphql_api.kit.errors import Invalid


def is_storable(text: str) -> bool:
    """Tell whether PostgreSQL takes a text: it has neither NUL nor a lone surrogate."""
    return not any(character == "\0" or "\ud800" <= character <= "\udfff" for character in text)


def checked_text(text: str, *, path: Sequence[str], maximum: int, minimum: int = 0, is_multiline: bool = True) -> str:
    """Return a text in NFC without surrounding white space.

    Args:
        text: What somebody wrote.
        path: Of the argument, for the error.
        maximum: Characters at most.
        minimum: Characters at least.
        is_multiline: Whether line feeds and tabs may stand in it.

    Raises:
        Invalid: When it is too short or too long, or has characters that can't be stored.
    """
    normal = unicodedata.normalize("NFC", text).strip()
    allowed = "\n\r\t" if is_multiline else ""
    if any(unicodedata.category(character) in {"Cc", "Cs"} and character not in allowed for character in normal):
        raise Invalid(f"{path[-1]} has a control character or a lone surrogate.", path=path)
    if not minimum <= len(normal) <= maximum:
        raise Invalid(f"{path[-1]} has {minimum} to {maximum} characters; this one has {len(normal)}.", path=path)
    return normal
