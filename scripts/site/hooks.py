"""What MkDocs calls while it builds the site: adds the reference and pages of code, and leads links to them."""

import itertools
import posixpath
import re
from functools import cache
from pathlib import Path

from graphql import build_schema
from links import Links, is_source, outside_code, source_page
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page
from reference import Reference

ERRORS = "errors.md"
_ROOT = Path(__file__).resolve().parents[2]
_ROW = re.compile(r"^\| `([A-Z_]+)`(?:<br>`(\w+)`)? \|.*\| ([^|]+) \|$", re.MULTILINE)
_TABLE = re.compile(r"<table>.*?</table>", re.DOTALL)
_LANGUAGES = {"Dockerfile": "dockerfile", "mts": "ts", "conf": "nginx", "yml": "yaml"}
_links = Links(_ROOT)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put every decision into the navigation, so that a new one needs no line there."""
    decisions = sorted(path.name for path in (_ROOT / "docs" / "decisions").glob("*.md"))
    for entry in config.nav or []:
        if isinstance(entry, dict) and "Decisions" in entry:
            entry["Decisions"] = [f"decisions/{name}" for name in decisions]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the reference, and a page for each file of code that something leads to."""
    pages = [file.src_uri for file in files.documentation_pages()]
    reference.cache_clear()  # `serve` comes here again after a change
    for name, text in reference().pages().items():
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    for path in _links.sources(pages):
        page = File.generated(config, source_page(path), content=code_page(path))
        page.inclusion = InclusionLevel.NOT_IN_NAV
        files.append(page)
    for file in [it for it in files if it.generated_by is None and is_source(it.src_uri)]:
        if not file.src_uri.startswith("assets/"):
            files.remove(file)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 - MkDocs names them
    """Give a page its inclusions, and links that work here."""
    path = page.file.src_uri
    if path.startswith(("source/", "reference/")):
        return markdown
    text = _links.rendered(path, markdown)
    if path == ERRORS:
        text = with_anchors(text)
    base = posixpath.relpath("reference", posixpath.dirname(path) or ".") + "/"
    return outside_code(text, lambda line: reference().linked(line, base))


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 - MkDocs names them
    """Write the heading of its column into each cell of a table: a narrow window shows rows as cards."""

    def labelled(table: re.Match[str]) -> str:
        headings = [re.sub(r"<[^>]+>", "", it) for it in re.findall(r"<th[^>]*>(.*?)</th>", table[0])]
        cells = itertools.cycle(f'<td data-label="{heading}"' if heading else "<td" for heading in headings)
        return re.sub("<td", lambda _: next(cells), table[0])

    return _TABLE.sub(labelled, html)


@cache
def reference() -> Reference:
    """Read the schema, and what the table of errors says."""
    schema = build_schema((_ROOT / "schema.graphql").read_text(encoding="utf-8"))
    return Reference(schema, advice((_ROOT / "docs" / ERRORS).read_text(encoding="utf-8")))


def advice(errors: str) -> dict[str, str]:
    """Read what to do about errors from their tables.

    Args:
        errors: The page: rows with a code, the type where mutations give one, and what to do in the last column.

    Returns:
        What to do, by type and by code; a code that comes in payloads and elsewhere has what to do elsewhere.
    """
    told: dict[str, str] = {}
    for code, type_, what in _ROW.findall(errors):
        told[type_ or code] = what
    return told


def with_anchors(errors: str) -> str:
    """Give the first row of each code an anchor."""
    seen: set[str] = set()

    def anchored(row: re.Match[str]) -> str:
        code, type_, text = row[1], row[2], row[0]
        if type_:
            text = text.replace(f"`{type_}`", f"[`{type_}`](reference/error-types.md#{type_})", 1)
        if code in seen:
            return text
        seen.add(code)
        return text.replace(f"`{code}`", f"[`{code}`](#{code}){{ #{code} .field }}", 1)

    return _ROW.sub(anchored, errors)


def code_page(path: str) -> str:
    """Show a file of the repository."""
    name = path.rpartition("/")[2]
    ending = name.rpartition(".")[2]
    return "\n".join(
        [
            *("---", "search: { exclude: true }", "---", ""),
            *(f"# {name}", "", f"`{path}` of the repository.", ""),
            f"~~~~{_LANGUAGES.get(ending, ending)}",
            (_ROOT / path).read_text(encoding="utf-8").rstrip(),
            *("~~~~", ""),
        ]
    )
