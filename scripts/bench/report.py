"""What was measured, as a table and a picture."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"

_NAMES = {
    "product": "this product",
    "product-asgi": "this product, plain ASGI sends",
    "strawberry": "Strawberry",
    "relay": "Starlette, no GraphQL",
    "graphql-ws": "graphql-ws, graphql-js (Node)",
    "yoga": "GraphQL Yoga (Node)",
}
_BAR, _ROW, _LEFT, _WIDTH = 14, 18, 260, 860


@dataclass(frozen=True, slots=True)
class Result:
    """One case of one server.

    Attributes:
        case: What was measured.
        unit: Of the figure.
        peer: Name of the server.
        figure: Median of all rounds.
        ratios: How many times as good as Strawberry, in each round, in order.
    """

    case: str
    unit: str
    peer: str
    figure: float
    ratios: tuple[float, ...]

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
        lines += [f"| {case} | times as good as Strawberry (lowest to highest) | {of_case[0].unit} |", "|---|---|---|"]
        lines += [f"| {_NAMES[each.peer]} | {_ratio(each)} | {_figure(each.figure)} |" for each in of_case]
        lines.append("")
    return lines[:-1]


def _ratio(result: Result) -> str:
    if result.ratio is None:
        return "not measured"
    return f"**{result.ratio:.1f}** ({result.ratios[0]:.1f} to {result.ratios[-1]:.1f})"


def _figure(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.1f}" if figure >= 1 else f"{figure:.2f}"  # noqa: PLR2004 - digits that say something


def _picture(results: Sequence[Result]) -> str:
    """Draw the ratios of the rates as bars."""
    shown = [result for result in results if result.unit == "events/s" and result.ratio]
    greatest = max((result.ratio or 0 for result in shown), default=1)
    parts, y, case = [], 10, ""
    for result in shown:
        if result.case != case:
            case = result.case
            y += 26
            parts.append(f'<text x="10" y="{y}" font-weight="bold">{case}</text>')
            y += 10
        ratio = result.ratio or 0
        width = ratio / greatest * (_WIDTH - _LEFT - 60)
        colour = "#0b7285" if result.peer.startswith("product") else "#adb5bd"
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 11}" text-anchor="end">{_NAMES[result.peer]}</text>')
        parts.append(f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_BAR}" fill="{colour}"/>')
        parts.append(f'<text x="{_LEFT + width + 6:.1f}" y="{y + 11}">{ratio:.1f}</text>')
        y += _ROW
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y + 10}" font-family="sans-serif" '
        'font-size="12"><title>Deliveries a second, as a multiple of Strawberry</title>'
        '<rect width="100%" height="100%" fill="#ffffff"/>'
    )
    return "\n".join([head, *parts, "</svg>", ""])
