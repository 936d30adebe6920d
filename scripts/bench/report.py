"""What was measured, as tables and pictures, and where they stand in the documentation."""

import os
import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.metadata import version
from pathlib import Path
from statistics import median

NAMES = {
    "product": "this product",
    "whole": "this product, from PostgreSQL and signed in",
    "product-asgi": "this product, plain ASGI sends",
    "strawberry": "Strawberry",
    "starlette": "Starlette, no GraphQL",
    "same": "Strawberry, the same use case",
    "ws": "ws, no GraphQL (Node)",
    "graphql-ws": "graphql-ws, graphql-js (Node)",
    "yoga": "GraphQL Yoga (Node)",
}
"""What servers are called in tables and pictures."""

OURS = ("product", "whole", "product-asgi")
_BAR, _ROW, _LEFT, _WIDTH = 14, 18, 280, 860

Bar = tuple[str, float]
"""Whose it is, see NAMES, and how long."""


@dataclass(frozen=True, slots=True)
class Report:
    """What one part has measured.

    Attributes:
        name: Of the part, and of its place in performance.md.
        tables: The lines of each.
        pictures: Each as an SVG, by the name of its file.
        skipped: What was left out, and why.
    """

    name: str
    tables: Sequence[Sequence[str]]
    pictures: Mapping[str, str] = field(default_factory=dict)
    skipped: Sequence[str] = ()

    def text(self, heading: str) -> str:
        """Put everything together."""
        return "\n\n".join([heading, *self.skipped, *("\n".join(table) for table in self.tables)])

    def write(self, docs: Path, heading: str) -> None:
        """Write the tables into performance.md, and the pictures beside it."""
        put(docs / "performance.md", self.name, self.text(heading))
        (docs / "images").mkdir(exist_ok=True)
        for file, drawn in self.pictures.items():
            (docs / "images" / file).write_text(drawn, encoding="utf-8")


def put(page: Path, name: str, text: str) -> None:
    """Replace what stands between the markers of a name in a Markdown file."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    head, found, rest = page.read_text(encoding="utf-8").partition(begin)
    _, ended, tail = rest.partition(end)
    if not (found and ended):
        raise SystemExit(f"{page} has no {begin} and {end}")
    page.write_text(f"{head}{begin}\n{text}\n{end}{tail}", encoding="utf-8")


def made(command: Sequence[str], rounds: int, seconds: float) -> str:
    """Tell how figures were made, and on what."""
    words = " ".join(["scripts/bench/run", *command])
    packages = ("strawberry-graphql", "graphql-core", "uvicorn", "uvloop")
    versions = [f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in packages)]
    if node := shutil.which("node"):
        told = subprocess.run([node, "--version"], check=False, capture_output=True, text=True).stdout
        versions.append(f"Node {told.strip().removeprefix('v')}")
    often = "1 round" if rounds == 1 else f"{rounds} rounds"
    return (
        f"Made by `{words}`: {often} of {seconds:g} s, {', '.join(versions)}, PostgreSQL 18 embedded, durable commits, "
        f"{os.cpu_count()} cores for everything; medians (lowest to highest)."
    )


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> list[str]:
    """Write the lines of a table.

    Args:
        heads: Of its columns.
        rows: Cells of each row.
        numbers: Columns that are set to the right.
    """
    rule = "|".join("---:" if column in numbers else "---" for column in range(len(heads)))
    return [f"| {' | '.join(heads)} |", f"|{rule}|", *(f"| {' | '.join(row)} |" for row in rows)]


def spread(figures: Sequence[float], unit: str = "", digits: int = 2) -> str:
    """Write the median of figures, with the lowest and the highest."""
    low, middle, high = (f"{each:,.{digits}f}" for each in (min(figures), median(figures), max(figures)))
    return f"**{middle}**{unit and ' '}{unit} ({low} to {high})"


def number(figure: float) -> str:
    """Write a figure with digits that say something."""
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.1f}" if figure >= 1 else f"{figure:.2f}"  # noqa: PLR2004 - see above


def verdict(figure: float, *, at_least: float | None = None, at_most: float | None = None) -> str:
    """Say what a figure has to be, and whether it is."""
    if at_most is not None:
        return f"{_bound(at_most)} or less: {'met' if figure <= at_most else '**missed**'}"
    if at_least is not None:
        return f"{_bound(at_least)} or more: {'met' if figure >= at_least else '**missed**'}"
    return ""


def _bound(bound: float) -> str:
    return f"{bound:,.0f}" if bound >= 100 else f"{bound:.2g}"  # noqa: PLR2004 - digits that say something


def picture(title: str, groups: Mapping[str, Sequence[Bar]]) -> str:
    """Draw groups of bars as an SVG."""
    greatest = max((length for bars in groups.values() for _, length in bars), default=1)
    parts, y = [], 10
    for group, bars in groups.items():
        y += 26
        parts.append(f'<text x="10" y="{y}" font-weight="bold">{escape(group)}</text>')
        y += 10
        for name, length in bars:
            width = length / greatest * (_WIDTH - _LEFT - 60)
            colour = "#0b7285" if name in OURS else "#adb5bd"
            parts.append(f'<text x="{_LEFT - 8}" y="{y + 11}" text-anchor="end">{escape(NAMES[name])}</text>')
            parts.append(f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_BAR}" fill="{colour}"/>')
            parts.append(f'<text x="{_LEFT + width + 6:.1f}" y="{y + 11}">{length:.3g}</text>')
            y += _ROW
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y + 10}" font-family="sans-serif" '
        f'font-size="12"><title>{escape(title)}</title>'
        '<rect width="100%" height="100%" fill="#ffffff"/>'
    )
    return "\n".join([head, *parts, "</svg>", ""])
