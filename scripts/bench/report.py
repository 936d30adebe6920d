"""What was measured, as a table and a picture."""

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.metadata import version
from pathlib import Path
from statistics import median

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"

_NAMES = {
    "product": "this product",
    "product-asgi": "this product, plain ASGI sends",
    "strawberry": "Strawberry",
    "relay": "Starlette, no GraphQL",
    "ws": "ws, no GraphQL (Node)",
    "graphql-ws": "graphql-ws, graphql-js (Node)",
    "yoga": "GraphQL Yoga (Node)",
}
_BAR, _ROW, _LEFT, _WIDTH = 14, 18, 260, 860

Bar = tuple[str, float, bool]
"""A name, a length, and whether it is this product's."""


@dataclass(frozen=True, slots=True)
class Result:
    """One case of one server.

    Attributes:
        case: What was measured.
        unit: Of the figure.
        peer: Name of the server.
        figure: Median of all rounds.
        ratios: How many times as good as Strawberry, in each round, in order.
        ahead: How many times as good as this server the product is, the median of the rounds.
        target: What that has to be; None when it is there to look at.
    """

    case: str
    unit: str
    peer: str
    figure: float
    ratios: tuple[float, ...]
    ahead: float | None = None
    target: float | None = None

    @property
    def ratio(self) -> float | None:
        """The median ratio; None when Strawberry was not measured."""
        return median(self.ratios) if self.ratios else None


def write_report(
    docs: Path | None, results: Sequence[Result], *, rounds: int, seconds: float, command: Sequence[str]
) -> None:
    """Print the table; with a directory, write it between its markers in performance.md, and the picture beside it."""
    text = "\n".join([*_conditions(rounds, seconds, command), "", *_table(results)])
    print(text)
    if docs is None:
        return
    page = docs / "performance.md"
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    _, after = rest.split(END)
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")
    (docs / "images").mkdir(exist_ok=True)
    (docs / "images" / "subscriptions.svg").write_text(_picture(results), encoding="utf-8")


def _conditions(rounds: int, seconds: float, command: Sequence[str]) -> list[str]:
    versions = ", ".join(
        f"{name} {version(name)}" for name in ("strawberry-graphql", "graphql-core", "uvicorn", "uvloop")
    )
    words = "".join(f" {word}" for word in command)
    machine = f"Python {platform.python_version()}, {versions}, {os.cpu_count()} cores"
    return [f"Made by `scripts/bench/run{words}`: {rounds} rounds of {seconds:g} s, {machine}."]


def _table(results: Sequence[Result]) -> list[str]:
    cases = list(dict.fromkeys(result.case for result in results))
    lines = []
    for case in cases:
        of_case = [result for result in results if result.case == case]
        lines += [
            f"| {case} | times as good as Strawberry (lowest to highest) | {of_case[0].unit} | ours beside it |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| {_NAMES[each.peer]} | {_ratio(each)} | {_figure(each.figure)} | {_ahead(each)} |" for each in of_case
        ]
        lines.append("")
    return lines[:-1]


def _ratio(result: Result) -> str:
    if result.ratio is None:
        return "not measured"
    return f"**{result.ratio:.1f}** ({result.ratios[0]:.1f} to {result.ratios[-1]:.1f})"


def _ahead(result: Result) -> str:
    if result.ahead is None:
        return ""
    shown = f"{result.ahead:.1f} times as good"
    return shown if result.target is None else f"{shown}; {verdict(result.ahead, at_least=result.target)}"


def verdict(figure: float, *, at_least: float | None = None, at_most: float | None = None) -> str:
    """Say what a figure has to be, and whether it is."""
    if at_most is not None:
        return f"{_bound(at_most)} or less: {'met' if figure <= at_most else '**missed**'}"
    if at_least is not None:
        return f"{_bound(at_least)} or more: {'met' if figure >= at_least else '**missed**'}"
    return ""


def _bound(bound: float) -> str:
    return f"{bound:,.0f}" if bound >= 100 else f"{bound:.2g}"  # noqa: PLR2004 - digits that say something


def _figure(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.1f}" if figure >= 1 else f"{figure:.2f}"  # noqa: PLR2004 - digits that say something


def _picture(results: Sequence[Result]) -> str:
    """Draw the ratios of the rates as bars."""
    groups: dict[str, list[Bar]] = {}
    for each in results:
        if each.unit == "events/s" and each.ratio:
            groups.setdefault(each.case, []).append((_NAMES[each.peer], each.ratio, each.peer.startswith("product")))
    return picture("Deliveries a second, as a multiple of Strawberry", groups)


def picture(title: str, groups: Mapping[str, Sequence[Bar]]) -> str:
    """Draw groups of bars as an SVG."""
    greatest = max((length for bars in groups.values() for _, length, _ in bars), default=1)
    parts, y = [], 10
    for group, bars in groups.items():
        y += 26
        parts.append(f'<text x="10" y="{y}" font-weight="bold">{escape(group)}</text>')
        y += 10
        for name, length, is_ours in bars:
            width = length / greatest * (_WIDTH - _LEFT - 60)
            colour = "#0b7285" if is_ours else "#adb5bd"
            parts.append(f'<text x="{_LEFT - 8}" y="{y + 11}" text-anchor="end">{escape(name)}</text>')
            parts.append(f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_BAR}" fill="{colour}"/>')
            parts.append(f'<text x="{_LEFT + width + 6:.1f}" y="{y + 11}">{length:.3g}</text>')
            y += _ROW
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y + 10}" font-family="sans-serif" '
        f'font-size="12"><title>{escape(title)}</title>'
        '<rect width="100%" height="100%" fill="#ffffff"/>'
    )
    return "\n".join([head, *parts, "</svg>", ""])
