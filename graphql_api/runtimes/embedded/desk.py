"""The draft while the rule-based author works on it."""

from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from graphql_api.kit.files import MAX_FILES, FileType, InvalidFile, checked_content, checked_path, type_of
from graphql_api.runtimes.embedded import definition, markdown
from graphql_api.runtimes.embedded.request import ASSISTANT, Agent, Ask, key_of, named, read_request, shortened
from graphql_api.runtimes.protocol import RunRequest

REQUIREMENTS = "THE_SPEC/requirements.md"
PLAN = "THE_SPEC/plan.md"
SPEC_FOLDER = "THE_SPEC"
CAST_FOLDER = "THE_CAST"
DEFINITION = "definition.json"


def stem_of(name: str) -> str:
    """Name the file of an agent's brief, without its ending: `Chief_Editor`."""
    return shortened("".join(letter if letter.isalnum() or letter == "-" else "_" for letter in name), 100)


@dataclass(frozen=True, slots=True)
class Task:
    """One thing that the author does with one file.

    Attributes:
        todo: What is to be done, for the plan.
        path: The file.
        before: Its content before; None when it wasn't there.
        after: Its content after; None when it is gone. The same as before when nothing was done.
        note: What was done, or why nothing was.
    """

    todo: str
    path: str
    before: str | None
    after: str | None
    note: str

    @property
    def is_change(self) -> bool:
        """Tell whether the file is another one afterwards."""
        return self.before != self.after


class Desk:
    """The draft while it is worked on: its files, what was read of them, and what was done."""

    def __init__(self, request: RunRequest) -> None:
        self.files = dict(request.files)
        self.tasks: list[Task] = []
        self.reads: list[str] = []
        self._paths = {path.casefold(): path for path in sorted(self.files, reverse=True)}
        self.graph = self._read_graph()
        self.cast = self._read_cast()
        self.lead = self._find_lead()
        nodes = self.graph.nodes if self.graph else ()
        self.names = {key_of(name): name for name in (*(node.name for node in nodes), *self.cast.values())}
        self._request = request
        self.ask = self._find_agents()
        self.was_asked_before = False

    @property
    def specialists(self) -> list[Agent]:
        """Those agents of the prompt that do not lead."""
        return [agent for agent in self.ask.agents if not self.is_lead(agent)]

    def is_lead(self, agent: Agent) -> bool:
        """Tell whether an agent of the prompt is the one that delegates."""
        return agent.key in {self.lead.key, "orchestrator"}

    def path_of(self, path: str) -> str:
        """Find a file whatever the case of its letters."""
        return self._paths.get(path.casefold(), path)

    def cast_path(self, name: str) -> str:
        """Find the brief of an agent, or where it would be."""
        nodes = self.graph.nodes if self.graph else ()
        keys = {key_of(name), *(node.key for node in nodes if node.name == name)}
        found = next((path for path, other in self.cast.items() if key_of(other) in keys), None)
        return found or f"{CAST_FOLDER}/{stem_of(name)}.md"

    def read(self, path: str) -> str | None:
        """Read a file and remember that it was read."""
        if path in self.files and path not in self.reads:
            self.reads.append(path)
        return self.files.get(path)

    def read_if(self, path: str, after: str) -> str:
        """Read a file for an edit; it counts as read only when the edit changes something."""
        before = self.files.get(path, "")
        if before != after:
            self.read(path)
        return before

    def replace_name(self, old: definition.Node, new: definition.Node | None) -> None:
        """Know an agent by another name from now on, or no more."""
        self.names.pop(key_of(old.name), None)
        if new is not None:
            self.names[new.key] = new.name
        if new is not None and old.key == self.lead.key:
            self.lead = new
        self.graph = self._read_graph()
        self.cast = self._read_cast()

    def change(self, todo: str, path: str, after: str | None, note: str) -> None:
        """Write or remove a file, unless no file may be so."""
        before = self.files.get(path)
        refusal = None if after is None else self._refusal(path, after)
        if refusal is not None:
            after, note = before, f"left alone: {refusal}"
        self.tasks.append(Task(todo, path, before, after, note))
        if after is None:
            self.files.pop(path, None)
        else:
            self.files[path] = after

    def keep(self, todo: str, path: str, note: str) -> None:
        """Do nothing with a file, and say why."""
        self.change(todo, path, self.files.get(path), note)

    def selected_line(self, path: str) -> int | None:
        """Find the line where the person was, when this is the file that they had open."""
        if path != self.path_of(self._request.context_file_path or ""):
            return None
        return markdown.find(self.files.get(path, ""), self._request.context_selection or "")

    def pages(self) -> list[str]:
        """List the Markdown files of the specification and the cast."""
        folders = (f"{SPEC_FOLDER}/".casefold(), f"{CAST_FOLDER}/".casefold())
        return [
            path
            for path in sorted(self.files)
            if path.casefold().startswith(folders) and type_of(path) is FileType.MARKDOWN
        ]

    def known(self, name: str) -> definition.Node | None:
        """Find an agent that the draft has, by any way of writing its name."""
        key = key_of(name)
        nodes = self.graph.nodes if self.graph else ()
        by_name = next((node for node in nodes if key in {node.key, key_of(node.name)}), None)
        return by_name or (definition.Node(key, self.names[key]) if key in self.names else None)

    def _refusal(self, path: str, content: str) -> str | None:
        if path not in self.files and len(self.files) >= MAX_FILES:
            return f"a draft has at most {MAX_FILES} files."
        try:
            checked_path(path)
            checked_content(content)
        except InvalidFile as error:
            return str(error)
        return None

    def _read_graph(self) -> definition.Graph | None:
        text = self.read(self.path_of(DEFINITION))
        try:
            return definition.read_graph(text) if text and text.strip() else None
        except definition.Unreadable:
            return None

    def _read_cast(self) -> dict[str, str]:
        prefix = f"{CAST_FOLDER}/".casefold()
        return {
            path: named(PurePosixPath(path).stem.replace("_", " ")) or ASSISTANT
            for path in self.pages()
            if path.casefold().startswith(prefix)
        }

    def _find_lead(self) -> definition.Node:
        if self.graph and self.graph.entry_point:
            key = self.graph.entry_point
            names = (node.name for node in self.graph.nodes if node.key == key)
            return definition.Node(key, next(names, named(key.replace("_", " "))))
        found = next((name for name in self.cast.values() if "orchestrator" in key_of(name)), "Orchestrator")
        return definition.Node(key_of(found), found)

    def _find_agents(self) -> Ask:
        """Read the prompt; without a name in it, it is for the agent whose brief was open, or for a first one."""
        ask = read_request(self._request.prompt, tuple(self.names.values()))
        if ask.agents or not ask.asks_for_more_than_names:
            return ask
        opened = self.cast.get(self.path_of(self._request.context_file_path or ""))
        if opened is not None:
            return replace(ask, agents=(Agent(opened),))
        return ask if self.names else replace(ask, agents=(Agent(ASSISTANT),))
