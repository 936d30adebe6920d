"""Recordings of runtimes: JSON lines, each with `t` in seconds, `src` who sent it, and what it was.

What came over a WebSocket is in `event`, what came as server-sent events in `sse`; responses have `status` and `body`.
One recording has several takes: each source that streamed is one.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from itertools import groupby
from pathlib import Path
from typing import Any

from graphql_api.runtimes.fakes.cues import Cue, Play

_NORMAL_CLOSURE = 1000
_INTERNAL = "redis"
"""What the runtime tells itself; no client hears it."""


class Protocol(Enum):
    """How a runtime is spoken to."""

    DEEPAGENTS = "deepagents"
    LANGGRAPH = "langgraph"


class NotARecording(Exception):
    """A file holds no stream that could be played; the message says where and why."""


@dataclass(frozen=True, slots=True)
class Take:
    """One stream of a recording.

    Attributes:
        source: Who sent it.
        protocol: That it was sent in.
        play: What was sent.
        thread_id: Of the recorded thread; None when it is not told.
    """

    source: str
    protocol: Protocol
    play: Play
    thread_id: str | None

    def on(self, thread_id: str) -> Play:
        """Give the play as another thread would have sent it."""
        if self.thread_id is None:
            return self.play
        renamed = (
            replace(cue, data=json.loads(json.dumps(cue.data).replace(self.thread_id, thread_id)))
            for cue in self.play.cues
        )
        return replace(self.play, cues=tuple(renamed))


def read_takes(path: Path) -> dict[str, Take]:
    """Read the streams of a recording, by source.

    Raises:
        NotARecording: When the file can't be read, or has no stream in it.
    """
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise NotARecording(f"{path} can't be read as JSON lines: {error}") from error
    if not all(isinstance(line, dict) and "src" in line for line in lines):
        raise NotARecording(f"{path} is no recording: each line is an object with t and src")
    ordered = sorted(lines, key=lambda line: str(line["src"]))
    grouped = {source: [*group] for source, group in groupby(ordered, key=lambda line: str(line["src"]))}
    takes = {source: take for source, group in grouped.items() if (take := _take(source, group, grouped)) is not None}
    if not takes:
        raise NotARecording(f"{path} has no stream in it: no line has an event or sse")
    return takes


def longest(takes: Mapping[str, Take]) -> Take:
    """Choose the take with the most frames of those that a client heard to the end."""
    heard = [take for take in takes.values() if take.source != _INTERNAL]
    return max(heard or takes.values(), key=lambda take: (take.play.ends, len(take.play.cues)))


def _take(source: str, lines: list[dict[str, Any]], grouped: Mapping[str, list[dict[str, Any]]]) -> Take | None:
    if any("event" in line for line in lines):
        thread_id = _body(grouped, "invoke").get("thread_id")
        final = _body(grouped, "state-final") or _body(grouped, "state")
        return Take(source, Protocol.DEEPAGENTS, _deepagents(lines, final), thread_id)
    if any("sse" in line for line in lines):
        return Take(source, Protocol.LANGGRAPH, _langgraph(lines), None)
    return None


def _body(grouped: Mapping[str, list[dict[str, Any]]], source: str) -> dict[str, Any]:
    bodies = [line["body"] for line in grouped.get(source, ()) if isinstance(line.get("body"), dict)]
    return bodies[-1] if bodies else {}


def _deepagents(lines: Iterable[Mapping[str, Any]], final: Mapping[str, Any]) -> Play:
    lines = [*lines]
    cues = [*_timed((line["t"], _deepagents_cue(line["event"])) for line in lines if "event" in line)]
    over = next((index for index, cue in enumerate(cues) if cue.event in {"end", "error"}), len(cues))
    result, error = final.get("result"), final.get("error")
    return Play(
        tuple(cues[:over]),
        tuple(cues[over : over + 1]),
        result=result.get("output") if isinstance(result, dict) else None,
        error=None if error is None else str(error),
        ends=over < len(cues),
        is_closed_politely=any(line.get("code") == _NORMAL_CLOSURE for line in lines),
    )


def _deepagents_cue(event: Any) -> Cue:  # noqa: ANN401 - any JSON value
    if not isinstance(event, Mapping):
        return Cue("garbage", raw=str(event).encode())
    content = event.get("data")
    files = content.get("files") if isinstance(content, dict) else None
    return Cue(str(event.get("event_type")), content, files=files)


def _langgraph(lines: Iterable[Mapping[str, Any]]) -> Play:
    cues = [*_timed(_langgraph_cues(line for line in lines if "sse" in line))]
    over = next((index for index, cue in enumerate(cues) if cue.event == "error"), len(cues))
    return Play(
        tuple(cues[:over]),
        tuple(cues[over:]),
        error=_error_of(cues[over].data) if over < len(cues) else None,
        is_interrupted=any(isinstance(cue.data, dict) and "__interrupt__" in cue.data for cue in cues),
    )


def _error_of(content: Any) -> str:  # noqa: ANN401 - any JSON value
    return str(content.get("message", content)) if isinstance(content, Mapping) else str(content)


def _langgraph_cues(lines: Iterable[Mapping[str, Any]]) -> Iterator[tuple[float, Cue]]:
    files: dict[str, Any] = {}
    for line in lines:
        event, content = line["sse"]["event"], line["sse"].get("data")
        changes = [*_changes(event, content)]
        for change in changes:
            files = {path: file for path, file in {**files, **change}.items() if file is not None}
        yield line["t"], Cue(event, content, files=files if changes else None)


def _changes(event: str, content: Any) -> Iterator[Mapping[str, Any]]:  # noqa: ANN401 - any JSON value
    """Give the files that a frame of the graph itself brings; those of a part of it come again when that is over."""
    if event != "updates" or not isinstance(content, dict):
        return
    for update in content.values():
        if isinstance(update, dict) and isinstance(update.get("files"), dict):
            yield update["files"]


def _timed(cues: Iterable[tuple[float, Cue]]) -> Iterator[Cue]:
    """Set how long each cue comes after the one before; the first comes at once."""
    before: float | None = None
    for at, cue in cues:
        yield replace(cue, after=0.0 if before is None else max(0.0, at - before))
        before = at
