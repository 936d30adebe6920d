import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphql_api.authoring.text_merging import merge_text
from graphql_api.kit.files import lines_of

TEXT = st.lists(st.sampled_from(["a\n", "b\n", "c\r\n", "\n", "d", "\r"]), max_size=12).map("".join)
MARKERS = {"<<<<<<< draft", "||||||| base", "=======", ">>>>>>> proposal"}


@st.composite
def edited(draw: st.DrawFn, base: list[str], side: str) -> list[str]:
    """Keep, drop or precede each line with a new one; no line occurs twice."""
    lines = []
    for index, line in enumerate(base):
        action = draw(st.sampled_from(["keep", "keep", "keep", "drop", "insert"]))
        if action == "insert":
            lines.append(f"{side} {index}\n")
        if action != "drop":
            lines.append(line)
    return lines


@st.composite
def three_texts(draw: st.DrawFn) -> tuple[list[str], list[str], list[str]]:
    base = [f"line {index}\n" for index in range(draw(st.integers(0, 25)))]
    return base, draw(edited(base, "ours")), draw(edited(base, "theirs"))


class TestMergeText:
    @given(TEXT, TEXT)
    def test_an_unchanged_side_gives_the_other(self, base: str, changed: str) -> None:
        assert merge_text(base, base, changed) == (changed, True)
        assert merge_text(base, changed, base) == (changed, True)

    @given(TEXT, TEXT)
    def test_the_same_change_on_both_sides_is_no_conflict(self, base: str, changed: str) -> None:
        assert merge_text(base, changed, changed) == (changed, True)

    @given(TEXT, TEXT, TEXT)
    def test_sides_are_equals(self, base: str, ours: str, theirs: str) -> None:
        merged, is_clean = merge_text(base, ours, theirs)
        mirrored, mirrored_is_clean = merge_text(base, theirs, ours)
        assert is_clean == mirrored_is_clean
        if is_clean:
            assert merged == mirrored

    @given(TEXT, TEXT, TEXT)
    def test_every_line_comes_from_a_side(self, base: str, ours: str, theirs: str) -> None:
        merged, is_clean = merge_text(base, ours, theirs)
        known = {line for text in (base, ours, theirs) for line in lines_of(text)}
        if is_clean:
            assert set(lines_of(merged)) <= known
        else:
            bare = {line.rstrip("\r\n") for line in known} | MARKERS
            assert {line.rstrip("\r\n") for line in lines_of(merged)} <= bare

    @given(three_texts())
    def test_a_line_that_both_sides_kept_is_never_lost(self, texts: tuple[list[str], list[str], list[str]]) -> None:
        base, ours, theirs = texts
        merged, is_clean = merge_text(*map("".join, texts))
        kept = set(ours) & set(theirs)
        assert kept <= set(lines_of(merged))
        if is_clean:
            # In the order of the base, once each, together with all that a side added, without what one dropped.
            added = (set(ours) | set(theirs)) - set(base)
            assert [line for line in lines_of(merged) if line in set(base)] == [line for line in base if line in kept]
            assert set(lines_of(merged)) == kept | added

    @given(three_texts())
    def test_merging_again_changes_nothing(self, texts: tuple[list[str], list[str], list[str]]) -> None:
        base, ours, theirs = map("".join, texts)
        merged, is_clean = merge_text(base, ours, theirs)
        if is_clean:
            assert merge_text(base, merged, theirs) == (merged, True)
            assert merge_text(base, ours, merged) == (merged, True)

    def test_changes_apart_are_both_taken(self) -> None:
        assert merge_text("1\n2\n3\n", "one\n2\n3\n", "1\n2\nthree\n") == ("one\n2\nthree\n", True)

    def test_a_conflict_shows_both_sides_and_the_base(self) -> None:
        merged, is_clean = merge_text("1\n2\n3\n", "1\ntwo\n3\n", "1\nzwei\n3\n")
        assert not is_clean
        assert merged == ("1\n<<<<<<< draft\ntwo\n||||||| base\n2\n=======\nzwei\n>>>>>>> proposal\n3\n")

    def test_a_last_line_without_end_does_not_run_into_a_marker(self) -> None:
        merged, is_clean = merge_text("1", "one", "eins")
        assert not is_clean
        assert merged == "<<<<<<< draft\none\n||||||| base\n1\n=======\neins\n>>>>>>> proposal\n"

    def test_markers_end_as_the_lines_of_the_draft_do(self) -> None:
        merged, _ = merge_text("1\r\n2", "1\r\ntwo", "1\r\nzwei")
        assert merged == ("1\r\n<<<<<<< draft\r\ntwo\r\n||||||| base\r\n2\r\n=======\r\nzwei\r\n>>>>>>> proposal\r\n")

    def test_line_ends_are_kept_as_they_are(self) -> None:
        assert merge_text("1\r\n2\n3\r4\n5", "one\r\n2\n3\r4\n5", "1\r\n2\n3\r4\nfive") == (
            "one\r\n2\n3\r4\nfive",
            True,
        )

    def test_both_adding_to_an_empty_text_is_a_conflict(self) -> None:
        assert merge_text("", "a\n", "b\n") == (
            "<<<<<<< draft\na\n||||||| base\n=======\nb\n>>>>>>> proposal\n",
            False,
        )

    @pytest.mark.parametrize("count", [0, 1, 50_000])
    def test_texts_of_any_length_merge(self, count: int) -> None:
        middle = "".join(f"line {index}\n" for index in range(count))
        base, ours, theirs = f"first\n{middle}last\n", f"FIRST\n{middle}last\n", f"first\n{middle}LAST\n"
        if count:
            assert merge_text(base, ours, theirs) == (f"FIRST\n{middle}LAST\n", True)
        else:
            assert not merge_text(base, ours, theirs)[1]

    def test_a_text_whose_lines_are_all_alike_merges(self) -> None:
        assert merge_text("\n" * 200_000, "\n" * 200_000 + "end\n", "\n" * 100_000)[0].endswith(">>>>>>> proposal\n")

    def test_json_is_only_lines_here(self) -> None:
        base = json.dumps({"a": 1, "b": 2, "c": 3, "d": 4}, indent=1)
        merged, is_clean = merge_text(base, base.replace('"a": 1', '"a": 10'), base.replace('"d": 4', '"d": 40'))
        assert is_clean
        assert json.loads(merged) == {"a": 10, "b": 2, "c": 3, "d": 40}
