"""Edits of `definition.json` that leave the rest of its text as it was."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from graphql_api.runtimes.embedded.markdown import with_other_name

_SPACE = re.compile(r"[ \t\r\n]*")
_INDENT = re.compile(r"\n([ \t]+)\"")

_OTHER_SPELLINGS = {"key": "id", "entry_point": "entryPoint"}

_Cut = tuple[int, int, str]


class Unreadable(ValueError):
    """A definition that can't be edited; the message is a clause that says why: `it is not valid JSON`."""


@dataclass(frozen=True, slots=True)
class Node:
    """An agent of the graph."""

    key: str
    name: str


@dataclass(frozen=True, slots=True)
class NewNode:
    """An agent to add to the graph."""

    key: str
    name: str
    type: str
    role: str
    system_prompt: str


@dataclass(frozen=True, slots=True)
class Graph:
    """What a definition says.

    Attributes:
        nodes: Its agents, in order.
        edges: Sources and targets, in order.
        entry_point: Key of the agent that work begins with, when there is one.
    """

    nodes: tuple[Node, ...]
    edges: tuple[tuple[str, str], ...]
    entry_point: str | None


def read_graph(text: str) -> Graph:
    """Read a definition.

    Raises:
        Unreadable: When it isn't JSON of the shape that can be edited.
    """
    root = _parsed(text)
    entry = root.get(_spelt(root, "entry_point"))
    if entry is not None and (not isinstance(entry, str) or not entry):
        raise Unreadable("its `entry_point` is not the key of a node")
    nodes = [_checked(node, "nodes", ("key",)) for node in _array(root, "nodes")]
    edges = [_checked(edge, "edges", ("source", "target")) for edge in _array(root, "edges")]
    return Graph(
        tuple(Node(key, str(node.get("name") or key)) for node in nodes for key in (node[_spelt(node, "key")],)),
        tuple((edge["source"], edge["target"]) for edge in edges),
        entry,
    )


def new_definition(name: str, lead: NewNode, others: Sequence[NewNode]) -> str:
    """Write a definition in which the lead delegates to all others."""
    root = {
        "name": name,
        "entry_point": lead.key,
        "nodes": [_node(node) for node in (lead, *others)],
        "edges": [_edge(lead.key, other.key, ()) for other in others],
    }
    return json.dumps(root, indent=2, ensure_ascii=False) + "\n"


def with_nodes(text: str, name: str, lead: NewNode, others: Sequence[NewNode]) -> str:
    """Add those nodes that are missing, and an edge from the lead to each that nobody delegates to yet.

    What is added has the model and the kind of edge that the others have.

    Raises:
        Unreadable: When it can't be edited.
    """
    graph, root = read_graph(text), _parsed(text)
    keys = {node.key for node in graph.nodes}
    for member, value in {"name": name, "entry_point": lead.key, "nodes": [], "edges": []}.items():
        if _spelt(_parsed(text), member) == member:
            text = _with_member(text, member, value)
    for node in (lead, *others):
        if node.key not in keys:
            text = _with_element(text, "nodes", _node(node, root.get("nodes", ())))
    reached = {target for _, target in graph.edges} | {lead.key}
    for node in others:
        if node.key not in reached:
            text = _with_element(text, "edges", _edge(lead.key, node.key, _parsed(text)["edges"]))
    return text


def without_node(text: str, key: str) -> str:
    """Remove a node and its edges.

    Raises:
        Unreadable: When it can't be edited.
    """
    read_graph(text)
    members = _members(text, _skip(text, 0))
    cuts: list[_Cut] = []
    for member, names in {"nodes": ("key", "id"), "edges": ("source", "target")}.items():
        if member in members:
            spans = _elements(text, members[member][0])
            values = [_value(text, span) for span in spans]
            gone = {index for index, value in enumerate(values) if key in {value.get(name) for name in names}}
            cuts += _removals(members[member], spans, gone)
    return _cut(text, cuts)


def with_renamed_node(text: str, old: Node, new: Node) -> str:
    """Rename a node wherever the definition speaks of it: its key, its name, its prompt, and its edges.

    Raises:
        Unreadable: When it can't be edited.
    """
    read_graph(text)
    members = _members(text, _skip(text, 0))
    cuts: list[_Cut] = []
    entry = _spelt(members, "entry_point")
    if entry in members and _value(text, members[entry]) == old.key:
        cuts.append((*members[entry], _dumped(new.key)))
    for start, _ in _elements(text, members["nodes"][0]) if "nodes" in members else []:
        cuts += _node_cuts(text, start, old, new)
    for start, _ in _elements(text, members["edges"][0]) if "edges" in members else []:
        cuts += _edge_cuts(text, start, old.key, new.key)
    return _cut(text, cuts)


def _node_cuts(text: str, at: int, old: Node, new: Node) -> list[_Cut]:
    members = _members(text, at)
    values = {member: _value(text, span) for member, span in members.items()}
    changed = {
        member: with_other_name(value, old.name, new.name, ())
        for member, value in values.items()
        if member in {"name", "role", "system_prompt"} and isinstance(value, str)
    }
    key = _spelt(values, "key")
    if values[key] == old.key:
        changed |= {key: new.key, "name": new.name} if "name" in values else {key: new.key}
    return [(*members[m], _dumped(value)) for m, value in changed.items() if value != values[m]]


def _edge_cuts(text: str, at: int, old: str, new: str) -> list[_Cut]:
    members = _members(text, at)
    values = {member: _value(text, span) for member, span in members.items()}
    changed = {end: new for end in ("source", "target") if values[end] == old}
    if changed and values.get("key") == f"{values['source']}-{values['target']}":
        ends = values | changed
        changed["key"] = f"{ends['source']}-{ends['target']}"
    return [(*members[member], _dumped(value)) for member, value in changed.items()]


