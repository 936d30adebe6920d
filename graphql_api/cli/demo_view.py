"""What the demo shows where nobody watches a screen: lines of text, or of JSON."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any, Protocol

import typer

from graphql_api.cli.demo_work import Event, Work, subject_of

CHANGES = {"ADDED": "+", "MODIFIED": "~", "DELETED": "-"}
_CHECKS = {"COMPLETED": "[x]", "IN_PROGRESS": "[>]", "PENDING": "[ ]"}
_COLUMN = 10


class Step(Enum):
    """A step of the journey; the value is what people read."""

    SIGN_IN = "Sign in"
    CREATE = "Create a workflow"
    REFINE = "Ask the agent"
    WATCH = "Watch it work"
    APPROVE = "Approve"
    PUBLISH = "Publish"
    DEPLOY = "Deploy"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the journey made.

    Attributes:
        workflow: Its name.
        version: Number of the published version.
        production: Number of the version that is deployed.
        files: Paths and sizes of the version's files.
        url: Of GraphiQL.
    """

    workflow: str
    version: int
    production: int
    files: list[dict[str, Any]]
    url: str


class Watcher(Protocol):
    """Somebody who is shown events."""

    def event(self, event: Event) -> None:
        """Show an event."""
        ...

    def lost(self, reason: str) -> None:
        """Show that the connection was lost, and is taken up again."""
        ...


class Journey(Watcher, Protocol):
    """Somebody who is shown events, and the steps around them."""

    def begin(self, step: Step) -> None:
        """Show that a step begins."""
        ...

    def end(self, step: Step, text: str, **facts: object) -> None:
        """Show what a step gave, in words and in figures."""
        ...


class View(Journey, Protocol):
    """Somebody who is shown the whole journey."""

    def finish(self, outcome: Outcome) -> None:
        """Show what came of it."""
        ...


class LineView:
    """Lines of plain text, each when it happens."""

    def __init__(self) -> None:
        self._work = Work()
        self._shown: dict[str, str] = {}

    def begin(self, step: Step) -> None:
        """Leave the beginnings out."""

    def end(self, step: Step, text: str, **_facts: object) -> None:
        """Write a line."""
        typer.echo(f"{step.value:{len(Step.CREATE.value)}}  {text}")

    def event(self, event: Event) -> None:
        """Write what is new, a line each."""
        self._work.add(event)
        for kind, text in self._lines(event):
            typer.echo(f"  {kind:{_COLUMN - 2}}{text}")

    def lost(self, reason: str) -> None:
        """Write a line."""
        typer.echo(f"  {'link':{_COLUMN - 2}}lost ({reason}); going on after event {self._work.sequence}")

    def finish(self, outcome: Outcome) -> None:
        """Write the files and where to look at them."""
        typer.echo(f"\n{outcome.workflow}: version {outcome.version}, production runs version {outcome.production}")
        for file in outcome.files:
            typer.echo(f"  {file['path']}  {file['size']} bytes")
        typer.echo(f"Open {outcome.url} to look around.")

    def _lines(self, event: Event) -> Iterator[tuple[str, str]]:
        match event["__typename"]:
            case "ProposalStarted":
                yield "runtime", event["runtime"]
            case "ProposalProgressed":
                yield "status", event["message"]
            case "PlanUpdated":
                yield from self._changed_items()
            case "ToolCallStarted":
                yield "tool", f"{event['name']} {subject_of(event['arguments'])}".rstrip()
            case "ToolCallFinished" if event["status"] == "FAILED":
                yield "tool", f"{event['name']} failed: {event['output'] or 'it did not say why'}"
            case "AgentMessageCompleted":
                lines = [line for line in event["text"].splitlines() if line.strip()]
                yield from ((("says", "")[bool(number)], line) for number, line in enumerate(lines))
            case "FilesChanged":
                for change in event["changes"]:
                    mark = CHANGES[change["kind"]]
                    yield "file", f"{mark} {change['path']}  +{change['additions']} -{change['deletions']}"
            case "RuntimeLinkChanged":
                yield "link", event["state"].replace("_", " ").lower()

    def _changed_items(self) -> Iterator[tuple[str, str]]:
        """Tell the items of the plan that are new, or further than they were."""
        for item in self._work.plan:
            if self._shown.get(item["content"]) != item["status"]:
                self._shown[item["content"]] = item["status"]
                yield "plan", f"{_CHECKS[item['status']]} {item['content']}"


class JsonView:
    """One JSON object per line: `step`, `event`, `lost`, and at the end `result`."""

    def begin(self, step: Step) -> None:
        """Leave the beginnings out."""

    def end(self, step: Step, text: str, **facts: object) -> None:
        """Write what a step gave."""
        self._write({"step": step.name.lower(), "text": text, **facts})

    def event(self, event: Event) -> None:
        """Write an event as it came."""
        self._write({"event": event})

    def lost(self, reason: str) -> None:
        """Write that the connection was lost."""
        self._write({"lost": reason})

    def finish(self, outcome: Outcome) -> None:
        """Write what came of it."""
        self._write({"result": asdict(outcome)})

    def _write(self, line: dict[str, Any]) -> None:
        typer.echo(json.dumps(line, ensure_ascii=False))
