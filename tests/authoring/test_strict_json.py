import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphql_api.authoring.strict_json import (
    MAX_DEPTH,
    MAX_INTEGER,
    MAX_PROBLEMS,
    JsonProblem,
    pointer_to,
    read_json,
    shown,
)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-MAX_INTEGER, MAX_INTEGER)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def codes_and_places(content: str) -> list[tuple[str, str]]:
    return [(problem.code, problem.pointer) for problem in read_json(content).problems]


class TestReadJson:
    @given(JSON, st.booleans())
    def test_what_was_written_is_read(self, value: object, ensure_ascii: bool) -> None:  # noqa: FBT001  # drawn by Hypothesis
        assert read_json(json.dumps(value, ensure_ascii=ensure_ascii)) == (value, [])

    @given(st.text(alphabet='[]{}":,\\ntruefalse0123.eE-+NaI \ud800é', max_size=60))
    def test_no_text_makes_it_fail(self, content: str) -> None:
        text = read_json(content)
        if not text.problems:
            assert json.loads(content) == text.value

    @pytest.mark.parametrize(
        "content", ["[" * 100_000, '{"a":' * 100_000, "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)]
    )
    def test_deep_nesting_is_a_problem(self, content: str) -> None:
        assert codes_and_places(content) == [("TOO_DEEP", "")]

    def test_nesting_up_to_the_limit_is_none(self) -> None:
        assert read_json("[" * MAX_DEPTH + "]" * MAX_DEPTH).problems == []

    def test_brackets_in_texts_do_not_nest(self) -> None:
        assert read_json(json.dumps(['\\"' + "[" * 1000, "{" * 1000])).problems == []

    def test_brackets_that_were_closed_do_not_nest(self) -> None:
        assert read_json("[" + "[]," * 1000 + "{}]").problems == []

    @pytest.mark.parametrize(
        "content", ["", "{", "[1,]", '"\\', '"' + '\\"' * 1000, "nul", "\ufeff{}", "{'a': 1}", '"\n"']
    )
    def test_what_is_not_json_is_a_problem(self, content: str) -> None:
        assert codes_and_places(content) == [("INVALID_JSON", "")]

    def test_the_message_says_where(self) -> None:
        assert read_json('{\n  "a" 1\n}').problems == [
            JsonProblem("INVALID_JSON", "This is not JSON: Expecting ':' delimiter, at line 2, column 7.", "")
        ]

    @pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
    def test_constants_that_json_does_not_have_are_a_problem(self, constant: str) -> None:
        assert read_json(f'{{"a": {constant}}}').problems == [
            JsonProblem("INVALID_JSON", f"This is not JSON: {constant} is not a number there.", "")
        ]

    def test_a_name_twice_in_an_object_is_a_problem(self) -> None:
        assert codes_and_places('{"x": [{"a/b": 1, "c": 2, "a/b": 3, "a/b": 4}]}') == [("DUPLICATE_NAME", "/x/0/a~1b")]

    def test_a_repetition_that_another_one_hides_is_not_reported_elsewhere(self) -> None:
        content = '{"a": {"x": 1, "x": 2}, "a": 3, "b": {"y": 1}, "c": {"z": 1}}'
        assert codes_and_places(content) == [("DUPLICATE_NAME", "/a")]

    @pytest.mark.parametrize(
        "number",
        [str(MAX_INTEGER + 1), str(-MAX_INTEGER - 1), "9" * 20, "9" * 100_000, "-" + "9" * 100_000, "1e999", "-1e999"],
    )
    def test_numbers_that_not_every_reader_can_hold_are_a_problem(self, number: str) -> None:
        assert codes_and_places(f"[1, {number}]") == [("NUMBER_OUT_OF_RANGE", "/1")]

    @pytest.mark.parametrize("number", [MAX_INTEGER, -MAX_INTEGER, 1e300, -0.0, True])
    def test_numbers_that_every_reader_can_hold_are_none(self, number: float) -> None:
        assert read_json(json.dumps(number)) == (number, [])

    @pytest.mark.parametrize("content", [r'{"a": "\ud800"}', '{"a": "\udc00"}', r'{"a": "x\udfff\ud800"}'])
    def test_half_a_surrogate_pair_is_a_problem(self, content: str) -> None:
        assert codes_and_places(content) == [("LONE_SURROGATE", "/a")]

    def test_half_a_surrogate_pair_in_a_name_is_a_problem_that_can_be_written(self) -> None:
        problems = read_json(r'[{"\ud800": 1, "\ud800": 2}]').problems
        assert [problem.code for problem in problems] == ["DUPLICATE_NAME", "LONE_SURROGATE"]
        assert all(f"{problem.message}{problem.pointer}".encode() for problem in problems)

    def test_problems_are_not_reported_without_end(self) -> None:
        assert len(read_json(f"[{'1e999,' * 1000}1]").problems) == MAX_PROBLEMS
        assert (
            len(read_json("{" + ",".join(f'"{index % 200}": 1' for index in range(400)) + "}").problems) == MAX_PROBLEMS
        )

    def test_a_value_is_read_beside_its_problems(self) -> None:
        value = read_json("[1e999]").value
        assert value == [math.inf]


class TestPointerTo:
    def test_names_are_escaped(self) -> None:
        assert pointer_to("a/b", 0, "~1") == "/a~1b/0/~01"

    def test_no_token_is_the_whole_text(self) -> None:
        assert pointer_to() == ""


class TestShown:
    def test_a_long_text_is_cut(self) -> None:
        assert shown("x" * 61) == "x" * 60 + "…"
        assert shown("x" * 60) == "x" * 60

    def test_what_is_not_unicode_is_replaced(self) -> None:
        assert shown("a\ud800") == "a?"
