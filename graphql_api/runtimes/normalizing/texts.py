"""Reading JSON values whose shape nobody promised."""

from collections.abc import Mapping
from typing import Any


def text_of(content: Any) -> str:  # noqa: ANN401 - any JSON value
    """Give the text of a message's content: a string, or the text blocks of a list."""
    if isinstance(content, str):
        return content
    if isinstance(content, Mapping):
        return _block_text(content)
    if isinstance(content, list | tuple):
        return "".join(item if isinstance(item, str) else _block_text(item) for item in content)
    return ""


def name_of(value: Any) -> str | None:  # noqa: ANN401 - any JSON value
    """Give a name or an id: a text with something in it, or a number; None for anything else."""
    if isinstance(value, str) and value.strip():
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def mapping_of(value: Any) -> Mapping[str, Any]:  # noqa: ANN401 - any JSON value
    """Give an object; an empty one for anything else."""
    return value if isinstance(value, (dict, Mapping)) else {}  # what is a `dict` is known to be one far sooner


def list_of(value: Any) -> list[Any]:  # noqa: ANN401 - any JSON value
    """Give a list; an empty one for anything else."""
    return list(value) if isinstance(value, list | tuple) else []


def count_of(value: Any) -> int:  # noqa: ANN401 - any JSON value
    """Give a number of things; 0 for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _block_text(block: Any) -> str:  # noqa: ANN401 - any JSON value
    text = mapping_of(block).get("text")
    return text if isinstance(text, str) and mapping_of(block).get("type", "text") in {"text", "output_text"} else ""
