"""What the demo shows on a terminal: one picture that changes while the agent works."""

from collections.abc import Sequence
from types import TracebackType
from typing import NamedTuple, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.panel import Panel
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from graphql_api.cli.demo_view import CHANGES, Outcome, Step
from graphql_api.cli.demo_work import Event, ToolCall, Work

_WIDTH = 100
_FRAMES_PER_SECOND = 15
_FRAME_LINES = 13
"""Lines of the picture around what grows, beside the steps: title, headings, note, and what lies between them."""

_UNLIMITED = 1000
_CHECKS = {"COMPLETED": ("✓", "green"), "IN_PROGRESS": ("▸", "cyan"), "PENDING": ("·", "dim")}
_CALLS = {"SUCCEEDED": ("✓", "green"), "FAILED": ("✗", "red"), None: ("▸", "cyan")}
_KINDS = {"ADDED": "green", "MODIFIED": "yellow", "DELETED": "red"}


class _Room(NamedTuple):
    """Lines that the parts of the picture may have."""

    plan: int
    tools: int
    words: int
    files: int


class LiveView:
    """The journey's steps, and under them the agent's plan, tools, words and files.

    Args:
        console: The terminal.
        url: Of the endpoint, for the title.
        command: For the title.
        steps: Which there are.
    """

    def __init__(
        self, console: Console, url: str, *, command: str = "demo", steps: Sequence[Step] = tuple(Step)
    ) -> None:
        self._console = console
        self._url = url
        self._command = command
        self._steps = steps
        self._work = Work()
        self._ended: dict[Step, str] = {}
        self._current: Step | None = None
        self._spinner = Spinner("dots", style="cyan")
        self._note = ""
        self._is_over = False
        self._live = Live(
            console=console, get_renderable=self._picture, refresh_per_second=_FRAMES_PER_SECOND, transient=False
        )

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Leave the last picture on the terminal."""
        self._is_over = True
        self._live.stop()

    def begin(self, step: Step) -> None:
        """Turn the spinner of a step."""
        self._current = step

    def end(self, step: Step, text: str, **_facts: object) -> None:
        """Tick a step off."""
        self._ended[step] = text
        self._current = None

    def event(self, event: Event) -> None:
        """Take an event into the picture."""
        self._note = ""
        self._work.add(event)

    def lost(self, reason: str) -> None:
        """Say so until the next event."""
        self._note = f"The connection was lost ({reason}); going on after event {self._work.sequence} …"

    def finish(self, outcome: Outcome) -> None:
        """Close the picture, and put what came of it under it."""
        self._is_over = True
        self._live.stop()
        files = Table.grid(padding=(0, 2))
        for file in outcome.files:
            files.add_row(Text(file["path"]), Text(f"{file['size']:,} bytes", style="dim", justify="right"))
        rows = Table.grid(padding=(0, 3))
        rows.add_column(style="dim")
        rows.add_row("Version", Text(str(outcome.version)))
        rows.add_row("Production", Text(f"runs version {outcome.production}"))
        rows.add_row("Files", files)
        rows.add_row("Look around", Text(outcome.url, style="cyan"))
        title = Text(outcome.workflow, style="bold green")
        self._console.print()
        self._console.print(Panel(rows, title=title, title_align="left", border_style="green", width=self._width))

    @property
    def _width(self) -> int:
        return min(self._console.width, _WIDTH)

    def _picture(self) -> RenderableType:
        title = Text.assemble((f"orchestrator {self._command}", "bold"), ("  " + self._url, "dim"))
        parts: list[RenderableType] = [title, Text(), self._journey()]
        work, room = self._work, self._room()
        parts += self._section("Plan", [_item(item) for item in _around_current(work.plan, room.plan)])
        if not self._is_over:
            parts += self._section("Tools", [_call(call) for call in list(work.calls.values())[-room.tools :]])
            parts += self._section("The agent says", self._words(room.words))
        parts += self._section("Files", self._files(room.files))
        if self._note:
            parts += [Text(), Text(self._note, style="yellow")]
        return Padding(Group(*parts), (0, 1))

    def _room(self) -> _Room:
        """Share the lines of the screen out: a picture that does not fit could not be drawn again."""
        if self._is_over:
            return _Room(plan=_UNLIMITED, tools=0, words=0, files=_UNLIMITED)
        free = max(8, self._console.height - _FRAME_LINES - len(self._steps))
        plan, tools, words = free // 3, free // 6, free // 4
        return _Room(plan=plan, tools=tools, words=words, files=free - plan - tools - words)

    def _journey(self) -> Table:
        table = Table.grid(padding=(0, 2))
        table.add_column(width=1)
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True, overflow="ellipsis", max_width=max(20, self._width - 26))
        for step in self._steps:
            if step in self._ended:
                table.add_row(Text("✓", style="green"), step.value, Text(self._ended[step]))
            elif step is self._current and self._is_over:
                table.add_row(
                    Text("✗", style="red"), Text(step.value, style="bold"), Text(self._progress(), style="dim")
                )
            elif step is self._current:
                table.add_row(self._spinner, Text(step.value, style="bold"), Text(self._progress(), style="dim"))
            else:
                table.add_row(Text("·", style="dim"), Text(step.value, style="dim"), "")
        return table

    def _progress(self) -> str:
        if self._current is not Step.WATCH or not self._work.sequence:
            return ""
        return f"{self._work.sequence} events"

    def _section(self, name: str, lines: Sequence[Text]) -> list[RenderableType]:
        if not lines:
            return []
        table = Table.grid()
        table.add_column(no_wrap=True, overflow="ellipsis", max_width=self._width - 4)
        for line in lines:
            table.add_row(line)
        return [Text(), Text(name, style="bold dim"), Padding(table, (0, 0, 0, 2))]

    def _words(self, room: int) -> list[Text]:
        """Give the end of what the agent wrote last, which is where it writes."""
        text = next(reversed(self._work.messages.values()), "").strip()
        return list(Text(text).wrap(self._console, self._width - 4))[-room:] if text else []

    def _files(self, room: int) -> list[Text]:
        files = self._work.files
        width = max((len(path) for path in files), default=0)
        lines = [
            Text.assemble(
                (f"{CHANGES[change.kind]} ", _KINDS[change.kind]),
                f"{path:{width}}  ",
                (f"+{change.additions}", "green"),
                (f" -{change.deletions}" if change.deletions else "", "red"),
            )
            for path, change in sorted(files.items())
        ]
        return _first(lines, room)


def _item(item: Event) -> Text:
    mark, style = _CHECKS[item["status"]]
    return Text.assemble((f"{mark} ", style), (item["content"], "" if item["status"] != "PENDING" else "dim"))


def _call(call: ToolCall) -> Text:
    mark, style = _CALLS[call.status]
    return Text.assemble((f"{mark} ", style), f"{call.name} ", (call.subject, "dim"))


def _around_current(plan: Sequence[Event], room: int) -> Sequence[Event]:
    """Give as much of a plan as there is room for, with what is being done in it."""
    done = sum(item["status"] == "COMPLETED" for item in plan)
    start = min(max(0, done - room // 2), max(0, len(plan) - room))
    return plan[start : start + room]


def _first(lines: list[Text], room: int) -> list[Text]:
    if len(lines) <= room:
        return lines
    return [*lines[: room - 1], Text(f"… and {len(lines) - room + 1} more", style="dim")]
