"""What deepagents-runtime says in a text or in an object, as it likes."""

from typing import Any

from graphql_api.runtimes.normalizing.texts import mapping_of, text_of

_MAX_ERROR_LENGTH = 2000


def first_of(value: Any, *names: str) -> Any:  # noqa: ANN401 - any JSON value
    """Give the first member of an object that is there and not null; None for anything else."""
    fields = mapping_of(value)
    for name in names:
        if (found := fields.get(name)) is not None:
            return found
    return None


def error_of(error: Any) -> str | None:  # noqa: ANN401 - any JSON value
    """Say what an error says: a text, or an object with one; None when there is nothing in it."""
    if isinstance(error, str):
        return error.strip()[:_MAX_ERROR_LENGTH] or None
    told = first_of(error, "message", "error", "detail", "reason", "error_type", "type")
    if told is not None:
        return error_of(told)
    return str(error)[:_MAX_ERROR_LENGTH] if error else None


def result_of(result: Any) -> str | None:  # noqa: ANN401 - any JSON value
    """Say what the agent says of its work; None when that is nothing of its own."""
    text = text_of(result) or text_of(first_of(result, "output", "message", "content", "result"))
    return text if text.strip() and text.strip() != "Execution completed" else None
