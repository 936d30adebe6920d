"""Which lines of two texts belong together: a patience diff whose cost is bounded and that never gives up."""

from collections.abc import Iterator, Sequence
from difflib import Match, SequenceMatcher
from typing import NamedTuple

from patiencediff import unique_lcs

MAX_DEPTH = 8
"""How often a gap between matches is searched again; each round is linear in the lines of both texts."""


class _Gap(NamedTuple):
    """Lines `a[a_start:a_end]` and `b[b_start:b_end]`, which nothing matches yet."""

    a_start: int
    a_end: int
    b_start: int
    b_end: int
    depth: int

    @property
    def is_empty(self) -> bool:
        return self.a_start == self.a_end or self.b_start == self.b_end


class LineMatcher(SequenceMatcher[str]):
    """Match lines by those that occur once on each side, and what touches them.

    Takes the place of `difflib.SequenceMatcher` in `merge3` and in `unified_diff`. Not of use for `find_longest_match`.

    `patiencediff.PatienceSequenceMatcher` does the same until a text makes it recurse more than ten times: then it
    panics, with an error that is no `Exception`. Here the rest of such a gap counts as changed.
    """

    a: Sequence[str]
    b: Sequence[str]
    matching_blocks: list[Match] | None
    opcodes: list[tuple[str, int, int, int, int]] | None

    def set_seq2(self, b: Sequence[str]) -> None:
        """Set the second text, without the index that difflib's own algorithm needs."""
        self.b = b
        self.matching_blocks = self.opcodes = None

    def get_matching_blocks(self) -> list[Match]:
        """List the runs of lines that match, in order, and an empty one at the end of both texts."""
        if self.matching_blocks is None:
            blocks = [*_joined(sorted(self._blocks())), Match(len(self.a), len(self.b), 0)]
            self.matching_blocks = blocks
        return self.matching_blocks

    def _blocks(self) -> Iterator[Match]:
        gaps = [_Gap(0, len(self.a), 0, len(self.b), 0)]
        while gaps:
            gap = gaps.pop()
            head = self._common_head(gap)
            tail = self._common_tail(gap._replace(a_start=gap.a_start + head, b_start=gap.b_start + head))
            yield Match(gap.a_start, gap.b_start, head)
            yield Match(gap.a_end - tail, gap.b_end - tail, tail)
            rest = _Gap(gap.a_start + head, gap.a_end - tail, gap.b_start + head, gap.b_end - tail, gap.depth + 1)
            if not rest.is_empty and rest.depth <= MAX_DEPTH:
                anchors = self._anchors(rest)
                yield from anchors
                gaps += _between(anchors, rest)

    def _common_head(self, gap: _Gap) -> int:
        length, most = 0, min(gap.a_end - gap.a_start, gap.b_end - gap.b_start)
        while length < most and self.a[gap.a_start + length] == self.b[gap.b_start + length]:
            length += 1
        return length

    def _common_tail(self, gap: _Gap) -> int:
        length, most = 0, min(gap.a_end - gap.a_start, gap.b_end - gap.b_start)
        while length < most and self.a[gap.a_end - 1 - length] == self.b[gap.b_end - 1 - length]:
            length += 1
        return length

    def _anchors(self, gap: _Gap) -> list[Match]:
        pairs = unique_lcs(self.a[gap.a_start : gap.a_end], self.b[gap.b_start : gap.b_end])
        return list(_joined(Match(gap.a_start + a, gap.b_start + b, 1) for a, b in pairs))


def _between(anchors: Sequence[Match], gap: _Gap) -> Iterator[_Gap]:
    if not anchors:
        return
    a_start, b_start = gap.a_start, gap.b_start
    for anchor in [*anchors, Match(gap.a_end, gap.b_end, 0)]:
        between = _Gap(a_start, anchor.a, b_start, anchor.b, gap.depth)
        if not between.is_empty:
            yield between
        a_start, b_start = anchor.a + anchor.size, anchor.b + anchor.size


def _joined(blocks: Iterator[Match] | list[Match]) -> Iterator[Match]:
    """Join blocks that touch, and leave out empty ones."""
    last: Match | None = None
    for block in blocks:
        if not block.size:
            continue
        if last is not None and (last.a + last.size, last.b + last.size) == (block.a, block.b):
            last = Match(last.a, last.b, last.size + block.size)
            continue
        if last is not None:
            yield last
        last = block
    if last is not None:
        yield last
