import json
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from graphql_api.authoring.schema_checks import MESSAGES, SchemaProblem, schema_problems
from graphql_api.authoring.templates import all_templates

ANNOTATIONS = {"$schema", "$id", "$defs", "$ref", "title", "description", "default", "properties", "items"}


def keywords(schema: Mapping[str, Any]) -> Iterator[str]:
    yield from schema
    children = [schema.get("items")]
    for name in ("properties", "$defs"):
        children += schema.get(name, {}).values()
    for child in children:
        if child is not None:
            yield from keywords(child)


def shipped_schemas() -> list[Mapping[str, Any]]:
    text = files("graphql_api.authoring").joinpath("definition.schema.json").read_text(encoding="utf-8")
    return [json.loads(text), *(template.customization_schema for template in all_templates())]


class TestSchemaProblems:
    @pytest.mark.parametrize(
        ("schema", "value", "message"),
        [
            ({"type": "integer"}, 1.5, "This must be a whole number, not a number."),
            ({"type": ["boolean", "null"]}, "x", "This must be true or false or null, not a text."),
            ({"required": ["a", "b", "c"]}, {"b": 1}, 'Missing here: "a", "c".'),
            ({"anyOf": [{"required": ["a"]}, {"required": ["b"]}]}, {}, 'Missing here: "a" (or "b").'),
            (
                {"properties": {"a": {}, "b": {}}, "additionalProperties": False},
                {"a": 1, "x": 2, "y": 3},
                'There is no "x" here. There are "a", "b".',
            ),
            ({"minLength": 1}, "", "This must not be empty."),
            ({"minItems": 1}, [], "This must not be empty."),
            ({"maxLength": 2}, "abc", "This has at most 2 characters."),
            ({"maxItems": 1}, [1, 2], "This has at most 1 items."),
            ({"minimum": 1}, 0, "This is at least 1."),
            ({"maximum": 1}, 2, "This is at most 1."),
            ({"pattern": "^a$"}, "b", "This does not have the form ^a$."),
        ],
    )
    def test_a_broken_rule_is_said_in_words(self, schema: dict[str, Any], value: object, message: str) -> None:
        assert schema_problems(Draft202012Validator(schema), value) == [SchemaProblem((), message)]

    def test_the_way_to_the_value_is_told(self) -> None:
        validator = Draft202012Validator({"properties": {"a": {"items": {"type": "string"}}}})
        assert [problem.tokens for problem in schema_problems(validator, {"a": ["x", 1]})] == [("a", 1)]

    def test_there_are_no_more_problems_than_wanted(self) -> None:
        validator = Draft202012Validator({"items": {"type": "string"}})
        assert len(schema_problems(validator, list(range(9)), limit=3)) == 3

    def test_every_rule_of_the_shipped_schemas_has_its_words(self) -> None:
        used = {keyword for schema in shipped_schemas() for keyword in keywords(schema)}
        assert used - ANNOTATIONS == set(MESSAGES)
