"""How a run of LangGraph ended, in words for people."""

from collections.abc import Mapping
from typing import Any

from graphql_api.kit.files import digest_of
from graphql_api.runtimes.normalizing.texts import list_of, mapping_of, name_of
from graphql_api.runtimes.protocol import RunEnded

LOST = "lost"
"""Status of a run that its runtime does not know any more."""

MAX_REASON_CHARACTERS = 2_000
"""Of what a runtime says about a failure."""

_FAILURES = {
    "error": "The agent failed, and the runtime does not say why.",
    "timeout": "The run took longer than the runtime allows.",
    "interrupted": "The run was stopped in the runtime.",
    LOST: "The runtime does not know the run any more: it was restarted, or cleaned up.",
}


def run_ended(
    status: str | None,
    *,
    error: Any,  # noqa: ANN401 - any JSON value
    interrupts: Mapping[str, Any],
    summary: str | None,
    has_files: bool = True,
) -> RunEnded:
    """Tell how a run ended.

    Args:
        status: What the runtime says of it: `success`, `error`, `timeout`, `interrupted` or `lost`.
        error: What the runtime says about a failure: an object with `message`, or a text.
        interrupts: Questions that the agent waits to be answered, by id.
        summary: What the agent said last.
        has_files: Whether the runtime gave files.
    """
    if interrupts and status in {"success", "interrupted"}:
        return RunEnded(error=_question(interrupts), summary=summary, is_retryable=False)
    if status == "success":
        return RunEnded(summary=summary, has_files=has_files)
    reason = _reason(error) if status == "error" else None
    failure = reason or _FAILURES.get(str(status)) or f"The runtime ended the run, and calls it {str(status)[:100]!r}."
    return RunEnded(error=failure, summary=summary)


def interrupt_of(interrupt: Any) -> tuple[str, Any]:  # noqa: ANN401 - any JSON value
    """Give the id of a question, and the question."""
    fields = mapping_of(interrupt)
    value = fields.get("value", interrupt)
    return name_of(fields.get("id")) or name_of(fields.get("interrupt_id")) or digest_of(repr(value))[:32], value


def _question(interrupts: Mapping[str, Any]) -> str:
    """Say what the agent waits for; people can't answer it here, so that asking again would end the same way."""
    requests = [mapping_of(request) for value in interrupts.values() for request in _requests(value)]
    names = sorted({name for request in requests if (name := name_of(request.get("name") or request.get("action")))})
    about = f" about {', '.join(names)}"[:MAX_REASON_CHARACTERS] if names else ""
    return (
        f"The agent waits for a decision{about}, which can't be given here: "
        "ask for something that needs none, or let the runtime decide by itself."
    )


def _requests(value: Any) -> list[Any]:  # noqa: ANN401 - any JSON value
    return list_of(mapping_of(value).get("action_requests")) or list_of(value) or [value]


def _reason(error: Any) -> str | None:  # noqa: ANN401 - any JSON value
    fields = mapping_of(error)
    reason = name_of(error) or name_of(fields.get("message")) or name_of(fields.get("error"))
    return None if reason is None else reason[:MAX_REASON_CHARACTERS]
