"""Scripts: what an agent does for a prompt, before a protocol puts it into frames of its own.

A script gives the frames of the embedded runtime, which every protocol here knows how to tell.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from uuid import NAMESPACE_URL, uuid5

from graphql_api.runtimes.embedded.frames import Script as EmbeddedScript
from graphql_api.runtimes.protocol import Frame, RunRequest

Script = Callable[[str, Mapping[str, str], str], Iterable[Frame]]
"""Gives what happens for a prompt, with the files that the agent starts from, on a thread."""

SHORT_FILES = {
    "THE_SPEC/requirements.md": "# Requirements\n\n- Greet whoever says hello.\n",
    "THE_CAST/Greeter.md": "# Greeter\n\nSays hello, and nothing else.\n",
}
"""What the script `short` writes."""


def refinement(prompt: str, files: Mapping[str, str], thread_id: str) -> Iterator[Frame]:
    """Do what the embedded author would: a specification, a cast and a definition that validates."""
    request = RunRequest(uuid5(NAMESPACE_URL, thread_id), prompt, None, None, files)
    for frame, _ in EmbeddedScript(request, thread_id).frames():
        yield frame


def short(prompt: str, files: Mapping[str, str], thread_id: str) -> Iterator[Frame]:
    """Write two small files, whatever is asked."""
    now = dict(files)
    yield Frame("plan", {"todos": [{"content": "Write it down", "status": "in_progress"}]})
    for number, (path, content) in enumerate(SHORT_FILES.items()):
        call = {"id": f"{thread_id}-call-{number}", "agent": "author", "name": "write_file"}
        yield Frame("tool_start", {**call, "args": {"file_path": path, "content": content}})
        now[path] = content
        yield Frame("files", {"files": dict(now)})
        yield Frame("tool_end", {**call, "status": "success", "output": f"Wrote {path}."})
    yield from _said(f"Done: {prompt}", thread_id)
    yield Frame("plan", {"todos": [{"content": "Write it down", "status": "completed"}]})
    yield Frame("usage", {"model": "fake", "input_tokens": 100, "output_tokens": 20})
    yield Frame("end", {"error": None, "summary": f"Done: {prompt}"})


def failing(prompt: str, files: Mapping[str, str], thread_id: str) -> Iterator[Frame]:  # noqa: ARG001 - a Script
    """Say something, and fail."""
    yield from _said("I can't do that.", thread_id)
    yield Frame("end", {"error": "The model refused.", "summary": None})


def asking(prompt: str, files: Mapping[str, str], thread_id: str) -> Iterator[Frame]:  # noqa: ARG001 - a Script
    """Stop to ask whether something may be done, where the protocol has a way to ask."""
    yield from _said("I would like to deploy this.", thread_id)
    yield Frame("interrupt", {"name": "deploy", "args": {"target": "prod"}})


def usage_of(content: Mapping[str, int]) -> dict[str, int]:
    """Write the tokens of a frame as LangChain does."""
    read, written = content["input_tokens"], content["output_tokens"]
    return {"input_tokens": read, "output_tokens": written, "total_tokens": read + written}


def _said(text: str, thread_id: str) -> Iterator[Frame]:
    message = {"id": f"{thread_id}-message", "agent": "author"}
    for word in text.split(" "):
        yield Frame("message_delta", {**message, "text": f"{word} "})
    yield Frame("message", {**message, "text": f"{text} "})


SCRIPTS: Mapping[str, Script] = {
    "refinement": refinement,
    "short": short,
    "failing": failing,
    "asking": asking,
}
"""Those that come with the fake, by name."""
