import math
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from graphql_api.runtimes.deepagents import reprs
from graphql_api.runtimes.deepagents.reprs import MAX_DEPTH, UnreadableRepr, read_chunk, read_repr

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
PYTHON = st.text(st.sampled_from("[](){}'\"\\,=.:*-+~ \nabxLTN019\x00\ud800é@#!lambdaif"), max_size=200)


class TestReadRepr:
    @given(VALUES)
    def test_what_python_wrote_is_read_back(self, value: object) -> None:
        assert read_repr(repr(value)) == value

    @given(st.dictionaries(st.sampled_from(["content", "id", "tool_calls"]), st.lists(st.text() | st.integers())))
    def test_a_call_is_an_object_with_the_constructors_name(self, fields: dict[str, Any]) -> None:
        arguments = ", ".join(f"{name}={value!r}" for name, value in fields.items())

        assert read_repr(f"AIMessage({arguments})") == {**fields, "type": "AIMessage"}

    @given(st.text() | PYTHON)
    @example("[" * 5000)
    @example("-" * 100_000 + "1")
    @example("a" + ".a" * 50_000)
    @example("1" + "+1" * 50_000)
    @example("9" * 5000)
    @example("'\\d'")
    @example("f'{" * 1000)
    def test_any_other_text_is_refused_with_one_kind_of_error(self, text: str) -> None:
        with suppress(UnreadableRepr):
            read_repr(text)

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("(1, 2)", [1, 2]),
            ("{1}", [1]),
            ("{(1, 2): None}", {"[1, 2]": None}),
            ("-1.5", -1.5),
            ("+1", 1),
            ("nan", None),
            ("-inf", -math.inf),
            ("b'\\xff'", "\N{REPLACEMENT CHARACTER}"),
            ("...", "Ellipsis"),
            ("2j", "2j"),
            ("Status.DONE", "Status.DONE"),
            ("UUID('7')", {"arguments": ["7"], "type": "UUID"}),
            ("a.datetime(2026, tzinfo=b.utc)", {"arguments": [2026], "tzinfo": "b.utc", "type": "a.datetime"}),
            (" [A(), B(type='b')] ", [{"type": "A"}, {"type": "B"}]),
            ("'a' 'b'", "ab"),
        ],
    )
    def test_each_form_becomes_json(self, text: str, value: object) -> None:
        assert read_repr(text) == value

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "Execution in progress... (1.0s)",
            "<Status.DONE: 1>",
            "__import__('os').system('id')",
            "(lambda: 1)()",
            "[x for x in y]",
            "a if b else c",
            "1 + 1",
            "-'a'",
            "-True",
            "not 1",
            "f'{x}'",
            "{**a}",
            "A(**a)",
            "[*a]",
            "a[0]",
            "(x := 1)",
            "A(",
            "'\x00'",
        ],
    )
    def test_what_would_have_to_be_computed_is_refused(self, text: str) -> None:
        with pytest.raises(UnreadableRepr):
            read_repr(text)

    def test_depth_is_bounded(self) -> None:
        assert read_repr("[" * MAX_DEPTH + "1" + "]" * MAX_DEPTH)
        with pytest.raises(UnreadableRepr, match="nested deeper"):
            read_repr("[" * (MAX_DEPTH + 1) + "1" + "]" * (MAX_DEPTH + 1))

    def test_size_is_bounded(self) -> None:
        with pytest.raises(UnreadableRepr, match="too large"):
            read_repr(repr("x" * reprs.MAX_LENGTH))
        with pytest.raises(UnreadableRepr, match="too large"):
            read_repr(repr([1] * (reprs.MAX_PARTS + 1)))


class TestReadChunk:
    @pytest.mark.parametrize(
        ("text", "values"),
        [
            ("(A(x='1'), {'y': 2})", [{"x": "1", "type": "A"}, {"y": 2}]),
            ("(A(x='), {'), {'y': '), {'})", [{"x": "), {", "type": "A"}, {"y": "), {"}]),
            ("(A(x='), {'), B())", [{"x": "), {", "type": "A"}, {"type": "B"}]),
            ("A(x='1')", [{"x": "1", "type": "A"}]),
            ("(A(), {'y': '" + "z" * 5000 + "'})", [{"type": "A"}, {"y": "z" * 5000}]),
            ("(A(content='1', id='a'), {})", [{"content": "1", "id": "a", "type": "A"}, {}]),
            (
                r"""(A(content="it's\t\"so\"\n", id=None), {})""",
                [{"content": 'it\'s\t"so"\n', "id": None, "type": "A"}, {}],
            ),
            ("(A(content='1' '2', id='a'), {})", [{"content": "12", "id": "a", "type": "A"}, {}]),
            ("(A(content='" + "z" * 5000 + "', id='a'), {})", [{"content": "z" * 5000, "id": "a", "type": "A"}, {}]),
        ],
    )
    def test_a_piece_and_its_origin_are_read(self, text: str, values: list[Any]) -> None:
        assert read_chunk(text) == values

    @given(st.text(), st.text())
    def test_pieces_differ_in_their_contents_alone(self, content: str, message_id: str) -> None:
        text = f"(A(content={content!r}, id={message_id!r}), {{}})"
        assert read_chunk(text) == [{"content": content, "id": message_id, "type": "A"}, {}]

    @given(st.text() | PYTHON)
    def test_any_other_text_is_refused_with_one_kind_of_error(self, text: str) -> None:
        with suppress(UnreadableRepr):
            assert read_chunk(f"({text}), {{{text}}})")
