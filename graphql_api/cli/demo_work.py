"""What the events of a proposal add up to."""

from dataclasses import dataclass, field
from typing import Any

Event = dict[str, Any]


@dataclass(slots=True)
class ToolCall:
    """A tool that the agent called.

    Attributes:
        name: Of the tool.
        subject: What it is called for: the argument that tells most.
        status: `SUCCEEDED`, `FAILED`, or None while it runs.
    """

    name: str
    subject: str
    status: str | None = None


@dataclass(slots=True)
class ChangedFile:
    """What the agent did to a file so far.

    Attributes:
        kind: `ADDED`, `MODIFIED` or `DELETED`.
        additions: Lines.
        deletions: Lines.
    """

    kind: str
    additions: int
    deletions: int


@dataclass(slots=True)
class Work:
    """The state that a client shows while it watches.

    Attributes:
        plan: Items with `content` and `status`.
        calls: By their ids, in order.
        messages: Texts by their ids, in order, whole or as far as they are written.
        files: By their paths.
        tokens: Of all models together.
        sequence: Of the newest stored event.
        runtime: Who works; empty before the start.
    """

    plan: list[Event] = field(default_factory=list)
    calls: dict[str, ToolCall] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)
    files: dict[str, ChangedFile] = field(default_factory=dict)
    tokens: int = 0
    sequence: int = 0
    runtime: str = ""

    def add(self, event: Event) -> None:
        """Take an event in; one that comes twice does no harm."""
        self.sequence = event["sequence"]
        match event["__typename"]:
            case "ProposalStarted":
                self.runtime = event["runtime"]
            case "PlanUpdated":
                self.plan = event["items"]
            case "ToolCallStarted":
                self.calls[event["toolCallId"]] = ToolCall(event["name"], subject_of(event["arguments"]))
            case "ToolCallFinished":
                self.calls.setdefault(event["toolCallId"], ToolCall(event["name"], "")).status = event["status"]
            case "AgentMessageDelta":
                self._write(event["messageId"], event["offset"], event["text"])
            case "AgentMessageCompleted":
                self.messages[event["messageId"]] = event["text"]
            case "FilesChanged":
                for change in event["changes"]:
                    self._change(change)
            case "UsageReported":
                self.tokens += event["usage"]["totalTokens"]

    def _write(self, message: str, offset: int, text: str) -> None:
        """Put a piece where it belongs; a watcher who came late has nothing before it."""
        before = self.messages.get(message, "")
        self.messages[message] = before[:offset] + text

    def _change(self, change: Event) -> None:
        """Add a change to those before it, which each were against the files right before."""
        path, kind = change["path"], change["kind"]
        before = self.files.get(path)
        if before is None:
            self.files[path] = ChangedFile(kind, change["additions"], change["deletions"])
            return
        before.kind = "ADDED" if before.kind == "ADDED" and kind != "DELETED" else kind
        before.additions += change["additions"]
        before.deletions += change["deletions"]


def subject_of(arguments: object) -> str:
    """Find the argument of a tool call that tells most: a path, else the first text."""
    if not isinstance(arguments, dict):
        return ""
    texts = {name: value for name, value in arguments.items() if isinstance(value, str)}
    found = next((texts[name] for name in ("file_path", "path", "name", "query") if name in texts), None)
    first = next(iter(texts.values()), "") if found is None else found
    return " ".join(first.split())[:80]
