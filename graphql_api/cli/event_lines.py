"""Events as lines: of JSON for scripts, and those of a workflow as sentences."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime

import typer
from rich.console import Console
from rich.text import Text

from graphql_api.cli.demo_view import CHANGES, Step
from graphql_api.cli.demo_work import Event

_NAME = 10
"""Characters that names get, so that what they do stands in one column."""

_SHOWN_PATHS = 3
_STYLES = {
    "COMPLETED": "green",
    "APPROVED": "green",
    "FAILED": "red",
    "CANCELLED": "yellow",
    "REJECTED": "yellow",
    "PENDING": "cyan",
    "PROCESSING": "cyan",
}


class EventJson:
    """One JSON object per line, as the API sent it; what is no event goes to standard error."""

    def begin(self, step: Step) -> None:
        """Leave the steps out."""

    def end(self, step: Step, text: str, **_facts: object) -> None:
        """Leave the steps out."""

    def event(self, event: Event) -> None:
        """Write an event."""
        typer.echo(json.dumps(event, ensure_ascii=False))

    def lost(self, reason: str) -> None:
        """Write why, beside the events."""
        typer.echo(lost(reason), err=True)


class WorkflowLines:
    """A line for each event of a workflow: when, who, what; a day begins with its date.

    Args:
        console: Where to.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._day = ""

    def event(self, event: Event) -> None:
        """Write a line, and under the beginning of a proposal how to watch it."""
        when = datetime.fromisoformat(event["occurredAt"]).astimezone()
        day = when.date().isoformat()
        if day != self._day:
            self._day = day
            self._write(Text(day, style="bold"))
        who = (event["actor"] or {"name": "system"})["name"]
        self._write(Text.assemble((f"{when:%H:%M:%S}", "dim"), "  ", (f"{who:<{_NAME}}", "cyan"), "  ", told(event)))
        if event["__typename"] == "ProposalStatusChanged" and event["from"] is None:
            # With an indent the id would not fit on a line of eighty characters.
            self._write(Text(f"orchestrator watch {event['proposal']['id']}", style="dim"), is_whole=True)

    def lost(self, reason: str) -> None:
        """Write why."""
        self._write(Text(lost(reason), style="yellow"))

    def _write(self, line: Text, *, is_whole: bool = False) -> None:
        # A pipe takes lines of any length; a terminal shows one as far as it is wide.
        if is_whole or not self._console.is_terminal:
            self._console.print(line, soft_wrap=True)
        else:
            self._console.print(line, no_wrap=True, overflow="ellipsis")


def lost(reason: str) -> str:
    """Say that the connection is lost."""
    return f"The connection was lost ({reason}); going on when it is back …"


def told(event: Event) -> Text:
    """Say what an event of a workflow says; one of a later release by its name."""
    tell = _SENTENCES.get(event["__typename"])
    return Text(event["__typename"]) if tell is None else tell(event)


def _status(event: Event) -> Text:
    status, prompt = event["to"], " ".join(event["proposal"]["prompt"].split())
    return Text.assemble("proposal ", (status.lower(), _STYLES.get(status, "")), f": {prompt}")


def _draft(event: Event) -> Text:
    changes = event["changes"]
    shown = ", ".join(f"{CHANGES[change['kind']]} {change['path']}" for change in changes[:_SHOWN_PATHS])
    more = f" and {len(changes) - _SHOWN_PATHS} more" if len(changes) > _SHOWN_PATHS else ""
    return Text(f"draft at revision {event['revision']}" + (f": {shown}{more}" if shown else ""))


def _published(event: Event) -> Text:
    version = event["version"]
    notes = f": {' '.join(version['notes'].split())}" if version["notes"] else ""
    return Text(f"version {version['number']} published{notes}")


def _deployed(event: Event) -> Text:
    before = f", before it {event['previous']['number']}" if event["previous"] else ""
    return Text.assemble((f"version {event['version']['number']} deployed", "green"), before)


def _members(event: Event) -> Text:
    member, role = event["member"], event["role"]
    return Text(
        f"{member['name']} <{member['email']}> {'has no access any more' if role is None else f'is {role.lower()}'}"
    )


def _lock(event: Event) -> Text:
    return Text("unlocked" if event["lock"] is None else "locked")


_SENTENCES: Mapping[str, Callable[[Event], Text]] = {
    "WorkflowCreated": lambda event: Text(f"workflow {event['workflow']['name']} created"),
    "WorkflowUpdated": lambda event: Text(f"workflow {event['workflow']['name']} updated"),
    "DraftChanged": _draft,
    "DraftDiscarded": lambda _: Text("draft discarded"),
    "ProposalStatusChanged": _status,
    "VersionPublished": _published,
    "VersionDeployed": _deployed,
    "VersionDeprecated": lambda event: Text(f"version {event['version']['number']} deprecated"),
    "WorkflowMembersChanged": _members,
    "WorkflowLockChanged": _lock,
}
