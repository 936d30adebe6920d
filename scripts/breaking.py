#!/usr/bin/env python3
"""Compare the schema with the last release's: fails when clients of that one could break.

The last release is the newest tag `v…` that the current commit descends from. Without one, nothing can break.
What has been @deprecated in the last two minor releases may go: remove it from the old side with `--gone Type.field`.

Usage: .venv/bin/python scripts/breaking.py [--gone Type.field …]
"""

import argparse
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from graphql import build_schema
from graphql.utilities import find_breaking_changes

ROOT = Path(__file__).resolve().parent.parent
SCHEMA = "schema.graphql"
NOTICE = 2
"""Minor releases that say @deprecated before something may go."""


def git(*arguments: str) -> str | None:
    """Ask git; None when it has no answer."""
    answer = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return answer.stdout if answer.returncode == 0 else None


def breaking_changes(old: str, new: str, gone: frozenset[str] = frozenset()) -> list[str]:
    """List what could break clients of the old schema, but for what is expected to be gone."""
    changes = find_breaking_changes(build_schema(old), build_schema(new))
    return [change.description for change in changes if not any(name in change.description for name in gone)]


def is_deprecated(schema: str, name: str) -> bool:
    """Tell whether a field or value, such as `Type.field`, was announced to go; one that was not there was."""
    type_name, _, member = name.partition(".")
    type_ = build_schema(schema).type_map.get(type_name)
    members = getattr(type_, "fields", None) or getattr(type_, "values", None) or {}
    return member not in members or members[member].deprecation_reason is not None


def minor_releases() -> list[str]:
    """Name the newest tag of each minor release that the current commit descends from, the last release first."""
    tags = (git("tag", "--merged", "HEAD", "--list", "v*.*.*", "--sort=-version:refname") or "").split()
    newest = {tag.rpartition(".")[0]: tag for tag in reversed(tags)}
    return list(reversed(newest.values()))


def too_early(gone: Iterable[str]) -> list[str]:
    """Pick what has not been deprecated in two minor releases, and so may not go yet."""
    schemas = [git("show", f"{tag}:{SCHEMA}") or "" for tag in minor_releases()[:NOTICE]]
    return [
        name for name in gone if len(schemas) < NOTICE or not all(is_deprecated(schema, name) for schema in schemas)
    ]


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gone", action="append", default=[], metavar="Type.field")
    options = parser.parse_args()
    tag = (git("describe", "--tags", "--abbrev=0", "--match", "v*") or "").strip()
    old = git("show", f"{tag}:{SCHEMA}") if tag else None
    if old is None:
        print("There is no release to compare with yet.")
        return 0
    early = too_early(options.gone)
    for name in early:
        print(f"{name} has not been @deprecated in two minor releases.")
    found = breaking_changes(old, (ROOT / SCHEMA).read_text(encoding="utf-8"), frozenset(options.gone))
    for description in found:
        print(f"Breaks clients of {tag}: {description}")
    if not found:
        print(f"Nothing breaks clients of {tag}.")
    return 1 if found or early else 0


if __name__ == "__main__":
    sys.exit(main())
