"""What a graph of LangGraph is given: the prompt as a message, the draft as files."""

from typing import Any

from graphql_api.kit.columns import now
from graphql_api.runtimes.protocol import RunRequest


def graph_input(request: RunRequest, *, as_lines: bool = False) -> dict[str, Any]:
    """Make the input of a run.

    Args:
        request: What is asked.
        as_lines: Whether files are lists of lines, as deepagents had them before 0.5, or else texts.

    Returns:
        `messages` with the prompt and `files` as the state of deepagents has them; a graph without files ignores them.
    """
    moment = now().isoformat()
    return {
        "messages": [{"role": "user", "content": prompt_with_context(request)}],
        "files": {
            f"/{path}": {
                "content": content.split("\n") if as_lines else content,
                "encoding": "utf-8",
                "created_at": moment,
                "modified_at": moment,
            }
            for path, content in request.files.items()
        },
    }


def prompt_with_context(request: RunRequest) -> str:
    """Give the prompt, followed by where the person was when they wrote it."""
    parts = [request.prompt]
    if request.context_file_path is not None:
        parts.append(f"I have the file /{request.context_file_path} open.")
    if request.context_selection is not None:
        parts.append(f"I have selected this text in it:\n\n{request.context_selection}")
    return "\n\n".join(parts)
