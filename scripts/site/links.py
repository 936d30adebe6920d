"""Links and inclusions of pages that are read in the repository as well as on the site."""

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

DOCS = "docs"

_FENCE = re.compile(r"^( *)(`{3,}|~{3,})")
_LINK = re.compile(r"(!?)(\[(?:[^\[\]]|\[[^\]]*\])*\])\(([^)\s]+)((?:\s+\"[^\"]*\")?)\)")
_INCLUSION = re.compile(r'\[[^\]]*\]\(([^)#\s]*)(?:#(\S+?))? "include"\)')
_HEADING = re.compile(r"^(#{1,6}) +(.+?)\s*$")
_OUTSIDE = re.compile(r"[a-z]+:|#|//")
_PAGES_OF_FILES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "reporting.md",
    "schema.graphql": "reference/index.md",
    "scripts/README.md": "scripts.md",
}
"""Where the site has files that stand outside its folder."""
_PAGES_OF_SECTIONS = {"README.md#configuration": "configuration.md", "README.md#the-journey": "quick-start.md"}


class BrokenLinkError(ValueError):
    """A page leads to what is not there."""


class Links:
    """Leads the links of pages to where the site has what they mean.

    Args:
        root: The repository.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def rendered(self, page: str, markdown: str) -> str:
        """Give a page with what it includes, and links that work on the site.

        Args:
            page: Path of the page below `docs`.
            markdown: Its text.

        Raises:
            BrokenLinkError: When a file or a heading is not there.
        """
        source = f"{DOCS}/{page}"
        return outside_code(markdown, lambda line: self._line(source, page, line))

    def sources(self, pages: Iterable[str]) -> Iterator[str]:
        """Name the files of the repository that pages lead to and that are no pages: code and configuration.

        Args:
            pages: Paths below `docs`.
        """
        seen = set()
        included = (path for path in _PAGES_OF_FILES if path.endswith(".md"))
        for source in [*(f"{DOCS}/{page}" for page in pages), *included]:
            for found in _LINK.finditer((self._root / source).read_text(encoding="utf-8")):
                if _OUTSIDE.match(found[3]):
                    continue
                path = posixpath.normpath(posixpath.join(posixpath.dirname(source), found[3].partition("#")[0]))
                if path not in seen and is_source(path) and (self._root / path).is_file():
                    seen.add(path)
                    yield path

    def _line(self, source: str, page: str, line: str) -> str:
        if found := _INCLUSION.fullmatch(line.strip()):
            path = posixpath.normpath(posixpath.join(posixpath.dirname(source), found[1]))
            return outside_code(self._section(path, found[2]), lambda it: self._line(path, page, it))

        def lead(found: re.Match[str]) -> str:
            target = self._target(source, page, found[3])
            return f"{found[1]}{found[2]}({target}{found[4]})" if target else found[2][1:-1]

        return _LINK.sub(lead, line)

    def _section(self, path: str, anchor: str | None) -> str:
        """Read a file from its first heading on, or what stands below one heading; without the heading itself."""
        file = self._root / path
        if not file.is_file():
            raise BrokenLinkError(f"{path} is not there, so nothing of it can be included.")
        lines, level, kept = file.read_text(encoding="utf-8").splitlines(), 0, []
        for line in lines:
            heading = _HEADING.match(line)
            if level and heading and anchor and len(heading[1]) <= level:
                break
            if level:
                kept.append(line)
            elif heading and (anchor is None or slug(heading[2]) == anchor):
                level = len(heading[1])
        if not level:
            raise BrokenLinkError(f"{path} has no heading {anchor}.")
        return "\n".join(kept)

    def _target(self, source: str, page: str, link: str) -> str | None:
        """Find where a link leads on the site; None where the site has nothing of it."""
        if _OUTSIDE.match(link):
            return link
        file, _, anchor = link.partition("#")
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), file))
        if not (self._root / path).exists():
            raise BrokenLinkError(f"{source} leads to {link}, which is not there.")
        if section := _PAGES_OF_SECTIONS.get(f"{path}#{anchor}"):
            target, anchor = section, ""
        else:
            target = _PAGES_OF_FILES.get(path) or self._page_of(path)
        if target is None:
            return None
        return posixpath.relpath(target, posixpath.dirname(page) or ".") + (f"#{anchor}" if anchor else "")

    def _page_of(self, path: str) -> str | None:
        """Find the page, or the picture, that a file or a folder of the repository is on the site."""
        if (self._root / path).is_dir():
            readme = f"{path}/README.md"
            return self._page_of(readme) if (self._root / readme).is_file() else None
        if path.startswith(f"{DOCS}/") and not is_source(path):
            return path.removeprefix(f"{DOCS}/")
        return source_page(path)


def outside_code(markdown: str, change: Callable[[str], str]) -> str:
    """Change the lines of a text that are not in blocks of code."""
    lines, fence = [], ""
    for line in markdown.splitlines():
        mark = _FENCE.match(line)
        if mark and not fence:
            fence = mark[2]
        elif mark and line.strip().startswith(fence):
            fence = ""
        lines.append(line if fence or mark else change(line))
    return "\n".join(lines)


def is_source(path: str) -> bool:
    """Tell whether a file is shown as code on a page that is made for it."""
    return ("." in posixpath.basename(path) and not path.endswith((".md", ".png", ".svg"))) or path == "Dockerfile"


def source_page(path: str) -> str:
    """Name the page that shows a file of the repository."""
    return f"source/{path}.md"


def slug(heading: str) -> str:
    """Make the anchor of a heading, as GitHub and Markdown do."""
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower())
