import json
import re
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from graphql_api.authoring.definitions import DEFINITION_PATH, LlmConfig, Severity, diagnose, parse
from graphql_api.authoring.templates import Template, all_templates, find, find_by_id
from graphql_api.kit.errors import Invalid
from graphql_api.kit.files import checked_content, checked_path

TEXTS = st.text(min_size=1, max_size=80).filter(lambda text: bool(re.sub(r"[\s\x00-\x1f\x7f-\x9f]", "", text)))
NASTY = st.sampled_from(
    ['"', "{{purpose}}", "\\", "a\n# b", "../..", "orchestrator", "Researcher", "İ", "---", "$x", "🙂"]
)
MODELS = st.from_regex(r"\A[A-Za-z0-9._-]{1,20}:[A-Za-z0-9._:/@-]{1,20}\Z")
COMMON = {"agent_name": TEXTS | NASTY, "purpose": TEXTS | NASTY, "model": MODELS}
SINGLE = st.fixed_dictionaries(
    {},
    optional={
        **COMMON,
        "temperature": st.floats(0, 2),
        "tools": st.lists(st.from_regex(r"\A[A-Za-z0-9_.-]{1,64}\Z"), max_size=20),
    },
)
SPECIALISTS = st.lists(st.fixed_dictionaries({"name": TEXTS | NASTY, "purpose": TEXTS | NASTY}), min_size=1, max_size=8)
MULTI = st.fixed_dictionaries({}, optional={**COMMON, "specialists": SPECIALISTS})


def template(slug: str) -> Template:
    found = find(slug)
    assert found is not None
    return found


def names_and_purposes(*names: str) -> list[dict[str, str]]:
    return [{"name": name, "purpose": "p"} for name in names]


def assert_usable(files: dict[str, str]) -> None:
    assert diagnose(files[DEFINITION_PATH], files) == []
    for path, content in files.items():
        checked_path(path)
        checked_content(content)


class TestAllTemplates:
    def test_there_are_two_the_simplest_first(self) -> None:
        assert [template.slug for template in all_templates()] == ["single-agent", "multi-agent"]

    def test_their_ids_never_change(self) -> None:
        assert [template.id for template in all_templates()] == [
            UUID("5e8a622f-14c8-5920-8476-43c7d2455469"),
            UUID("0a6b00c7-a6f3-52ac-8132-6e92294e7f06"),
        ]

    @pytest.mark.parametrize("template", all_templates(), ids=lambda template: template.slug)
    def test_each_says_what_it_is(self, template: Template) -> None:
        assert all([template.name, template.description, template.tags, template.use_cases])
        assert template.version == "1.0.0"
        Draft202012Validator.check_schema(template.customization_schema)

    @pytest.mark.parametrize("template", all_templates(), ids=lambda template: template.slug)
    def test_defaults_are_what_the_schema_allows(self, template: Template) -> None:
        rules = template.customization_schema["properties"]
        defaults = {name: rule["default"] for name, rule in rules.items()}
        Draft202012Validator(template.customization_schema).validate(defaults)
        assert template.render(defaults) == template.render()

    @pytest.mark.parametrize("template", all_templates(), ids=lambda template: template.slug)
    def test_no_value_begins_a_line_of_markdown(self, template: Template) -> None:
        # There it could open a block that swallows what follows.
        for path, text in template.files.items():
            if path.endswith(".md"):
                assert not re.search(r"^\s*\{\{", text, re.MULTILINE)


class TestFind:
    def test_a_template_is_found_by_its_slug_and_its_id(self) -> None:
        found = template("multi-agent")
        assert find_by_id(found.id) is found

    def test_what_is_not_there_is_none(self) -> None:
        assert find("nothing") is None
        assert find_by_id(UUID(int=0)) is None


class TestDefinition:
    @pytest.mark.parametrize("template", all_templates(), ids=lambda template: template.slug)
    def test_it_is_the_one_of_the_uncustomized_files(self, template: Template) -> None:
        assert template.definition == parse(template.render()[DEFINITION_PATH])

    def test_a_template_without_a_readable_one_is_an_error(self) -> None:
        broken = Template(
            id=UUID(int=1),
            slug="broken",
            name="",
            description="",
            version="",
            tags=(),
            use_cases=(),
            customization_schema=template("single-agent").customization_schema,
            files={DEFINITION_PATH: "[]"},
        )
        with pytest.raises(ValueError, match="broken"):
            _ = broken.definition


