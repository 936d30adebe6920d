"""What the rule-based author does to the graph, and how it renames and removes agents."""

from collections.abc import Callable

from graphql_api.runtimes.embedded import definition, markdown, pages
from graphql_api.runtimes.embedded.desk import CAST_FOLDER, DEFINITION, Desk, stem_of
from graphql_api.runtimes.embedded.request import key_of

_MENTIONS_SHOWN = 8


def edit_definition(desk: Desk, edit: Callable[[str], str], note: str, nothing: str) -> None:
    """Edit the graph, or say why it is left alone."""
    path = desk.path_of(DEFINITION)
    text, todo = desk.read(path) or "", f"Update the graph in {path}"
    try:
        after = edit(text if text.strip() else "")
    except definition.Unreadable as reason:
        desk.keep(todo, path, f"left alone: {reason}. Mend it, then ask again.")
        return
    desk.change(todo, path, after, note if after != text else nothing)


def rename(desk: Desk, old: str, new: str) -> None:
    """Give an agent another name: in its brief, on all pages and in the graph."""
    known, todo = desk.known(old), f"Rename {old} to {new}"
    if known is None:
        desk.keep(todo, desk.cast_path(old), f"nothing to do: there is no agent called **{old}**.")
        return
    if not new or (desk.known(new) is not None and key_of(new) != key_of(old)):
        desk.keep(todo, desk.cast_path(old), f"left alone: there is an agent called **{new}** already.")
        return
    after = definition.Node(key_of(new), new)
    _move_brief(desk, known.name, new)
    for path in desk.pages():
        content = _renamed(desk, desk.files[path], known.name, new)
        if content != desk.read_if(path, content):
            desk.change(f"Write {new} for {known.name} on all pages", path, content, f"speaks of **{new}** now.")
    if desk.graph is not None:
        note = f"**{known.name}** is **{new}** in the graph."
        edit_definition(desk, lambda text: definition.with_renamed_node(text, known, after), note, "nothing to do.")
    desk.replace_name(known, after)


def remove(desk: Desk, name: str) -> None:
    """Take an agent out: its brief, its line in the lead's brief, its node and its edges."""
    known, todo = desk.known(name), f"Remove {name}"
    path = desk.cast_path(name if known is None else known.name)
    if known is None:
        desk.keep(todo, path, f"nothing to do: there is no agent called **{name}**.")
        return
    if known.key == desk.lead.key:
        desk.keep(todo, path, f"left alone: **{known.name}** leads the workflow; name another entry point first.")
        return
    if path in desk.files:
        desk.read(path)
        desk.change(f"Remove {path}", path, None, f"**{known.name}** is no longer in the cast.")
    lead = desk.cast_path(desk.lead.name)
    content = markdown.without_items(desk.files.get(lead, ""), known.name)
    if content != desk.read_if(lead, content):
        desk.change(f"Tell {desk.lead.name} in {lead}", lead, content, f"no longer delegates to **{known.name}**.")
    if desk.graph is not None:
        note = f"the graph goes on without **{known.name}**."
        edit_definition(desk, lambda text: definition.without_node(text, known.key), note, "nothing to do.")
    _point_at_mentions(desk, known.name)
    desk.replace_name(known, None)


def _move_brief(desk: Desk, old: str, new: str) -> None:
    path = desk.cast_path(old)
    content = desk.read(path)
    target = f"{CAST_FOLDER}/{stem_of(new)}.md"
    if content is not None and target != path:
        written = _renamed(desk, content, old, new)
        desk.change(f"Move the brief to {target}", target, written, f"the brief of **{old}**, who is **{new}** now.")
        if target in desk.files:
            desk.change(f"Remove {path}", path, None, f"its content is in `{target}` now.")


def _renamed(desk: Desk, content: str, old: str, new: str) -> str:
    moved = content.replace(f"{CAST_FOLDER}/{stem_of(old)}.md", f"{CAST_FOLDER}/{stem_of(new)}.md")
    return markdown.with_other_name(moved, old, new, desk.names.values())


def _point_at_mentions(desk: Desk, name: str) -> None:
    """Say which pages still speak of an agent that is gone: what becomes of these lines is for people to decide."""
    for path in desk.pages():
        lines = markdown.lines_with_name(desk.files[path], name, desk.names.values())
        if lines:
            shown = pages.listed([str(number) for number in lines[:_MENTIONS_SHOWN]])
            noun = "line" if len(lines) == 1 else "lines"
            desk.keep(f"Look for {name} on all pages", path, f"still speaks of **{name}** in {noun} {shown}.")
