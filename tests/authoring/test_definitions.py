import json
from copy import deepcopy
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from graphql_api.authoring.definitions import (
    DEFINITION_PATH,
    MAX_EDGES,
    MAX_NODES,
    MAX_TOOLS,
    Definition,
    DefinitionEdge,
    DefinitionNode,
    Diagnostic,
    LlmConfig,
    Severity,
    diagnose,
    parse,
)
from graphql_api.authoring.strict_json import MAX_PROBLEMS

LEAD: dict[str, Any] = {
    "key": "lead",
    "type": "orchestrator",
    "name": "Lead",
    "role": "Leads",
    "system_prompt": "You lead.",
    "tools": ["search", "delegate:writer"],
    "llm": {"provider": "openai", "model": "gpt-4.1", "temperature": 0.5, "max_tokens": 100},
}
WRITER: dict[str, Any] = {"key": "writer", "type": "specialist"}
EDGE: dict[str, Any] = {"key": "e1", "source": "lead", "target": "writer", "type": "delegation"}
GOOD: dict[str, Any] = {"name": "Pair", "entry_point": "lead", "nodes": [LEAD, WRITER], "edges": [EDGE], "x": [1]}

NAMES = [
    *("entry_point", "entryPoint", "nodes", "edges", "key", "id", "type", "source", "target"),
    *("tools", "llm", "config", "name", "model", "provider", "max_tokens", "temperature"),
]
DEFINITION_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["lead", "writer", "delegate:x", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=40,
)


def good(**changes: Any) -> dict[str, Any]:  # noqa: ANN401  # any JSON
    return {**deepcopy(GOOD), **changes}


def found(definition: object) -> list[tuple[str, str | None]]:
    return [(diagnostic.code, diagnostic.path) for diagnostic in diagnose(json.dumps(definition), [DEFINITION_PATH])]


def messages(definition: object) -> list[str]:
    return [diagnostic.message for diagnostic in diagnose(json.dumps(definition), [DEFINITION_PATH])]


class TestParse:
    def test_a_definition_is_read(self) -> None:
        assert parse(json.dumps(GOOD)) == Definition(
            entry_point="lead",
            nodes=(
                DefinitionNode(
                    key="lead",
                    type="orchestrator",
                    name="Lead",
                    role="Leads",
                    system_prompt="You lead.",
                    tools=("search", "delegate:writer"),
                    llm=LlmConfig("openai", "gpt-4.1", 0.5, 100),
                ),
                DefinitionNode("writer", "specialist", None, None, None, (), None),
            ),
            edges=(DefinitionEdge("e1", "lead", "writer", "delegation"),),
            raw=GOOD,
        )

    def test_camel_case_is_read(self) -> None:
        node = {"key": "a", "type": "t", "systemPrompt": "p", "llm": {"provider": "o", "model": "m", "maxTokens": 7.0}}
        definition = parse(json.dumps({"entryPoint": "a", "nodes": [node]}))
        assert definition is not None
        assert (definition.entry_point, definition.edges) == ("a", ())
        assert definition.nodes[0].system_prompt == "p"
        assert definition.nodes[0].llm == LlmConfig("o", "m", None, 7)

    def test_nodes_with_an_id_and_a_config_are_read(self) -> None:
        config = {"name": "N", "system_prompt": "p", "tools": ["t"], "model": {"provider": "o", "model": "m"}}
        node = {"id": "a", "type": "orchestrator", "config": config}
        edge = {"id": "e", "source": "a", "target": "a", "type": "loop"}
        definition = parse(json.dumps({"entry_point": "a", "nodes": [node], "edges": [edge]}))
        assert definition is not None
        expected = DefinitionNode("a", "orchestrator", "N", None, "p", ("t",), LlmConfig("o", "m", None, None))
        assert definition.nodes == (expected,)
        assert definition.edges[0].key == "e"

    def test_what_a_node_says_itself_goes_before_its_config(self) -> None:
        config = {"name": "inner", "role": "inner", "tools": ["inner"], "model": {"provider": "i", "model": "i"}}
        llm = {"provider": "o", "model": "o"}
        node: dict[str, Any] = {
            "key": "a",
            "type": "t",
            "name": "own",
            "role": None,
            "tools": [],
            "llm": llm,
            "config": config,
        }
        definition = parse(json.dumps({"entry_point": "a", "nodes": [node]}))
        assert definition is not None
        read = definition.nodes[0]
        assert (read.name, read.role, read.tools) == ("own", "inner", ())
        assert read.llm == LlmConfig("o", "o", None, None)

    def test_a_model_without_a_provider_is_none(self) -> None:
        node = {"key": "a", "type": "t", "config": {"model": {"model": "m"}}}
        definition = parse(json.dumps({"entry_point": "a", "nodes": [node]}))
        assert definition is not None
        assert definition.nodes[0].llm is None

    def test_null_is_as_good_as_nothing(self) -> None:
        node: dict[str, Any] = {"key": "a", "type": "t", "name": None, "tools": None, "llm": None, "config": None}
        assert parse(json.dumps({"entry_point": "a", "nodes": [node], "edges": None})) is not None

    @pytest.mark.parametrize("content", ["", "[]", "{}", '{"entry_point": "a", "nodes": "b"}', "[" * 100_000])
    def test_what_is_no_definition_is_none(self, content: str) -> None:
        assert parse(content) is None

    def test_a_definition_with_arrows_to_nowhere_can_be_read(self) -> None:
        assert parse(json.dumps(good(edges=[{**EDGE, "target": "nobody"}]))) is not None

    @given(DEFINITION_LIKE)
    def test_a_definition_can_be_read_exactly_when_its_form_is_right(self, value: object) -> None:
        content = json.dumps(value)
        forms = {"INVALID_JSON", "TOO_DEEP", "DUPLICATE_NAME", "NUMBER_OUT_OF_RANGE", "WRONG_FORMAT", "TOO_LARGE"}
        codes = {diagnostic.code for diagnostic in diagnose(content, [])}
        assert (parse(content) is None) == bool(codes & forms)