class TestRender:
    def test_a_single_agent_is_what_the_customization_says(self) -> None:
        files = template("single-agent").render(
            {"agent_name": "Ada", "purpose": "Count.", "model": "ollama:a:7b", "temperature": 1, "tools": ["search"]}
        )
        assert set(files) == {"THE_CAST/Ada.md", "THE_SPEC/plan.md", "THE_SPEC/requirements.md", DEFINITION_PATH}
        definition = parse(files[DEFINITION_PATH])
        assert definition is not None
        [node] = definition.nodes
        assert (definition.entry_point, node.key, node.name, node.role) == ("ada", "ada", "Ada", "Count.")
        assert (node.tools, node.llm) == (("search",), LlmConfig("ollama", "a:7b", 1, None))
        assert files["THE_CAST/Ada.md"].startswith("# Ada\n\n**Purpose.** Count.\n")

    def test_each_specialist_has_a_node_an_edge_a_file_and_its_lines(self) -> None:
        files = template("multi-agent").render({"specialists": names_and_purposes("Cook", "Waiter")})
        assert set(files) == {
            "THE_CAST/Orchestrator.md",
            "THE_CAST/Cook.md",
            "THE_CAST/Waiter.md",
            "THE_SPEC/plan.md",
            "THE_SPEC/requirements.md",
            DEFINITION_PATH,
        }
        definition = parse(files[DEFINITION_PATH])
        assert definition is not None
        assert [node.key for node in definition.nodes] == ["orchestrator", "cook", "waiter"]
        assert definition.nodes[0].tools == ("delegate:cook", "delegate:waiter")
        assert [edge.target for edge in definition.edges] == ["cook", "waiter"]
        assert "- Cook (`THE_CAST/Cook.md`)\n- Waiter (`THE_CAST/Waiter.md`)\n" in files["THE_CAST/Orchestrator.md"]
        assert files["THE_CAST/Waiter.md"].startswith("# Waiter\n")

    def test_names_that_make_the_same_file_are_numbered(self) -> None:
        files = template("multi-agent").render(
            {"specialists": names_and_purposes("Cook", "cook", "Cook!", "Orchestrator", "???", "cook-2")}
        )
        cast = {path.removeprefix("THE_CAST/") for path in files if path.startswith("THE_CAST/")}
        assert cast == {
            "Orchestrator.md",
            "Cook.md",
            "cook-2.md",
            "Cook-3.md",
            "Orchestrator-2.md",
            "Agent.md",
            "cook-2-2.md",
        }
        assert_usable(files)

    def test_a_text_becomes_one_line(self) -> None:
        files = template("single-agent").render({"purpose": "One.\r\n\n# Two\x00\u2028Three\x1b \ud800"})
        assert "**Purpose.** One. # Two Three\n" in files["THE_CAST/Assistant.md"]

    def test_a_placeholder_in_a_text_stays_as_it_is(self) -> None:
        files = template("single-agent").render({"agent_name": "{{purpose}}", "purpose": "{{specialist_name}}"})
        assert files["THE_CAST/purpose.md"].startswith("# {{purpose}}\n\n**Purpose.** {{specialist_name}}\n")

    def test_a_text_cannot_end_a_text_of_the_definition(self) -> None:
        nasty = '", "type": "x'
        files = template("single-agent").render({"agent_name": nasty})
        assert json.loads(files[DEFINITION_PATH])["nodes"][0]["name"] == nasty

    @given(SINGLE)
    def test_every_single_agent_is_usable(self, customization: dict[str, Any]) -> None:
        assert_usable(template("single-agent").render(customization))

    @given(MULTI)
    def test_every_group_of_agents_is_usable(self, customization: dict[str, Any]) -> None:
        files = template("multi-agent").render(customization)
        assert_usable(files)
        paths = [path.casefold() for path in files]
        assert len(set(paths)) == len(paths) == 4 + len(customization.get("specialists", [1, 2, 3]))

    @pytest.mark.parametrize(
        ("slug", "customization", "path", "message"),
        [
            ("single-agent", [], [], "This must be an object, not a list."),
            ("single-agent", {"agent_name": 1}, ["agent_name"], "This must be a text, not a number."),
            ("single-agent", {"agent_name": ""}, ["agent_name"], "This must not be empty."),
            ("single-agent", {"agent_name": "\x00 \n"}, ["agent_name"], "This must not be blank."),
            ("single-agent", {"agent_name": "x" * 81}, ["agent_name"], "This has at most 80 characters."),
            ("single-agent", {"temperature": 3}, ["temperature"], "This is at most 2."),
            ("single-agent", {"temperature": float("nan")}, ["temperature"], "This must be a finite number."),
            (
                "single-agent",
                {"tools": ["delegate:x"]},
                ["tools", "0"],
                "This does not have the form ^[A-Za-z0-9_.-]+$.",
            ),
            ("multi-agent", {"specialists": []}, ["specialists"], "This must not be empty."),
            (
                "multi-agent",
                {"specialists": names_and_purposes(*"123456789")},
                ["specialists"],
                "This has at most 8 items.",
            ),
            ("multi-agent", {"specialists": [{"name": "x"}]}, ["specialists", "0"], 'Missing here: "purpose".'),
            (
                "multi-agent",
                {"specialists": names_and_purposes(" ")},
                ["specialists", "0", "name"],
                "This must not be blank.",
            ),
            (
                "multi-agent",
                {"tools": []},
                [],
                'There is no "tools" here. There are "agent_name", "purpose", "model", "specialists".',
            ),
        ],
    )
    def test_what_the_schema_does_not_allow_is_refused(
        self,
        slug: str,
        customization: Any,  # noqa: ANN401  # any JSON
        path: list[str],
        message: str,
    ) -> None:
        with pytest.raises(Invalid) as caught:
            template(slug).render(customization)
        assert caught.value.path == ["input", "customization", *path]
        assert caught.value.message == message

    def test_warnings_are_as_absent_as_errors(self) -> None:
        for shipped in all_templates():
            severities = [item.severity for item in diagnose(shipped.render()[DEFINITION_PATH], [])]
            assert Severity.WARNING not in severities
