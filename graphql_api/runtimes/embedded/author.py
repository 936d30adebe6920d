"""The rule-based author: what it changes in a draft for a prompt. Pure: the same input always gives the same work."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from graphql_api.kit.files import FileType, type_of
from graphql_api.runtimes.embedded import definition, markdown, pages
from graphql_api.runtimes.embedded.desk import DEFINITION, PLAN, REQUIREMENTS, Desk, Task
from graphql_api.runtimes.embedded.moves import edit_definition, remove, rename
from graphql_api.runtimes.embedded.request import Ask, shortened
from graphql_api.runtimes.protocol import RunRequest

_DUTIES = ("responsib", "dut", "task", "instruction", "what it does", "goal")
_TEAM = ("delegat", "team", "specialist", "works with", "cast")
_STEPS = ("step", "task", "milestone", "plan")
_QUOTED_CHARACTERS = 2_000
_LISTED_FILES = 20


@dataclass(frozen=True, slots=True)
class Work:
    """All that the author does for one request.

    Attributes:
        ask: What it read in the prompt.
        reads: Paths that it looked at, in order.
        introduction: What it says first.
        tasks: What it does, in order.
        closing: What it says last.
        summary: What changes and why, in Markdown, for reviewers.
    """

    ask: Ask
    reads: tuple[str, ...]
    introduction: str
    tasks: tuple[Task, ...]
    closing: str
    summary: str


def work_for(request: RunRequest) -> Work:
    """Decide everything that is done for a request; linear in the size of the draft."""
    desk = Desk(request)
    introduction = pages.introduction(desk.ask, desk.lead.name, len(request.files))
    for old, new in desk.ask.renames:
        rename(desk, old, new)
    for name in desk.ask.removals:
        remove(desk, name)
    if desk.ask.asks_for_more_than_names:
        label = _require(desk)
        _cast(desk)
        _define(desk)
        _plan(desk, label)
    _context(desk, request)
    return Work(
        desk.ask, tuple(desk.reads), introduction, tuple(desk.tasks), _closing(desk.tasks), _summary(desk, request)
    )


def _require(desk: Desk) -> str | None:
    """Write the requirement down; give what the file calls it."""
    ask, path = desk.ask, desk.path_of(REQUIREMENTS)
    existing = desk.read(path)
    quote = shortened(ask.text, _QUOTED_CHARACTERS)
    said = ask.headline if quote.rstrip(".!,;: ") == ask.headline else quote
    todo = f"Write the requirement in {path}"
    line = None if existing is None else markdown.line_with(existing, said)
    if existing is not None and line is not None:
        desk.was_asked_before = True
        desk.keep(todo, path, "nothing to do: the requirement is there already.")
        return markdown.label_at(existing, line)
    base = existing if existing and existing.strip() else pages.REQUIREMENTS_PAGE
    criteria = pages.criteria_of(ask, desk.lead.name)
    placed = markdown.with_requirement(base, ask.headline, [] if said == ask.headline else [f"> {said}"], criteria)
    name = placed.label or "the requirement"
    desk.change(todo, path, placed.content, f"{name}, with {len(criteria)} acceptance criteria.")
    return placed.label


def _cast(desk: Desk) -> None:
    """Write the briefs of new agents, add duties to those of old ones, and tell the lead."""
    for agent in desk.specialists:
        path = desk.cast_path(agent.name)
        if desk.read(path) is None:
            note = f"the brief of **{agent.name}**, who {pages.purpose_of(agent).rstrip('.')}."
            desk.change(
                f"Write the brief of {agent.name} in {path}", path, pages.cast_page(agent, desk.lead.name), note
            )
        else:
            _add_duty(desk, path, agent.name, agent.purpose or desk.ask.headline)
    _brief_lead(desk)


def _brief_lead(desk: Desk) -> None:
    path, lead = desk.cast_path(desk.lead.name), desk.lead.name
    existing = desk.read(path)
    page = pages.lead_page(lead) if existing is None else existing
    missing = [agent for agent in desk.specialists if existing is None or not _mentions(existing, agent.name)]
    for agent in missing:
        page = markdown.with_item(
            page, _TEAM, "Delegates to", f"**{agent.name}**: {pages.purpose_of(agent).rstrip('.')}."
        )
    if missing or existing is None:
        names = pages.listed([f"**{agent.name}**" for agent in missing])
        note = f"**{lead}** delegates to {names}." if missing else f"the brief of **{lead}**."
        desk.change(f"Tell {lead} in {path}", path, page, note)
    elif desk.specialists:
        desk.keep(f"Tell {lead} in {path}", path, f"nothing to do: **{lead}** knows everybody already.")
    duties = [agent.purpose or desk.ask.headline for agent in desk.ask.agents if desk.is_lead(agent)]
    for duty in duties or ([] if desk.ask.agents else [desk.ask.headline]):
        _add_duty(desk, path, lead, duty)


def _add_duty(desk: Desk, path: str, name: str, duty: str) -> None:
    todo, content = f"Add to the brief of {name} in {path}", desk.read(path) or ""
    is_own_wording = duty == desk.ask.headline
    if is_own_wording and desk.ask.agents and desk.ask.is_addition:
        desk.keep(todo, path, f"nothing to do: **{name}** is there already.")
    elif markdown.holds(content, duty) or (is_own_wording and desk.was_asked_before):
        desk.keep(todo, path, "nothing to do: it was asked before.")
    else:
        line, words = desk.selected_line(path), pages.sentence(duty)
        after = (
            markdown.with_item(content, _DUTIES, "Responsibilities", words)
            if line is None
            else markdown.with_note(content, line, words)
        )
        desk.change(todo, path, after, f"one more responsibility of **{name}**.")


def _mentions(content: str, name: str) -> bool:
    return bool(markdown.lines_with_name(content, name, ()))


def _define(desk: Desk) -> None:
    """Add the agents to the graph."""
    lead = pages.lead_node(desk.lead.key, desk.lead.name)
    others = [pages.specialist_node(agent, desk.lead.name) for agent in desk.specialists]
    name = f"{desk.ask.agents[0].name if desk.ask.agents else desk.lead.name} workflow"
    names = pages.listed([f"**{node.name}**" for node in others] or [f"**{lead.name}**"])
    edit_definition(
        desk,
        lambda text: (
            definition.with_nodes(text, name, lead, others) if text else definition.new_definition(name, lead, others)
        ),
        f"{names} in the graph, led by **{lead.name}**." if others else f"{names} in the graph.",
        "nothing to do: the graph has these agents already.",
    )


def _plan(desk: Desk, label: str | None) -> None:
    """Add a step, with what this very work has done of it ticked."""
    path = desk.path_of(PLAN)
    existing = desk.read(path)
    todo, title = f"Add a step to {path}", f"{label} · {desk.ask.headline}" if label else desk.ask.headline
    if existing is not None and markdown.holds(existing, desk.ask.headline):
        desk.keep(todo, path, "nothing to do: the step is there already.")
        return
    base = existing if existing and existing.strip() else pages.PLAN_PAGE
    todos = {task.todo: task.note.startswith("left alone") for task in desk.tasks}
    nested = [f"- [{' ' if is_left else 'x'}] {todo}" for todo, is_left in todos.items()]
    nested.append("- [ ] Try the workflow on real requests, and tick the acceptance criteria that it meets")
    desk.change(
        todo,
        path,
        markdown.with_item(base, _STEPS, "Steps", f"**{title}**", nested),
        "one more step, with what is left to do.",
    )


def _context(desk: Desk, request: RunRequest) -> None:
    """Leave the request where the person was looking, unless the file got it already."""
    if request.context_file_path is None:
        return
    path = desk.path_of(request.context_file_path)
    todo, content = f"Look at {path}, which was open", desk.read(path)
    if content is None:
        desk.keep(todo, path, "it is not in the draft, so there is nothing to edit.")
    elif any(task.path == path for task in desk.tasks):
        return
    elif type_of(path) is not FileType.MARKDOWN and PurePosixPath(path).suffix.lower() not in {"", ".txt"}:
        desk.keep(todo, path, "left alone: I edit Markdown, plain text and `definition.json` only.")
    elif markdown.holds(content, desk.ask.headline):
        desk.keep(todo, path, "nothing to do: it says so already.")
    else:
        line = markdown.find(content, request.context_selection or "")
        place = "at the end" if line is None else "next to what was selected"
        desk.change(
            todo, path, markdown.with_note(content, line, pages.sentence(desk.ask.headline)), f"the request, {place}."
        )


def _closing(tasks: Sequence[Task]) -> str:
    done = _lines([f"- `{task.path}`: {task.note}" for task in tasks if task.is_change])
    kept = _lines([f"- `{task.path}`: {task.note}" for task in tasks if not task.is_change])
    paths = {task.path for task in tasks if task.is_change}
    parts = [
        f"Done: I changed {pages.counted(len(paths), 'file')}.\n\n" + "\n".join(done) if done else "Nothing to do."
    ]
    if kept:
        parts.append("As they were:\n\n" + "\n".join(kept))
    if done:
        parts.append("My rules only know the wording of your request: read what I wrote before you approve it.")
    return "\n\n".join(parts)


def _summary(desk: Desk, request: RunRequest) -> str:
    """Write the impact analysis."""
    done = [task for task in desk.tasks if task.is_change]
    kept = [task for task in desk.tasks if not task.is_change]
    lines = ["## What changes", ""]
    changes = [f"- `{task.path}` ({_kind(task)}): {task.note}" for task in done]
    lines += _lines(changes) or ["Nothing: the draft stays as it is."]
    if kept:
        lines += ["", "## What stays", "", *_lines([f"- `{task.path}`: {task.note}" for task in kept])]
    effect = _effect(request.files, desk.files, desk.path_of(DEFINITION))
    if effect:
        lines += ["", "## Effect on the workflow", "", *(f"- {line}" for line in effect)]
    lines += ["", "## Why", "", f"> {shortened(desk.ask.text, _QUOTED_CHARACTERS)}", ""]
    lines.append(
        "Written by fixed rules (`embedded-rules`) from the wording of this request, without a language model."
    )
    return "\n".join(lines) + "\n"


def _lines(lines: list[str]) -> list[str]:
    """Keep a list readable: a draft may have hundreds of files."""
    more = len(lines) - _LISTED_FILES
    return lines if more <= 0 else [*lines[:_LISTED_FILES], f"- … and {more} more"]


def _kind(task: Task) -> str:
    if task.before is None:
        return "new"
    return "removed" if task.after is None else "edited"


def _effect(before: Mapping[str, str], after: Mapping[str, str], path: str) -> list[str]:
    """Say how the graph differs."""
    try:
        old, new = (definition.read_graph(files.get(path, "").strip() or "{}") for files in (before, after))
    except definition.Unreadable as reason:
        return [f"`{path}` can't be read: {reason}. The graph is as it was."]
    names = {node.key: f"**{node.name}**" for node in (*old.nodes, *new.nodes)}
    keys = {node.key for node in old.nodes}, {node.key for node in new.nodes}
    if (old.nodes, old.edges) == (new.nodes, new.edges):
        return []
    lines = [f"The graph had {pages.counted(len(keys[0]), 'agent')}, and now has {len(keys[1])}."]
    lines += [f"{names[key]} is new." for key in sorted(keys[1] - keys[0])]
    lines += [f"{names[key]} is gone." for key in sorted(keys[0] - keys[1])]
    added = [edge for edge in new.edges if edge not in set(old.edges)]
    return lines + [f"{names.get(s, s)} delegates to {names.get(t, t)}." for s, t in added]
