"""What deepagents-runtime is asked to do: the body of an invocation."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from graphql_api.kit.columns import now
from graphql_api.runtimes.normalizing.texts import list_of, mapping_of, name_of
from graphql_api.runtimes.protocol import RunRequest

DEFINITION_PATH = "definition.json"
ORCHESTRATOR = "orchestrator"

_INSTRUCTIONS = """\
You improve the specification of a workflow of AI agents. Its files are in your file system: requirements and plans
below /THE_SPEC, one page for each agent below /THE_CAST, and the graph of agents in /definition.json. Read what
concerns the request, change it with your file tools, leave the rest as it is, and say at the end what you changed."""


def invocation(request: RunRequest, *, model: Mapping[str, Any]) -> dict[str, Any]:
    """Write the body of an invocation.

    Builds of the runtime differ in where they look for the prompt, so it stands in all places.

    Args:
        request: What the agent is asked to do.
        model: Of agents whose definition names none: `provider` and `model`.
    """
    prompt = prompt_of(request)
    job_id = str(request.execution_id)
    return {
        "trace_id": job_id,
        "job_id": job_id,
        "agent_definition": {**_definition(request, prompt, model), "user_request": prompt},
        "input_payload": {"messages": [{"role": "user", "content": prompt}], "files": _files(request.files)},
    }


def prompt_of(request: RunRequest) -> str:
    """Put the prompt and its context into one text."""
    parts = [request.prompt]
    if request.context_file_path is not None:
        parts.append(f"I have this file open: /{request.context_file_path}")
    if request.context_selection is not None:
        parts.append(f"I have selected this text in it:\n\n{request.context_selection}")
    return "\n\n".join(parts)


def _definition(request: RunRequest, prompt: str, model: Mapping[str, Any]) -> dict[str, Any]:
    definition = _drafted(request.files)
    nodes = [_node(node, model) for node in map(mapping_of, list_of(definition.get("nodes"))) if node]
    if not nodes:
        nodes = [_node({"id": ORCHESTRATOR, "name": "Orchestrator"}, model)]
    leader = _leader(nodes, name_of(definition.get("entry_point") or definition.get("entryPoint")))
    leader["type"] = ORCHESTRATOR
    config = leader["config"]
    config["system_prompt"] = "\n\n".join(
        part for part in (config["system_prompt"], _INSTRUCTIONS, f"The request:\n\n{prompt}") if part
    )
    return {"name": "refinement", "tool_definitions": [], "edges": [], **definition, "nodes": nodes}


def _drafted(files: Mapping[str, str]) -> dict[str, Any]:
    """Read the definition of the draft; an empty one when there is none that can be read."""
    try:
        return dict(mapping_of(json.loads(files.get(DEFINITION_PATH, ""))))
    except (ValueError, RecursionError):
        return {}


def _leader(nodes: Sequence[dict[str, Any]], entry_point: str | None) -> dict[str, Any]:
    """Choose the node that is asked: the one that the definition names, or that is an orchestrator, or the first."""
    named = (node for node in nodes if entry_point is not None and node["id"] == entry_point)
    orchestrators = (node for node in nodes if str(node.get("type")).lower() == ORCHESTRATOR)
    return next(named, None) or next(orchestrators, None) or nodes[0]


def _node(node: Mapping[str, Any], model: Mapping[str, Any]) -> dict[str, Any]:
    """Write a node as the runtime reads it: what a draft says of it directly stands in its `config`."""
    config = {**mapping_of(node.get("config")), **{key: node[key] for key in _CONFIG if node.get(key) is not None}}
    node_id = name_of(node.get("id")) or name_of(node.get("key")) or ORCHESTRATOR
    role = config.get("role")
    return {
        **node,
        "id": node_id,
        "type": name_of(node.get("type")) or "specialist",
        "config": {
            "description": role or "",
            **config,
            "name": name_of(config.get("name")) or node_id,
            "system_prompt": name_of(config.get("system_prompt") or config.get("systemPrompt")) or "",
            "model": {**model, **mapping_of(node.get("llm") or config.get("model"))},
            "tools": list_of(config.get("tools")),
        },
    }


_CONFIG = ("name", "role", "description", "system_prompt", "systemPrompt", "tools")


def _files(files: Mapping[str, str]) -> dict[str, Any]:
    """Write files as the runtime's agents keep them."""
    moment = now().isoformat()
    return {
        f"/{path}": {"content": content.split("\n"), "created_at": moment, "modified_at": moment}
        for path, content in files.items()
    }
