from difflib import SequenceMatcher
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from patiencediff import unified_diff

from graphql_api.kit.matching import MAX_DEPTH, LineMatcher

FEW_LINES = st.lists(st.sampled_from(["a\n", "b\n", "c\n", "\n", "d"]), max_size=40)


def staged(rounds: int, side: str) -> list[str]:
    """Lines of which each round of matching makes one more unique, and no more."""
    lines = [f"{side}{index}\n" for index in range(5)]
    for current in reversed(range(rounds)):
        later = [f"key {index}\n" for index in range(current + 1, rounds)]
        lines = [f"{side}\n", *(later if side == "left" else reversed(later)), f"{side}!\n", f"key {current}\n", *lines]
    return lines


def matched_keys(rounds: int) -> int:
    """Count the keys whose anchors match, each of which takes a round."""
    a, b = staged(rounds, "left"), staged(rounds, "right")
    anchors = {index for index, line in enumerate(a) if line.startswith("key") and a[index - 1] == "left!\n"}
    blocks = LineMatcher(None, a, b).get_matching_blocks()
    return sum(block.a in anchors and b[block.b - 1] == "right!\n" for block in blocks)


class TestGetMatchingBlocks:
    @given(FEW_LINES, FEW_LINES)
    def test_blocks_are_equal_lines_in_order_and_end_with_an_empty_one(self, a: list[str], b: list[str]) -> None:
        blocks = LineMatcher(None, a, b).get_matching_blocks()
        for block in blocks:
            assert a[block.a : block.a + block.size] == b[block.b : block.b + block.size]
        for before, after in pairwise(blocks):
            assert before.size > 0
            assert before.a + before.size <= after.a
            assert before.b + before.size <= after.b
            assert (before.a + before.size, before.b + before.size) != (after.a, after.b) or after.size == 0
        assert blocks[-1] == (len(a), len(b), 0)

    @given(FEW_LINES)
    def test_equal_texts_are_one_block(self, lines: list[str]) -> None:
        assert [block.size for block in LineMatcher(None, lines, lines).get_matching_blocks() if block.size] == (
            [len(lines)] if lines else []
        )

    @given(st.lists(st.integers(), unique=True, max_size=30), st.data())
    def test_every_kept_line_matches_when_no_line_occurs_twice(self, numbers: list[int], data: st.DataObject) -> None:
        a = [f"{number}\n" for number in numbers]
        kept = [line for line in a if data.draw(st.booleans())]
        assert sum(block.size for block in LineMatcher(None, a, kept).get_matching_blocks()) == len(kept)

    def test_a_line_that_occurs_once_anchors_those_that_do_not(self) -> None:
        a = ["{\n", "}\n", "once\n", "{\n", "}\n", "x\n"]
        b = ["once\n", "{\n", "}\n", "{\n", "}\n", "y\n"]
        assert LineMatcher(None, a, b).get_matching_blocks()[0] == (2, 0, 3)

    def test_a_text_that_needs_as_many_rounds_as_there_are_is_matched_whole(self) -> None:
        assert matched_keys(MAX_DEPTH) == MAX_DEPTH

    def test_a_text_that_needs_more_rounds_is_matched_in_part(self) -> None:
        assert matched_keys(MAX_DEPTH + 5) == MAX_DEPTH


class TestGetOpcodes:
    @given(FEW_LINES, FEW_LINES)
    def test_opcodes_turn_one_text_into_the_other(self, a: list[str], b: list[str]) -> None:
        built: list[str] = []
        for tag, a_start, a_end, b_start, b_end in LineMatcher(None, a, b).get_opcodes():
            built += a[a_start:a_end] if tag == "equal" else b[b_start:b_end]
        assert built == b

    def test_the_texts_are_compared_once(self) -> None:
        matcher = LineMatcher(None, ["a\n"], ["a\n", "b\n"])
        blocks = matcher.get_matching_blocks()
        matcher.get_opcodes()
        assert matcher.get_matching_blocks() is blocks

    def test_another_second_text_is_compared_anew(self) -> None:
        matcher = LineMatcher(None, ["a\n"], ["b\n"])
        matcher.get_opcodes()
        matcher.set_seq2(["a\n"])
        assert matcher.get_opcodes() == [("equal", 0, 1, 0, 1)]

    def test_a_unified_diff_can_be_written_with_it(self) -> None:
        a, b = ["1\n", "2\n", "3\n"], ["1\n", "two\n", "3\n"]
        expected = list(unified_diff(a, b, sequencematcher=SequenceMatcher))
        assert list(unified_diff(a, b, sequencematcher=LineMatcher)) == expected