class TestDiagnose:
    def test_a_good_definition_has_nothing_to_say(self) -> None:
        assert found(GOOD) == []

    def test_files_without_a_definition_are_worth_a_warning(self) -> None:
        message = "Nothing to run yet: there is no definition.json."
        assert diagnose(None, ["a.md"]) == [Diagnostic(Severity.WARNING, "NO_DEFINITION", message, None)]

    def test_no_files_are_nothing_to_warn_of(self) -> None:
        assert diagnose(None, []) == []

    def test_what_is_not_json_is_an_error(self) -> None:
        assert diagnose("{", [DEFINITION_PATH]) == [
            Diagnostic(
                Severity.ERROR,
                "INVALID_JSON",
                "This is not JSON: Expecting property name enclosed in double quotes, at line 1, column 2.",
                "definition.json#",
            )
        ]

    def test_a_name_twice_in_an_object_is_an_error(self) -> None:
        content = json.dumps(GOOD).replace('"key": "lead"', '"key": "lead", "key": "boss"')
        assert [(item.severity, item.code, item.path) for item in diagnose(content, [])] == [
            (Severity.ERROR, "DUPLICATE_NAME", "definition.json#/nodes/0/key")
        ]

    @pytest.mark.parametrize(
        ("definition", "path", "message"),
        [
            ([], "", "This must be an object, not a list."),
            ({"nodes": [WRITER]}, "", 'Missing here: "entry_point" (or "entryPoint").'),
            ({"entry_point": "a"}, "", 'Missing here: "nodes".'),
            (good(nodes=[]), "/nodes", "This must not be empty."),
            (good(nodes={}), "/nodes", "This must be a list, not an object."),
            (good(edges=3), "/edges", "This must be a list or null, not a number."),
            (good(entry_point=""), "/entry_point", "This must not be empty."),
            (good(nodes=[LEAD, True]), "/nodes/1", "This must be an object, not true or false."),
            (good(nodes=[{"type": "t"}]), "/nodes/0", 'Missing here: "key" (or "id").'),
            (good(nodes=[{**WRITER, "key": 1}]), "/nodes/0/key", "This must be a text, not a number."),
            (good(nodes=[{**WRITER, "key": "k" * 201}]), "/nodes/0/key", "This has at most 200 characters."),
            (good(nodes=[{**WRITER, "tools": [None]}]), "/nodes/0/tools/0", "This must be a text, not null."),
            (good(nodes=[{**WRITER, "llm": {"model": "m"}}]), "/nodes/0/llm", 'Missing here: "provider".'),
            (
                good(nodes=[{**WRITER, "llm": {"provider": "p", "model": "m", "temperature": -1}}]),
                "/nodes/0/llm/temperature",
                "This is at least 0.",
            ),
            (
                good(nodes=[{**WRITER, "config": {"model": {"max_tokens": 2**31}}}]),
                "/nodes/0/config/model/max_tokens",
                "This is at most 2147483647.",
            ),
            (good(edges=[{"key": "e"}]), "/edges/0", 'Missing here: "source", "target", "type".'),
        ],
    )
    def test_a_wrong_form_is_an_error_that_says_what_to_mend(self, definition: object, path: str, message: str) -> None:
        assert diagnose(json.dumps(definition), []) == [
            Diagnostic(Severity.ERROR, "WRONG_FORMAT", message, f"definition.json#{path}")
        ]

    def test_an_entry_point_that_is_no_node_is_an_error(self) -> None:
        assert found(good(entry_point="x")) == [("UNKNOWN_ENTRY_POINT", "definition.json#/entry_point")]
        camel_case = {"entryPoint": "x", "nodes": [WRITER]}
        assert found(camel_case) == [("UNKNOWN_ENTRY_POINT", "definition.json#/entryPoint")]

    def test_an_edge_to_or_from_nowhere_is_an_error(self) -> None:
        edges = [EDGE, {**EDGE, "key": "e2", "source": "x"}, {**EDGE, "key": "e3", "target": "y"}]
        assert found(good(edges=edges)) == [
            ("DANGLING_EDGE", "definition.json#/edges/1/source"),
            ("DANGLING_EDGE", "definition.json#/edges/2/target"),
        ]
        assert messages(good(edges=edges))[0] == 'There is no node "x" for this edge\'s source.'

    def test_a_key_of_two_nodes_is_an_error(self) -> None:
        definition = good(nodes=[LEAD, WRITER, {"id": "writer", "type": "t"}])
        assert found(definition) == [("DUPLICATE_KEY", "definition.json#/nodes/2/id")]
        assert messages(definition) == ['"writer" is also the key of nodes/1; keys are unique.']

    def test_a_key_of_two_edges_is_an_error(self) -> None:
        assert found(good(edges=[EDGE, EDGE])) == [("DUPLICATE_KEY", "definition.json#/edges/1/key")]

    def test_delegating_to_nobody_is_an_error(self) -> None:
        lead = {**LEAD, "tools": ["delegate:writer", "delegate:x", "agent:lead", "agent:y", "agents:z", "x"]}
        assert found(good(nodes=[lead, WRITER])) == [
            ("UNKNOWN_DELEGATE", "definition.json#/nodes/0/tools/1"),
            ("UNKNOWN_DELEGATE", "definition.json#/nodes/0/tools/3"),
        ]

    def test_delegating_to_nobody_is_found_in_a_config_too(self) -> None:
        node = {"id": "lead", "type": "t", "config": {"tools": ["agent:x"]}}
        assert found(good(nodes=[node], edges=[])) == [("UNKNOWN_DELEGATE", "definition.json#/nodes/0/config/tools/0")]

    def test_a_node_that_nothing_leads_to_is_worth_a_warning(self) -> None:
        alone = {"key": "alone", "type": "t", "tools": ["delegate:lead"]}
        assert diagnose(json.dumps(good(nodes=[LEAD, WRITER, alone])), []) == [
            Diagnostic(
                Severity.WARNING,
                "UNREACHABLE_NODE",
                'Nothing leads to "alone" from the entry point, so it never runs.',
                "definition.json#/nodes/2",
            )
        ]

    def test_edges_and_delegations_both_lead_to_nodes(self) -> None:
        nodes = [{"key": key, "type": "t", "tools": tools} for key, tools in (("a", ["agent:b"]), ("b", []), ("c", []))]
        edge = {"key": "e", "source": "b", "target": "c", "type": "t"}
        assert found({"entry_point": "a", "nodes": nodes, "edges": [edge]}) == []

    def test_errors_come_before_warnings(self) -> None:
        definition = good(nodes=[LEAD, WRITER, {"key": "alone", "type": "t"}], edges=[EDGE, EDGE])
        assert [code for code, _ in found(definition)] == ["DUPLICATE_KEY", "UNREACHABLE_NODE"]

    def test_diagnostics_have_an_end(self) -> None:
        nodes = [{"key": "lead", "type": "t"}] + [{"key": f"n{index}", "type": "t"} for index in range(200)]
        assert len(found(good(nodes=nodes, edges=[]))) == MAX_PROBLEMS
        assert len(found(good(nodes=[1] * 200))) == MAX_PROBLEMS

    def test_a_definition_of_the_largest_size_is_fine(self) -> None:
        keys = [f"n{index}" for index in range(MAX_NODES)]
        nodes = [{"key": key, "type": "t", "tools": ["tool"] * MAX_TOOLS} for key in keys]
        edges = [
            {
                "key": f"e{index}",
                "source": keys[index % MAX_NODES],
                "target": keys[(index + 1) % MAX_NODES],
                "type": "t",
            }
            for index in range(MAX_EDGES)
        ]
        assert found({"entry_point": "n0", "nodes": nodes, "edges": edges}) == []

    @pytest.mark.parametrize(
        ("definition", "path"),
        [
            (good(nodes=[WRITER] * (MAX_NODES + 1)), "/nodes"),
            (good(edges=[EDGE] * (MAX_EDGES + 1)), "/edges"),
            (good(nodes=[{**LEAD, "tools": ["t"] * (MAX_TOOLS + 1)}]), "/nodes/0/tools"),
            (good(nodes=[{**WRITER, "config": {"tools": ["t"] * (MAX_TOOLS + 1)}}]), "/nodes/0/config/tools"),
        ],
        ids=["nodes", "edges", "tools", "tools of a config"],
    )
    def test_a_larger_one_is_an_error(self, definition: object, path: str) -> None:
        assert found(definition) == [("TOO_LARGE", f"definition.json#{path}")]

    def test_a_long_name_is_cut_in_messages(self) -> None:
        assert messages(good(entry_point="x" * 150)) == [f'There is no node "{"x" * 60}…" to start at.']

    @given(DEFINITION_LIKE)
    def test_no_definition_makes_it_fail(self, value: object) -> None:
        for diagnostic in diagnose(json.dumps(value), [DEFINITION_PATH]):
            assert diagnostic.path is not None
            assert diagnostic.path.startswith("definition.json#")


class TestSchema:
    def test_the_shipped_schema_is_a_schema(self) -> None:
        text = files("graphql_api.authoring").joinpath("definition.schema.json").read_text(encoding="utf-8")
        Draft202012Validator.check_schema(json.loads(text))
