"""The graph of agents that `definition.json` describes: reading it, and saying what is wrong with it.

The format is in `definition.schema.json`. Besides it, what a schema can't say: keys are unique, arrows and delegations
lead to nodes, the entry point is one, every node can be reached.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from importlib.resources import files
from itertools import islice
from typing import Any

from jsonschema import Draft202012Validator

from graphql_api.authoring.schema_checks import schema_problems
from graphql_api.authoring.strict_json import MAX_PROBLEMS, pointer_to, read_json, shown

DEFINITION_PATH = "definition.json"
"""Where a draft or version keeps its definition."""

MAX_NODES = 500
"""Nodes of one definition."""

MAX_EDGES = 2000
"""Edges of one definition."""

MAX_TOOLS = 100
"""Tools of one node."""

_DELEGATIONS = ("delegate:", "agent:")
_Object = Mapping[str, Any]


class Severity(Enum):
    """How much a diagnostic matters."""

    ERROR = "ERROR"
    """It stops publishing."""
    WARNING = "WARNING"
    """It is worth knowing."""


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """Something to know about a definition.

    Attributes:
        severity: How much it matters.
        code: What it is, for programs.
        message: What it is, for people; one sentence.
        path: Where it is, as the file's path, `#`, and a JSON pointer: `definition.json#/nodes/2/key`.
    """

    severity: Severity
    code: str
    message: str
    path: str | None


@dataclass(frozen=True, slots=True)
class LlmConfig:
    """The language model behind an agent."""

    provider: str
    model: str
    temperature: float | None
    max_tokens: int | None


@dataclass(frozen=True, slots=True)
class DefinitionNode:
    """An agent."""

    key: str
    type: str
    name: str | None
    role: str | None
    system_prompt: str | None
    tools: tuple[str, ...]
    llm: LlmConfig | None


@dataclass(frozen=True, slots=True)
class DefinitionEdge:
    """An arrow from one node to another."""

    key: str
    source: str
    target: str
    type: str


@dataclass(frozen=True, slots=True)
class Definition:
    """A graph of agents.

    Attributes:
        entry_point: Key of the node that a run starts at.
        nodes: The agents, in the order of the file.
        edges: The arrows between them, in the order of the file.
        raw: The whole JSON object of the file, with what only other programs know.
    """

    entry_point: str
    nodes: tuple[DefinitionNode, ...]
    edges: tuple[DefinitionEdge, ...]
    raw: Mapping[str, Any]


def parse(content: str) -> Definition | None:
    """Read the content of `definition.json`; None when it is not JSON or not of the format.

    A definition can be read and still have errors: arrows to nowhere, say. `diagnose` tells.
    """
    definition = _read(content)
    return definition if isinstance(definition, Definition) else None


def diagnose(definition_content: str | None, paths: Collection[str]) -> list[Diagnostic]:
    """Say what is wrong with the definition of a set of files, errors first.

    Args:
        definition_content: The content of `definition.json`, None when there is no such file.
        paths: The paths of all files of the set.

    Returns:
        At most `MAX_PROBLEMS` diagnostics.
    """
    if definition_content is None:
        return [_warning("NO_DEFINITION", "Nothing to run yet: there is no definition.json.", None)] if paths else []
    definition = _read(definition_content)
    if not isinstance(definition, Definition):
        return definition
    return list(islice((*_errors(definition), *_unreachable(definition)), MAX_PROBLEMS))


def _read(content: str) -> Definition | list[Diagnostic]:
    text = read_json(content)
    if text.problems:
        return [_error(problem.code, problem.message, problem.pointer) for problem in text.problems]
    if diagnostics := list(islice(_limit_errors(text.value), MAX_PROBLEMS)):
        return diagnostics
    if problems := schema_problems(_validator(), text.value):
        return [_error("WRONG_FORMAT", problem.message, pointer_to(*problem.tokens)) for problem in problems]
    return _definition(text.value)


@cache
def _validator() -> Draft202012Validator:
    schema = files(__package__).joinpath("definition.schema.json").read_text(encoding="utf-8")
    return Draft202012Validator(json.loads(schema))


def _error(code: str, message: str, pointer: str) -> Diagnostic:
    return Diagnostic(Severity.ERROR, code, message, f"{DEFINITION_PATH}#{pointer}")


def _warning(code: str, message: str, pointer: str | None) -> Diagnostic:
    return Diagnostic(Severity.WARNING, code, message, None if pointer is None else f"{DEFINITION_PATH}#{pointer}")


def _limit_errors(raw: object) -> Iterator[Diagnostic]:
    """Refuse what is too large, whatever its types are: checking against the schema takes time for every item."""
    nodes, edges = _list_in(raw, "nodes"), _list_in(raw, "edges")
    if len(nodes) > MAX_NODES:
        yield _error("TOO_LARGE", f"A definition has at most {MAX_NODES} nodes; this one has {len(nodes)}.", "/nodes")
        return
    if len(edges) > MAX_EDGES:
        yield _error("TOO_LARGE", f"A definition has at most {MAX_EDGES} edges; this one has {len(edges)}.", "/edges")
    for index, node in enumerate(nodes):
        config = node.get("config") if isinstance(node, dict) else None
        for holder, place in ((node, ("tools",)), (config, ("config", "tools"))):
            if (count := len(_list_in(holder, "tools"))) > MAX_TOOLS:
                message = f"A node has at most {MAX_TOOLS} tools; this one has {count}."
                yield _error("TOO_LARGE", message, pointer_to("nodes", index, *place))


def _list_in(holder: object, name: str) -> Sequence[object]:
    value = holder.get(name) if isinstance(holder, dict) else None
    return value if isinstance(value, list) else []


def _definition(raw: Any) -> Definition:  # noqa: ANN401  # the schema has checked it
    return Definition(
        entry_point=_named(raw, "entry_point", "entryPoint"),
        nodes=tuple(_node(node) for node in raw["nodes"]),
        edges=tuple(
            DefinitionEdge(_named(edge, "key", "id"), edge["source"], edge["target"], edge["type"])
            for edge in raw.get("edges") or ()
        ),
        raw=raw,
    )


def _node(node: _Object) -> DefinitionNode:
    # What a node says itself goes before what its config says.
    own = {name: value for name, value in node.items() if value is not None}
    config = node.get("config") or {}
    members = {**config, **own}
    return DefinitionNode(
        key=_named(node, "key", "id"),
        type=node["type"],
        name=members.get("name"),
        role=members.get("role"),
        system_prompt=_named(members, "system_prompt", "systemPrompt"),
        tools=tuple(members.get("tools") or ()),
        llm=_llm(own.get("llm") or config.get("model") or {}),
    )


def _llm(llm: _Object) -> LlmConfig | None:
    if "provider" not in llm or "model" not in llm:
        return None
    max_tokens = _named(llm, "max_tokens", "maxTokens")
    return LlmConfig(llm["provider"], llm["model"], llm.get("temperature"), max_tokens and int(max_tokens))


def _named(members: _Object, *names: str) -> Any:  # noqa: ANN401  # the schema has checked it
    return next((members[name] for name in names if members.get(name) is not None), None)


def _errors(definition: Definition) -> Iterator[Diagnostic]:
    keys = {node.key for node in definition.nodes}
    if definition.entry_point not in keys:
        place = "/entry_point" if definition.raw.get("entry_point") is not None else "/entryPoint"
        yield _error("UNKNOWN_ENTRY_POINT", f"There is no node {_quoted(definition.entry_point)} to start at.", place)
    yield from _repeated_keys("nodes", (node.key for node in definition.nodes), definition.raw)
    yield from _repeated_keys("edges", (edge.key for edge in definition.edges), definition.raw)
    for index, edge in enumerate(definition.edges):
        for end, key in (("source", edge.source), ("target", edge.target)):
            if key not in keys:
                message = f"There is no node {_quoted(key)} for this edge's {end}."
                yield _error("DANGLING_EDGE", message, pointer_to("edges", index, end))
    for index, node in enumerate(definition.nodes):
        for position, key in _delegates(node):
            if key not in keys:
                message = f"There is no node {_quoted(key)} to delegate to."
                yield _error("UNKNOWN_DELEGATE", message, _tool_pointer(definition.raw, index, position))


def _repeated_keys(kind: str, keys: Iterable[str], raw: _Object) -> Iterator[Diagnostic]:
    first: dict[str, int] = {}
    for index, key in enumerate(keys):
        if first.setdefault(key, index) != index:
            spelling = "id" if raw[kind][index].get("key") is None else "key"
            message = f"{_quoted(key)} is also the key of {kind}/{first[key]}; keys are unique."
            yield _error("DUPLICATE_KEY", message, pointer_to(kind, index, spelling))


def _delegates(node: DefinitionNode) -> Iterator[tuple[int, str]]:
    """Name the nodes that a node's tools hand work to, with the tools' positions."""
    for position, tool in enumerate(node.tools):
        for prefix in _DELEGATIONS:
            if tool.startswith(prefix):
                yield position, tool.removeprefix(prefix)


def _tool_pointer(raw: _Object, node: int, position: int) -> str:
    place = ("config", "tools") if raw["nodes"][node].get("tools") is None else ("tools",)
    return pointer_to("nodes", node, *place, position)


def _unreachable(definition: Definition) -> Iterator[Diagnostic]:
    arrows: dict[str, set[str]] = {node.key: {key for _, key in _delegates(node)} for node in definition.nodes}
    if definition.entry_point not in arrows:
        return
    for edge in definition.edges:
        arrows.get(edge.source, set()).add(edge.target)
    reached, ahead = {definition.entry_point}, [definition.entry_point]
    while ahead:
        found = arrows.get(ahead.pop(), set()) - reached
        reached |= found
        ahead += found
    for index, node in enumerate(definition.nodes):
        if node.key not in reached:
            message = f"Nothing leads to {_quoted(node.key)} from the entry point, so it never runs."
            yield _warning("UNREACHABLE_NODE", message, pointer_to("nodes", index))


def _quoted(text: str) -> str:
    return f'"{shown(text)}"'
