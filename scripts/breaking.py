#!/usr/bin/env python3
"""Compare the schema with the last release's: fails when clients of that one could break.

The last release is the newest tag `v…` that the current commit descends from. Without one, nothing can break.
What has been @deprecated for two minor releases may go: remove it from the old side with `--gone Type.field`.

Usage: .venv/bin/python scripts/breaking.py [--gone Type.field …]
"""

import argparse
import subprocess
import sys
from pathlib import Path

from graphql import build_schema
from graphql.utilities import find_breaking_changes

ROOT = Path(__file__).resolve().parent.parent
SCHEMA = "schema.graphql"


def git(*arguments: str) -> str | None:
    """Ask git; None when it has no answer."""
    answer = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return answer.stdout if answer.returncode == 0 else None


def breaking_changes(old: str, new: str, gone: frozenset[str] = frozenset()) -> list[str]:
    """List what could break clients of the old schema, but for what is expected to be gone."""
    changes = find_breaking_changes(build_schema(old), build_schema(new))
    return [change.description for change in changes if not any(name in change.description for name in gone)]


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
    found = breaking_changes(old, (ROOT / SCHEMA).read_text(encoding="utf-8"), frozenset(options.gone))
    for description in found:
        print(f"Breaks clients of {tag}: {description}")
    if not found:
        print(f"Nothing breaks clients of {tag}.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
