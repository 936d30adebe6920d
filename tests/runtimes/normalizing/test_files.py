import base64
from typing import Any

import pytest

from graphql_api.runtimes.normalizing.files import read_files

TEXT = "# Plan\n\nDo it.\n"
FORMS: list[Any] = [
    TEXT,
    ["# Plan", "", "Do it.", ""],
    {"content": TEXT},
    {"content": ["# Plan", "", "Do it.", ""], "created_at": "2026-01-01", "modified_at": "2026-01-01"},
    {"content": TEXT, "encoding": "utf-8"},
    {"content": TEXT, "encoding": None},
    {"content": base64.b64encode(TEXT.encode()).decode(), "encoding": "base64"},
    {"content": base64.encodebytes(TEXT.encode()).decode(), "encoding": "base64"},
    {"content": [base64.b64encode(TEXT.encode()).decode()], "encoding": "base64"},
]


class TestReadFiles:
    @pytest.mark.parametrize("file", FORMS)
    def test_each_form_of_a_file_is_the_same_text(self, file: object) -> None:
        assert read_files({"/THE_SPEC/plan.md": file}) == {"THE_SPEC/plan.md": TEXT}

    def test_an_end_without_a_line_feed_is_kept(self) -> None:
        assert read_files({"/a": ["{", "}"], "/b": []}) == {"a": "{\n}", "b": ""}

    def test_null_is_a_deleted_file(self) -> None:
        assert read_files({"/a": None, "b": {"content": None}, "c": {"content": None, "encoding": "base64"}}) == {
            "a": None,
            "b": None,
            "c": None,
        }

    @pytest.mark.parametrize(
        "file",
        [5, True, {"text": "x"}, {"content": 5}, {"content": ["x", 5]}, {"content": {"x": "y"}}],
    )
    def test_what_is_no_text_is_left_to_be_refused(self, file: object) -> None:
        (content,) = read_files({"/a": file}).values()

        assert content is not None
        assert not isinstance(content, str)

    @pytest.mark.parametrize("content", ["&&&", "abc", base64.b64encode(b"\xff\xfe").decode(), "é"])
    def test_base64_of_no_text_is_left_to_be_refused(self, content: str) -> None:
        assert isinstance(read_files({"/a": {"content": content, "encoding": "base64"}})["a"], bytes)

    @pytest.mark.parametrize("files", [None, [], "x", 5, {}])
    def test_what_is_no_map_has_no_files(self, files: object) -> None:
        assert read_files(files) == {}

    def test_paths_become_relative_and_are_not_made_safe(self) -> None:
        assert list(read_files({"//a": "", "/../b": "", "c/d": ""})) == ["a", "../b", "c/d"]
