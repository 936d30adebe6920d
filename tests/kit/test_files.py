import hashlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphql_api.kit.files import (
    MAX_FILE_BYTES,
    FileChangeKind,
    FileEntry,
    FileType,
    InvalidFile,
    changed_digests,
    changes_between,
    checked_content,
    checked_path,
    diff,
    entry_of,
    lines_of,
    type_of,
)

NOW = datetime(2026, 1, 2, tzinfo=UTC)
CONTENTS = st.text(st.sampled_from("ab\n\r\u2028"), max_size=12)
SETS = st.dictionaries(st.sampled_from(["a.md", "b.json", "c/d.txt"]), CONTENTS)


def entries(files: dict[str, str]) -> dict[str, FileEntry]:
    return {path: entry_of(path, content, NOW) for path, content in files.items()}


class TestCheckedPath:
    @pytest.mark.parametrize(
        "path", ["a", "a.md", "a/b/c.md", ".hidden", "...", "..a", "a b", "é", "文件.md", "a" * 500]
    )
    def test_a_good_path_comes_back(self, path: str) -> None:
        assert checked_path(path) == path

    @pytest.mark.parametrize(
        ("path", "rule"),
        [
            ("", "1 to 500 characters"),
            ("a" * 501, "1 to 500 characters"),
            ("/a", "leading slash"),
            ("a\\b", "forward slashes"),
            ("a\nb", "control characters"),
            ("a\x00b", "control characters"),
            ("a\x7fb", "control characters"),
            ("a\x85b", "control characters"),
            ("a\ud800b", "control characters"),
            ("a//b", "segment"),
            ("a/", "segment"),
            (".", "segment"),
            ("./a", "segment"),
            ("a/../b", "segment"),
            ("..", "segment"),
            ("e\u0301", "NFC"),
        ],
    )
    def test_a_bad_one_is_refused_with_its_rule(self, path: str, rule: str) -> None:
        with pytest.raises(InvalidFile, match=rule):
            checked_path(path)


class TestCheckedContent:
    @pytest.mark.parametrize("content", ["", "a", "é" * (MAX_FILE_BYTES // 2), "\x01\r\n\t"])
    def test_a_good_content_comes_back(self, content: str) -> None:
        assert checked_content(content) == content

    @pytest.mark.parametrize(
        ("content", "rule"),
        [("a\x00", "NUL"), ("\ud800", "lone surrogate"), ("é" * (MAX_FILE_BYTES // 2) + "a", "has 1048577")],
        ids=["nul", "surrogate", "large"],
    )
    def test_a_bad_one_is_refused_with_its_rule(self, content: str, rule: str) -> None:
        with pytest.raises(InvalidFile, match=rule):
            checked_content(content)


class TestTypeOf:
    @pytest.mark.parametrize(
        ("path", "type_"),
        [
            ("a.md", FileType.MARKDOWN),
            ("a/B.MARKDOWN", FileType.MARKDOWN),
            ("a.json", FileType.JSON),
            ("a.yml", FileType.YAML),
            ("a.yaml", FileType.YAML),
            ("a.txt", FileType.TEXT),
            ("a.md/b", FileType.TEXT),
            (".md", FileType.TEXT),
            ("a", FileType.TEXT),
        ],
    )
    def test_the_ending_tells_it(self, path: str, type_: FileType) -> None:
        assert type_of(path) is type_


class TestEntryOf:
    def test_it_has_the_size_and_digest_of_the_bytes(self) -> None:
        digest = hashlib.sha256("é".encode()).hexdigest()
        assert entry_of("a.md", "é", NOW) == FileEntry("a.md", FileType.MARKDOWN, digest, 2, NOW)
        assert entry_of("a.md", "é", NOW, FileType.TEXT).type is FileType.TEXT


class TestChangesBetween:
    @given(SETS, SETS)
    def test_it_names_exactly_the_files_that_differ(self, before: dict[str, str], after: dict[str, str]) -> None:
        old, new = entries(before), entries(after)
        texts = {entry_of("", content, NOW).digest: content for content in [*before.values(), *after.values()]}
        contents = {digest: texts[digest] for digest in changed_digests(old, new)}
        changes = changes_between(old, new, contents)
        assert [change.path for change in changes] == sorted(
            path for path in before.keys() | after.keys() if before.get(path) != after.get(path)
        )
        for change in changes:
            was, is_ = lines_of(before.get(change.path)), lines_of(after.get(change.path))
            assert len(was) - change.deletions == len(is_) - change.additions >= 0
            assert (change.before, change.after) == (old.get(change.path), new.get(change.path))

    def test_lines_are_counted_as_in_a_diff(self) -> None:
        before = entries({"gone.md": "1\n2\n", "kept.md": "x", "some.md": "1\n2\n3\n"})
        after = entries({"new.md": "", "kept.md": "x", "some.md": "1\ntwo\n3\n4\n"})
        contents = {entry_of("", text, NOW).digest: text for text in ("1\n2\n", "", "1\n2\n3\n", "1\ntwo\n3\n4\n")}
        assert [(c.path, c.kind, c.additions, c.deletions) for c in changes_between(before, after, contents)] == [
            ("gone.md", FileChangeKind.DELETED, 0, 2),
            ("new.md", FileChangeKind.ADDED, 0, 0),
            ("some.md", FileChangeKind.MODIFIED, 2, 1),
        ]

    def test_a_new_type_is_a_change_without_lines(self) -> None:
        before, after = entry_of("a.md", "x", NOW), entry_of("a.md", "x", NOW, FileType.TEXT)
        (change,) = changes_between({"a.md": before}, {"a.md": after}, {before.digest: "x"})
        assert (change.kind, change.additions, change.deletions) == (FileChangeKind.MODIFIED, 0, 0)


class TestDiff:
    def test_it_is_a_unified_diff(self) -> None:
        assert diff("a/b.md", "1\n2\n3\n", "1\ntwo\n3\n") == (
            "--- a/a/b.md\n+++ b/a/b.md\n@@ -1,3 +1,3 @@\n 1\n-2\n+two\n 3\n"
        )

    def test_a_file_that_is_not_there_is_dev_null(self) -> None:
        assert diff("a", None, "1\n").startswith("--- /dev/null\n+++ b/a\n")
        assert diff("a", "1\n", None).startswith("--- a/a\n+++ /dev/null\n")

    def test_a_missing_last_line_feed_is_told(self) -> None:
        assert diff("a", "1", "1\n").endswith("-1\n\\ No newline at end of file\n+1\n")

    @given(CONTENTS)
    def test_equal_files_have_none(self, content: str) -> None:
        assert diff("a", content, content) == ""


class TestLinesOf:
    @given(st.text())
    def test_lines_are_the_text_and_end_with_a_line_feed(self, content: str) -> None:
        lines = lines_of(content)
        assert "".join(lines) == content
        assert all(line.count("\n") == 1 and line.endswith("\n") for line in lines[:-1])

    def test_only_a_line_feed_ends_one(self) -> None:
        assert lines_of("a\rb\u2028c\x0cd\ne") == ["a\rb\u2028c\x0cd\n", "e"]
        assert lines_of(None) == lines_of("") == []
