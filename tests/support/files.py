"""Paths and contents that no file may have, by the rule that they break."""

from graphql_api.kit.files import MAX_FILE_BYTES, MAX_PATH_LENGTH

BAD_PATHS = {
    "empty": "",
    "too long": "a" * (MAX_PATH_LENGTH + 1),
    "absolute": "/a.md",
    "parent": "../a.md",
    "parent within": "a/../b.md",
    "current": "./a.md",
    "current within": "a/./b.md",
    "empty segment": "a//b.md",
    "folder": "a/",
    "backslash": "a\\b.md",
    "NUL": "a\0.md",
    "line feed": "a\n.md",
    "escape": "a\x1b.md",
    "C1 control": "a\x85.md",
    "lone surrogate": "a\ud800.md",
    "not NFC": "cafe\u0301.md",
}

BAD_CONTENTS = {"NUL": "a\0b", "lone surrogate": "\udfff", "too large": "ü" * (MAX_FILE_BYTES // 2) + "x"}
