"""Files as deepagents keeps them: content by path, in each of the forms that its versions write."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from graphql_api.runtimes.normalizing.texts import mapping_of

_SCRATCH = {"large_tool_results", "conversation_history"}
"""Where deepagents puts aside what its context has no room for: what tools gave, and what was said."""


def read_files(files: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    """Read a map of files.

    Args:
        files: By path, which may begin with slashes: a text, a list of lines, None for a deleted file, or an object
            whose `content` is one of these; with `encoding: "base64"` the text is the base64 of UTF-8.

    Returns:
        Texts by relative path, None for deleted files, without the agent's scratch paper. What can't be read is given
        as it is: it is no text, so the file is refused where snapshots are checked.
    """
    named = {str(path).lstrip("/"): file for path, file in mapping_of(files).items()}
    return {path: _content(file) for path, file in named.items() if path.partition("/")[0] not in _SCRATCH}


def _content(file: Any) -> Any:  # noqa: ANN401 - any JSON value
    if not isinstance(file, Mapping):
        return _text(file)
    if "content" not in file:
        return file
    text = _text(file["content"])
    return _decoded(text) if file.get("encoding") == "base64" and isinstance(text, str) else text


def _text(content: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(content, list | tuple) and all(isinstance(line, str) for line in content):
        return "\n".join(content)
    return content


def _decoded(text: str) -> str | bytes:
    try:
        decoded = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        return text.encode(errors="replace")
    try:
        return decoded.decode()
    except UnicodeDecodeError:
        return decoded