def _node(node: NewNode, like: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    usual = {"provider": "openai", "model": "gpt-5-mini", "temperature": 0.2, "max_tokens": 4096}
    return {
        "key": node.key,
        "type": node.type,
        "name": node.name,
        "role": node.role,
        "system_prompt": node.system_prompt,
        "tools": [],
        "llm": next((other["llm"] for other in like if isinstance(other.get("llm"), dict)), usual),
    }


def _edge(source: str, target: str, others: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    taken = {other.get("key") for other in others}
    key, number = f"{source}-{target}", 1
    while key in taken:
        number += 1
        key = f"{source}-{target}-{number}"
    type_ = next((other["type"] for other in others if isinstance(other.get("type"), str)), "delegates")
    return {"key": key, "source": source, "target": target, "type": type_}


def _parsed(text: str) -> dict[str, Any]:
    try:
        root = json.loads(text, parse_constant=_refuse, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise Unreadable("it is not valid JSON") from error
    if not isinstance(root, dict):
        raise Unreadable("it is not a JSON object")
    return root


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON.")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("A name is there twice in one object.")
    return members


def _array(root: Mapping[str, Any], member: str) -> list[Any]:
    value = root.get(member, [])
    if not isinstance(value, list):
        raise Unreadable(f"its `{member}` are not a list")
    return value


def _checked(value: Any, member: str, needed: Sequence[str]) -> dict[str, Any]:  # noqa: ANN401  any JSON value
    if not isinstance(value, dict) or not all(isinstance(value.get(_spelt(value, name)), str) for name in needed):
        raise Unreadable(f"its `{member}` do not all have {' and '.join(f'a `{name}`' for name in needed)}")
    return value


def _spelt(members: Mapping[str, Any], name: str) -> str:
    """Give the spelling of a member's name that an object uses."""
    other = _OTHER_SPELLINGS.get(name, name)
    return other if other in members and name not in members else name


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _members(text: str, at: int) -> dict[str, tuple[int, int]]:
    """Find where the value of each member of a valid object starts and ends."""
    spans: dict[str, tuple[int, int]] = {}
    decoder = json.JSONDecoder()
    at = _skip(text, at + 1)
    while text[at] != "}":
        name, at = decoder.raw_decode(text, at)
        start = _skip(text, _skip(text, at) + 1)
        _, end = decoder.raw_decode(text, start)
        spans[name] = (start, end)
        at = _after_comma(text, end)
    return spans


def _elements(text: str, at: int) -> list[tuple[int, int]]:
    """Find where each element of a valid array starts and ends."""
    spans: list[tuple[int, int]] = []
    decoder = json.JSONDecoder()
    at = _skip(text, at + 1)
    while text[at] != "]":
        _, end = decoder.raw_decode(text, at)
        spans.append((at, end))
        at = _after_comma(text, end)
    return spans


def _after_comma(text: str, end: int) -> int:
    at = _skip(text, end)
    return _skip(text, at + 1) if text[at] == "," else at


def _value(text: str, span: tuple[int, int]) -> Any:  # noqa: ANN401  any JSON value
    return json.loads(text[slice(*span)])


def _dumped(value: object, indent: str | None = None) -> str:
    return json.dumps(value, indent=indent, ensure_ascii=False)


def _with_member(text: str, member: str, value: object) -> str:
    """Add a member at the end of the root object, unless it has one of that name."""
    start = _skip(text, 0)
    members = _members(text, start)
    if member in members:
        return text
    last = max((end for _, end in members.values()), default=None)
    indent = _INDENT.search(text)
    gap = f"\n{indent[1]}" if indent else " " if members else ""
    if last is None:
        return f"{text[: start + 1]}\n  {_dumped(member)}: {_dumped(value)}\n{text[_skip(text, start + 1) :]}"
    return f"{text[:last]},{gap}{_dumped(member)}: {_dumped(value)}{text[last:]}"


def _with_element(text: str, member: str, element: object) -> str:
    """Add an element at the end of an array of the root object, indented like the rest."""
    start, end = _members(text, _skip(text, 0))[member]
    spans = _elements(text, start)
    found = _INDENT.search(text)
    unit = found[1] if found else None
    if spans:
        before = text[start + 1 : spans[-1][0]]
        gap = before[len(before.rstrip()) :] or " "
        at = spans[-1][1]
        return f"{text[:at]},{gap}{_indented(element, unit, gap)}{text[at:]}"
    if unit is None:
        return f"{text[:start]}[{_dumped(element)}]{text[end:]}"
    gap = f"\n{unit * 2}"
    return f"{text[:start]}[{gap}{_indented(element, unit, gap)}\n{unit}]{text[end:]}"


def _indented(element: object, unit: str | None, gap: str) -> str:
    if unit is None or "\n" not in gap:
        return _dumped(element)
    return _dumped(element, unit).replace("\n", f"\n{gap.rpartition(chr(10))[2]}")


def _removals(array: tuple[int, int], spans: Sequence[tuple[int, int]], gone: set[int]) -> list[_Cut]:
    kept = [index for index in range(len(spans)) if index not in gone]
    if not kept:
        return [(*array, "[]")]
    return [
        (spans[index][0], spans[index + 1][0], "") if index < kept[0] else (spans[index - 1][1], spans[index][1], "")
        for index in sorted(gone)
    ]


def _cut(text: str, cuts: Sequence[_Cut]) -> str:
    pieces: list[str] = []
    at = 0
    for start, end, replacement in sorted(cuts):
        pieces += [text[at:start], replacement]
        at = end
    return "".join([*pieces, text[at:]])
