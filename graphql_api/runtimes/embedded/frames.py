"""The frames of the embedded runtime: the rule-based author's work as an agent would stream it."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, pairwise
from typing import Any

from graphql_api.kit.files import lines_of
from graphql_api.runtimes.embedded.author import Work, work_for
from graphql_api.runtimes.embedded.desk import Task
from graphql_api.runtimes.embedded.pages import counted
from graphql_api.runtimes.protocol import Frame, RunRequest

AGENT = "author"
"""What the frames call the agent that speaks."""

MODEL = "embedded-rules"
"""What usage is reported for: no model, but rules. Its tokens are words, separated by space."""

FAILURE = "The embedded author was asked to fail."

SLOW_FRAMES = 200
"""Frames that `[slow]` adds."""

_SLOW_ROUNDS = 10
_WORDS_A_DELTA = 3
_SHOWN_LINES = 20
_SHOWN_CHARACTERS = 4_000


class Script:
    """All frames of one run, in order; the work is decided before the first.

    Args:
        request: What is asked.
        thread_id: Begins the ids of messages and tool calls.
    """

    def __init__(self, request: RunRequest, thread_id: str) -> None:
        self._work: Work = work_for(request)
        self._request = request
        self._thread_id = thread_id
        self._messages = 0
        self._calls = 0
        self._words_written = 0
        # Hundreds of files may share one item of the plan: a plan and a snapshot for each would be of square size.
        self._groups = [[*group] for _, group in groupby(self._work.tasks, key=lambda task: task.todo)]
        todos = (group[0].todo for group in self._groups)
        self._todos = ["Read the request and the draft", *todos, "Sum up the changes"]

    def frames(self) -> Iterator[tuple[Frame, bool]]:
        """Give each frame, and whether it is one of those that `[slow]` adds."""
        yield from self._at_pace(self._beginning())
        files = dict(self._request.files)
        groups = [*enumerate(self._groups, 1)]
        half = (len(groups) + 1) // 2
        for number, group in groups[:half]:
            yield from self._at_pace(self._tasks(number, group, files))
        if self._work.ask.is_slow:
            yield from ((frame, True) for frame in self._slow_part(files))
        if self._work.ask.is_failing:
            yield self._usage(), False
            yield Frame("end", {"error": FAILURE, "summary": None}), False
            return
        for number, group in groups[half:]:
            yield from self._at_pace(self._tasks(number, group, files))
        yield from self._at_pace(self._ending())

    @staticmethod
    def _at_pace(frames: Iterator[Frame]) -> Iterator[tuple[Frame, bool]]:
        return ((frame, False) for frame in frames)

    def _beginning(self) -> Iterator[Frame]:
        yield Frame("progress", {"message": "Reading the request and the draft."})
        yield self._plan(0)
        yield from self._message(self._work.introduction)
        for path in self._work.reads:
            yield from self._call("read_file", {"file_path": path}, _excerpt(self._request.files.get(path, "")))

    def _tasks(self, number: int, group: Sequence[Task], files: dict[str, str]) -> Iterator[Frame]:
        """Do what one item of the plan asks for; the files are shown while its last tool call is under way."""
        yield self._plan(number)
        last = max((index for index, task in enumerate(group) if task.is_change), default=None)
        for index, task in enumerate(group):
            if not task.is_change:
                yield Frame("progress", {"message": f"{task.path}: {task.note}"})
                continue
            call = self._tool_call(task)
            yield next(call)
            if task.after is None:
                files.pop(task.path, None)
            else:
                files[task.path] = task.after
            if index == last:
                yield Frame("files", {"files": dict(files)})
            yield from call

    def _tool_call(self, task: Task) -> Iterator[Frame]:
        name, arguments, output = _tool(task)
        self._words_written += len((arguments.get("new_string") or arguments.get("content") or "").split())
        return self._call(name, arguments, output)

    def _slow_part(self, files: Mapping[str, str]) -> Iterator[Frame]:
        """Look at every page again, slowly: as many frames in each round."""
        paths = sorted(files)
        pieces = SLOW_FRAMES // _SLOW_ROUNDS - 2
        for number in range(1, _SLOW_ROUNDS + 1):
            path = paths[number % len(paths)] if paths else "the draft"
            yield Frame("progress", {"message": f"Taking my time, as asked: round {number} of {_SLOW_ROUNDS}."})
            text = (
                f"Round {number} of {_SLOW_ROUNDS}. I look at `{path}` once more: it has "
                f"{counted(len(lines_of(files.get(path))), 'line')}. There is nothing to change in it, and no hurry."
            )
            yield from self._message(text, pieces)

    def _ending(self) -> Iterator[Frame]:
        yield self._plan(len(self._todos) - 1)
        yield from self._message(self._work.closing)
        yield self._plan(len(self._todos))
        yield self._usage()
        changed = len({task.path for task in self._work.tasks if task.is_change})
        yield Frame("progress", {"message": f"Done: {counted(changed, 'file')} changed."})
        yield Frame("end", {"error": None, "summary": self._work.summary})

    def _plan(self, current: int) -> Frame:
        return Frame("plan", {"todos": [
            {"content": todo, "status": "completed" if n < current else "in_progress" if n == current else "pending"}
            for n, todo in enumerate(self._todos)
        ]})  # fmt: skip

    def _message(self, text: str, pieces: int | None = None) -> Iterator[Frame]:
        """Stream a message, a few words a frame, or in as many pieces as are wanted."""
        self._messages += 1
        self._words_written += len(text.split())
        message = {"id": f"{self._thread_id}-message-{self._messages}", "agent": AGENT}
        words = text.split(" ")
        count = pieces or -(-len(words) // _WORDS_A_DELTA)
        bounds = [len(words) * index // count for index in range(count + 1)]
        for start, end in pairwise(bounds):
            piece = " ".join(words[start:end])
            yield Frame("message_delta", {**message, "text": piece if end == len(words) else f"{piece} "})
        yield Frame("message", {**message, "text": text})

    def _call(self, name: str, arguments: Mapping[str, Any], output: str) -> Iterator[Frame]:
        self._calls += 1
        call = {"id": f"{self._thread_id}-call-{self._calls}", "agent": AGENT, "name": name}
        yield Frame("tool_start", {**call, "args": {key: _capped(value) for key, value in arguments.items()}})
        yield Frame("tool_end", {**call, "status": "success", "output": output})

    def _usage(self) -> Frame:
        texts = (self._request.prompt, *(self._request.files.get(path, "") for path in self._work.reads))
        read = sum(len(text.split()) for text in texts)
        return Frame("usage", {"model": MODEL, "input_tokens": read, "output_tokens": self._words_written})


def _tool(task: Task) -> tuple[str, dict[str, str], str]:
    """Name the tool that does a task, with its arguments and what it answers."""
    if task.after is None:
        return "delete_file", {"file_path": task.path}, f"Removed {task.path}."
    if task.before is None:
        lines = counted(len(lines_of(task.after)), "line")
        return "write_file", {"file_path": task.path, "content": task.after}, f"Wrote {task.path}: {lines}."
    old, new = _changed_region(lines_of(task.before), lines_of(task.after))
    arguments = {"file_path": task.path, "old_string": "".join(old), "new_string": "".join(new)}
    return "edit_file", arguments, f"Edited {task.path}: {task.note}"


def _changed_region(before: list[str], after: list[str]) -> tuple[list[str], list[str]]:
    """Give the lines that differ, with the line before them, so that there is something to find."""
    shorter = min(len(before), len(after))
    start = next((index for index in range(shorter) if before[index] != after[index]), shorter)
    left = shorter - start
    end = next((index for index in range(left) if before[-1 - index] != after[-1 - index]), left)
    first = max(0, start - 1)
    return before[first : len(before) - end], after[first : len(after) - end]


def _excerpt(content: str) -> str:
    lines = lines_of(content)
    shown = _capped("".join(lines[:_SHOWN_LINES]))
    more = len(lines) - _SHOWN_LINES
    return f"{shown}… {counted(more, 'more line')}" if more > 0 else shown


def _capped(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
