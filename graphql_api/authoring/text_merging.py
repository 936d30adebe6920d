"""Three-way merge of one text, line by line."""

from collections.abc import Iterator, Sequence

from merge3 import Merge3

from graphql_api.kit.files import lines_of
from graphql_api.kit.matching import LineMatcher


def merge_text(base: str, ours: str, theirs: str) -> tuple[str, bool]:
    """Merge three texts.

    Returns:
        The merged text, and whether it has no conflict. Lines in conflict stand as `<<<<<<< draft`, ours,
        `||||||| base`, the base's, `=======`, theirs, `>>>>>>> proposal`.
    """
    end = "\r\n" if ours.partition("\n")[0].endswith("\r") else "\n"
    lines: list[str] = []
    is_clean = True
    merging = Merge3(
        lines_of(base),
        lines_of(ours),
        lines_of(theirs),
        sequence_matcher=LineMatcher,  # type: ignore[arg-type]  # it asks for plain tuples, where difflib has Match
    )
    for group in merging.merge_groups():
        if group[0] == "conflict":
            is_clean = False
            lines += _marked(group[1], group[2], group[3], end)
        else:
            lines += group[1]
    return "".join(lines), is_clean


def _marked(base: Sequence[str], ours: Sequence[str], theirs: Sequence[str], end: str) -> Iterator[str]:
    for marker, lines in (("<<<<<<< draft", ours), ("||||||| base", base), ("=======", theirs)):
        yield marker + end
        for line in lines:
            # Only a file's last line has no end, and a marker does not go behind it.
            yield line if line.endswith("\n") else line + end
    yield ">>>>>>> proposal" + end
