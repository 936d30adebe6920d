"""Edits of Markdown files that leave every other line as it was."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from graphql_api.kit.files import lines_of
from graphql_api.runtimes.embedded.request import any_name

_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.*?)[ \t#]*$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_ITEM = re.compile(r"(?P<indent> {0,3})(?:(?P<number>\d{1,6})(?P<dot>[.)])|(?P<bullet>[-*+]))[ \t]+\S")
_NUMBERED = re.compile(r"(?P<prefix>(?:R|REQ|FR|NFR)[- ]?)(?P<number>\d{1,6})\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Heading:
    line: int
    level: int
    text: str


@dataclass(frozen=True, slots=True)
class Placed:
    """A file with something inserted.

    Attributes:
        content: The whole file.
        label: What the inserted thing is called in it, such as `R3`; None when it has no number.
    """

    content: str
    label: str | None = None


def holds(content: str, sentence: str) -> bool:
    """Tell whether a line of a file ends with this sentence, whatever markup stands before it."""
    return line_with(content, sentence) is not None


def line_with(content: str, sentence: str) -> int | None:
    """Find the line that ends with this sentence, whatever markup stands before it."""
    wanted = _plain(sentence)
    for index, line in enumerate(content.split("\n")):
        if len(line) >= len(wanted):
            plain = _plain(line)
            if plain.endswith(wanted) and not plain[: -len(wanted)][-1:].isalnum():
                return index
    return None


def find(content: str, selection: str) -> int | None:
    """Find the last line of a selected text: as it is, or else by its first line."""
    wanted = selection.strip()
    at = content.find(wanted) if wanted else -1
    if at < 0 and wanted:
        wanted = wanted.split("\n", 1)[0].strip()
        at = content.find(wanted)
    return None if at < 0 else content.count("\n", 0, at + len(wanted))


def label_at(content: str, line: int) -> str | None:
    """Name the requirement that a line belongs to, such as `R3`."""
    document = _Document(content)
    above = [heading for heading in document.headings if heading.line <= line]
    match = _NUMBERED.match(above[-1].text) if above else None
    return match[0] if match else None


def with_requirement(content: str, headline: str, body: Sequence[str], criteria: Sequence[str]) -> Placed:
    """Insert a requirement in the style of those that are there: a numbered heading, or an item of a list."""
    document = _Document(content)
    numbered = [(heading, match) for heading in document.headings if (match := _NUMBERED.match(heading.text))]
    section = document.section(("requirement",))
    if not numbered and section is not None and (item := document.last_item(section)) is not None:
        nested = [*([*body, ""] if body else []), *(f"- [ ] {criterion}" for criterion in criteria)]
        match = _item(document.lines[item])
        label = f"requirement {int(match['number']) + 1}" if match["number"] else None
        return Placed(document.with_item_after(item, f"{headline}.", nested), label)
    if numbered:
        last, match = numbered[-1]
        width = len(match["number"]) if match["number"].startswith("0") else 1
        number = 1 + max(int(other["number"]) for _, other in numbered)
        label, level, at = f"{match['prefix']}{number:0{width}}", last.level, document.end_of_section(last)
    else:
        label, level = "R1", 2 if section is None else max(2, min(6, section.level + 1))
        at = len(document.lines) if section is None else document.end_of_section(section)
    block = [f"{'#' * level} {label} · {headline}", "", *([*body, ""] if body else [])]
    block += ["Acceptance criteria:", "", *(f"- [ ] {criterion}" for criterion in criteria)]
    return Placed(document.with_block(at, block), label)


def with_item(content: str, words: Sequence[str], new_section: str, item: str, nested: Sequence[str] = ()) -> str:
    """Add an item at the end of the list of a section, in the list's own style.

    Args:
        content: The file.
        words: One of them is in the section's heading.
        new_section: Heading of the section that is added when there is none.
        item: The item's text.
        nested: Lines below it.
    """
    document = _Document(content)
    section = document.section(words)
    marker = "1." if nested else "-"
    if section is None:
        block = [f"## {new_section}", "", *_item_lines(marker, item, nested)]
        return document.with_block(len(document.lines), block)
    last = document.last_item(section)
    if last is None:
        return document.with_block(document.end_of_own(section), _item_lines(marker, item, nested))
    return document.with_item_after(last, item, nested)


def with_note(content: str, line: int | None, note: str) -> str:
    """Add a sentence after the list item or paragraph that a line belongs to; at the end when there is no line."""
    document = _Document(content)
    if line is None:
        return document.with_block(len(document.lines), [note])
    section = next((heading for heading in document.headings if heading.line == line), None)
    item = document.item_around(line) if section is None else document.last_item(section)
    if item is not None:
        return document.with_item_after(item, note, ())
    return document.with_block(document.end_of_block(line), [note])


def without_items(content: str, name: str) -> str:
    """Drop the items of lists that begin with a name in bold: `- **Reviewer**: …`."""
    begins = re.compile(rf"\s*[-*+]\s+\*\*{re.escape(name)}\*\*")
    return "".join(line for line in lines_of(content) if not begins.match(line))


def with_other_name(content: str, old: str, new: str, names: Iterable[str]) -> str:
    """Write the new name wherever the old one stands as a whole name; longer names that hold it are kept."""
    if old not in content:
        return content
    return any_name({*names, old}).sub(lambda match: new if match[0] == old else match[0], content)


def lines_with_name(content: str, name: str, names: Iterable[str]) -> list[int]:
    """Number the lines, from 1, that hold a whole name."""
    if name not in content:
        return []
    pattern = any_name({*names, name})
    return [
        number
        for number, line in enumerate(content.split("\n"), 1)
        if any(match[0] == name for match in pattern.finditer(line))
    ]


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).rstrip(".*_ ")


def _item_lines(marker: str, item: str, nested: Sequence[str]) -> list[str]:
    indent = " " * (len(marker) + 1)
    return [f"{marker} {item}", *(f"{indent}{line}" if line else "" for line in nested)]


def _item(line: str) -> re.Match[str]:
    match = _ITEM.match(line)
    if match is None:
        raise ValueError("This line is no list item.")
    return match


class _Document:
    """A Markdown file as lines with their ends, and where its headings are.

    Lines of fenced code and of front matter are no headings, items or blocks.
    """

    def __init__(self, content: str) -> None:
        self.lines = lines_of(content)
        self._eol = "\r\n" if self.lines and self.lines[0].endswith("\r\n") else "\n"
        self._is_code = self._find_code()
        self.headings = [
            _Heading(index, len(match[1]), match[2])
            for index, line in enumerate(self.lines)
            if not self._is_code[index] and (match := _HEADING.match(line.rstrip("\r\n")))
        ]

    def section(self, words: Sequence[str]) -> _Heading | None:
        """Find the heading that has one of the words, before those of the first level."""
        named = [heading for heading in self.headings if any(word in heading.text.casefold() for word in words)]
        return min(named, key=lambda heading: heading.level == 1, default=None)

    def end_of_section(self, section: _Heading) -> int:
        """Give the line before which the section and its subsections end."""
        after = (other.line for other in self.headings if other.line > section.line and other.level <= section.level)
        return next(after, len(self.lines))

    def end_of_own(self, section: _Heading) -> int:
        """Give the line before which the section's own text ends: the next heading."""
        return next((other.line for other in self.headings if other.line > section.line), len(self.lines))

    def last_item(self, section: _Heading) -> int | None:
        """Find the last item of a list in the section's own text."""
        own = range(section.line + 1, self.end_of_own(section))
        items = (index for index in reversed(own) if not self._is_code[index] and _ITEM.match(self.lines[index]))
        return next(items, None)

    def item_around(self, line: int) -> int | None:
        """Find the list item that a line is, or is indented below."""
        for index in range(min(line, len(self.lines) - 1), -1, -1):
            if self._is_code[index]:
                return None
            if _ITEM.match(self.lines[index]):
                return index
            if not self.lines[index].startswith((" ", "\t")):
                return None
        return None

    def end_of_block(self, line: int) -> int:
        """Give the line after the paragraph, table or code that a line is in."""
        index = min(line, len(self.lines) - 1) + 1
        while 0 < index < len(self.lines) and (
            self._is_code[index] or (self.lines[index].strip() and index not in {h.line for h in self.headings})
        ):
            index += 1
        return max(index, 0)

    def with_item_after(self, item: int, text: str, nested: Sequence[str]) -> str:
        """Insert an item after another one and all that is indented below it."""
        match = _item(self.lines[item])
        marker = match["bullet"] or f"{int(match['number']) + 1}{match['dot']}"
        indent = match["indent"]
        end = item + 1
        for index in range(item + 1, len(self.lines)):
            if self.lines[index].strip() and not self.lines[index].startswith((f"{indent}  ", "\t")):
                break
            if self.lines[index].strip():
                end = index + 1
        return self._inserted(end, [f"{indent}{line}" if line else "" for line in _item_lines(marker, text, nested)])

    def with_block(self, at: int, block: Sequence[str]) -> str:
        """Insert a block with an empty line on both sides, after the last line with text before `at`."""
        while at > 0 and not self.lines[at - 1].strip():
            at -= 1
        before = [""] if at else []
        after = [""] if at < len(self.lines) and self.lines[at].strip() else []
        return self._inserted(at, [*before, *block, *after])

    def _inserted(self, at: int, new: Sequence[str]) -> str:
        text = self._eol.join(new)
        if at < len(self.lines):
            return "".join(self.lines[:at]) + text + self._eol + "".join(self.lines[at:])
        existing = "".join(self.lines)
        if existing and not existing.endswith("\n"):
            return f"{existing}{self._eol}{text}"
        return f"{existing}{text}{self._eol}"

    def _find_code(self) -> list[bool]:
        flags: list[bool] = []
        fence = "---" if self.lines and self.lines[0].rstrip() == "---" else None
        for index, line in enumerate(self.lines):
            match = _FENCE.match(line)
            flags.append(fence is not None or match is not None)
            if fence == "---":
                fence = None if index and line.rstrip() == "---" else fence
            elif fence is None:
                fence = match[1] if match else None
            elif match and match[1].startswith(fence) and not line[match.end() :].strip():
                fence = None
        return flags
