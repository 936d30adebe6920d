import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphql_api.authoring.merging import (
    Conflict,
    ConflictSide,
    Merge,
    MergedFile,
    MergeStatus,
    Resolution,
    digest_of_sides,
    merge,
    needed_digests,
)
from graphql_api.kit.errors import Invalid
from graphql_api.kit.files import MAX_FILE_BYTES, FileEntry, FileType, digest_of, entry_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MARKERS = ("<<<<<<<", "|||||||", "=======", ">>>>>>>")

Texts = Mapping[str, str]
TEXT_SETS = st.dictionaries(
    st.sampled_from(["a.md", "b.json", "c/d.txt"]),
    st.lists(st.sampled_from(["1\n", "2\n", "3\n", "4"]), max_size=5).map("".join),
)


def entries(texts: Texts) -> dict[str, FileEntry]:
    return {path: entry_of(path, text, NOW) for path, text in texts.items()}


def only_needed(*sides: Texts) -> dict[str, str]:
    base, ours, theirs = (entries(side) for side in sides)
    needed = needed_digests(base, ours, theirs)
    return {digest_of(text): text for side in sides for text in side.values() if digest_of(text) in needed}


def merged(
    base: Texts,
    ours: Texts,
    theirs: Texts,
    *,
    resolutions: tuple[Resolution, ...] = (),
    paths: list[str] | None = None,
) -> Merge:
    contents = only_needed(base, ours, theirs)
    return merge(entries(base), entries(ours), entries(theirs), contents, resolutions=resolutions, paths=paths)


def texts_of(result: Merge, *sides: Texts) -> dict[str, str]:
    known = {digest_of(text): text for side in sides for text in side.values()}
    texts = {}
    for path, file in result.files.items():
        assert path == file.path
        if file.entry is None:
            assert file.content is not None
            texts[path] = file.content
        else:
            assert file.content is None
            assert (file.entry.path, file.entry.type) == (path, file.type)
            texts[path] = known[file.entry.digest]
    return texts


class TestMerge:
    def test_a_draft_that_did_not_move_takes_the_proposal_as_it_is(self) -> None:
        base = {"kept": "k", "changed": "1", "gone": "g"}
        theirs = {"kept": "k", "changed": "2", "new": "n"}
        result = merged(base, base, theirs)
        assert result.status is MergeStatus.FAST_FORWARD
        assert texts_of(result, theirs) == theirs
        assert result.conflicts == []

    def test_changes_to_different_files_go_together(self) -> None:
        base = {"a": "1", "b": "1", "c": "1", "d": "1"}
        ours = {"a": "2", "b": "1", "c": "1", "mine": "m"}
        theirs = {"a": "1", "b": "2", "d": "1", "yours": "y"}
        result = merged(base, ours, theirs)
        assert result.status is MergeStatus.CLEAN
        assert texts_of(result, ours, theirs) == {"a": "2", "b": "2", "mine": "m", "yours": "y"}

    def test_changes_to_different_lines_go_together(self) -> None:
        result = merged({"a.md": "1\n2\n3\n"}, {"a.md": "one\n2\n3\n"}, {"a.md": "1\n2\nthree\n"})
        assert result.status is MergeStatus.CLEAN
        assert result.files == {"a.md": MergedFile("a.md", FileType.MARKDOWN, "one\n2\nthree\n", None)}

    def test_changes_to_the_same_lines_are_a_conflict_and_the_draft_stands(self) -> None:
        base, ours, theirs = {"a": "1\n"}, {"a": "one\n"}, {"a": "eins\n"}
        result = merged(base, ours, theirs)
        assert result.status is MergeStatus.CONFLICTED
        assert texts_of(result, ours) == ours
        assert result.conflicts == [
            Conflict(
                "a",
                entries(base)["a"],
                entries(ours)["a"],
                entries(theirs)["a"],
                "<<<<<<< draft\none\n||||||| base\n1\n=======\neins\n>>>>>>> proposal\n",
            )
        ]

    def test_conflicts_and_files_are_in_the_order_of_their_paths(self) -> None:
        base = {"b": "1", "a": "1", "c": "1"}
        result = merged(base, {"c": "2", "b": "2", "a": "2"}, {"b": "3", "c": "3", "a": "3"})
        assert [conflict.path for conflict in result.conflicts] == ["a", "b", "c"]
        assert list(result.files) == ["a", "b", "c"]

    @pytest.mark.parametrize(("ours", "theirs"), [({}, {"a": "2"}), ({"a": "2"}, {})])
    def test_deleting_what_the_other_side_changed_is_a_conflict(self, ours: Texts, theirs: Texts) -> None:
        result = merged({"a": "1"}, ours, theirs)
        assert result.status is MergeStatus.CONFLICTED
        assert [(conflict.path, conflict.merged) for conflict in result.conflicts] == [("a", None)]
        assert texts_of(result, ours) == ours

    @pytest.mark.parametrize(
        ("base", "both"), [({"a": "1"}, {}), ({"a": "1"}, {"a": "2"}), ({}, {"a": "1"})], ids=["gone", "changed", "new"]
    )
    def test_the_same_change_on_both_sides_is_no_conflict(self, base: Texts, both: Texts) -> None:
        result = merged(base, both, both)
        assert result.status is MergeStatus.CLEAN
        assert texts_of(result, both) == both

    def test_adding_different_files_to_one_path_is_a_conflict(self) -> None:
        result = merged({}, {"a": "1\n"}, {"a": "2\n"})
        assert [(conflict.base, conflict.merged) for conflict in result.conflicts] == [
            (None, "<<<<<<< draft\n1\n||||||| base\n=======\n2\n>>>>>>> proposal\n")
        ]

    def test_a_merged_text_that_no_file_may_have_is_a_conflict(self) -> None:
        middle, much = "middle\n", "x" * (MAX_FILE_BYTES * 2 // 3) + "\n"
        result = merged({"a": middle}, {"a": much + middle}, {"a": middle + much})
        assert [conflict.merged for conflict in result.conflicts] == [much + middle + much]

    @given(TEXT_SETS, TEXT_SETS)
    def test_an_unchanged_side_gives_the_other(self, base: Texts, changed: Texts) -> None:
        assert texts_of(merged(base, base, changed), base, changed) == changed
        assert texts_of(merged(base, changed, base), base, changed) == changed

    @given(TEXT_SETS, TEXT_SETS, TEXT_SETS)
    def test_sides_are_equals(self, base: Texts, ours: Texts, theirs: Texts) -> None:
        result, mirrored = merged(base, ours, theirs), merged(base, theirs, ours)
        assert [conflict.path for conflict in result.conflicts] == [conflict.path for conflict in mirrored.conflicts]
        if not result.conflicts:
            sides = (base, ours, theirs)
            assert texts_of(result, *sides) == texts_of(mirrored, *sides)

    @given(TEXT_SETS, TEXT_SETS, TEXT_SETS, st.sampled_from(ConflictSide))
    def test_a_merge_whose_conflicts_are_resolved_is_clean(
        self, base: Texts, ours: Texts, theirs: Texts, side: ConflictSide
    ) -> None:
        conflicts = merged(base, ours, theirs).conflicts
        resolutions = tuple(Resolution(conflict.path, side) for conflict in conflicts)
        result = merged(base, ours, theirs, resolutions=resolutions)
        texts = texts_of(result, base, ours, theirs)
        assert result.status is not MergeStatus.CONFLICTED
        assert not any(marker in text for text in texts.values() for marker in MARKERS)
        chosen = ours if side is ConflictSide.OURS else theirs
        assert all(texts.get(conflict.path) == chosen.get(conflict.path) for conflict in conflicts)


class TestTypes:
    @staticmethod
    def merged_type(base: FileType | None, ours: FileType, theirs: FileType, *, same_text: bool) -> MergedFile:
        texts = ["1\n2\n3\n", "1\n2\n3\nours\n", "theirs\n1\n2\n3\n"]
        if same_text:
            texts[1] = texts[2] = texts[0]
        sides = [
            {} if type_ is None else {"a": entry_of("a", text, NOW, type_)}
            for type_, text in zip((base, ours, theirs), texts, strict=True)
        ]
        result = merge(sides[0], sides[1], sides[2], {digest_of(text): text for text in texts})
        assert result.conflicts == []
        return result.files["a"]

    @pytest.mark.parametrize("same_text", [True, False])
    @pytest.mark.parametrize(
        ("ours", "theirs", "expected"),
        [
            (FileType.YAML, FileType.TEXT, FileType.YAML),
            (FileType.TEXT, FileType.YAML, FileType.YAML),
            (FileType.YAML, FileType.MARKDOWN, FileType.YAML),
        ],
        ids=["ours changed it", "theirs changed it", "both did, and the draft wins"],
    )
    def test_the_side_that_changed_the_type_wins(
        self, ours: FileType, theirs: FileType, expected: FileType, *, same_text: bool
    ) -> None:
        file = self.merged_type(FileType.TEXT, ours, theirs, same_text=same_text)
        assert file.type is expected
        assert (file.content is None) == same_text

    def test_the_type_of_the_draft_wins_for_a_file_that_both_added(self) -> None:
        assert self.merged_type(None, FileType.YAML, FileType.TEXT, same_text=True).type is FileType.YAML

    def test_a_type_and_a_text_that_different_sides_changed_go_together(self) -> None:
        base = entry_of("a", "1", NOW)
        retyped, rewritten = replace(base, type=FileType.YAML), entry_of("a", "2", NOW)
        expected = MergedFile("a", FileType.YAML, None, replace(rewritten, type=FileType.YAML))
        assert merge({"a": base}, {"a": retyped}, {"a": rewritten}, {}).files == {"a": expected}
        assert merge({"a": base}, {"a": rewritten}, {"a": retyped}, {}).files == {"a": expected}


class TestJson:
    BASE = '{\n"a": 1,\n"b": 2,\n"c": 3\n}'

    def outcome(self, ours: str, theirs: str, base: str = BASE) -> tuple[MergeStatus, str | None]:
        result = merged({"a.json": base}, {"a.json": ours}, {"a.json": theirs})
        text = result.conflicts[0].merged if result.conflicts else result.files["a.json"].content
        return result.status, text

    def test_json_that_merges_as_text_and_is_json_is_clean(self) -> None:
        status, text = self.outcome(self.BASE.replace("1", "10"), self.BASE.replace("3", "30"))
        assert status is MergeStatus.CLEAN
        assert json.loads(text or "") == {"a": 10, "b": 2, "c": 30}

    def test_json_that_merges_as_text_and_breaks_is_a_conflict(self) -> None:
        assert self.outcome("[\n1\n\n]", "[\n\n2\n]", base="[\n\n]") == (MergeStatus.CONFLICTED, "[\n1\n\n2\n]")

    def test_a_file_that_is_not_json_may_merge_to_anything(self) -> None:
        result = merged({"a.md": "[\n\n]"}, {"a.md": "[\n1\n\n]"}, {"a.md": "[\n\n2\n]"})
        assert result.files["a.md"].content == "[\n1\n\n2\n]"

    def test_a_name_that_both_sides_add_in_different_places_is_a_conflict(self) -> None:
        ours = self.BASE.replace("{\n", '{\n"x": 1,\n')
        theirs = self.BASE.replace('"c": 3\n', '"c": 3,\n"x": 2\n')
        assert self.outcome(ours, theirs) == (
            MergeStatus.CONFLICTED,
            '{\n"x": 1,\n"a": 1,\n"b": 2,\n"c": 3,\n"x": 2\n}',
        )

    def test_what_was_broken_before_may_stay_so(self) -> None:
        base = self.BASE + "!"
        ours, theirs = base.replace("1", "10"), base.replace("3", "30")
        assert self.outcome(ours, theirs, base) == (MergeStatus.CLEAN, base.replace("1", "10").replace("3", "30"))


class TestPaths:
    BASE: ClassVar[Texts] = {"a": "1", "b": "1", "c": "1"}
    THEIRS: ClassVar[Texts] = {"a": "2", "b": "2", "d": "2"}

    def test_only_the_named_files_are_taken(self) -> None:
        result = merged(self.BASE, self.BASE, self.THEIRS, paths=["b", "d"])
        assert texts_of(result, self.BASE, self.THEIRS) == {"a": "1", "b": "2", "c": "1", "d": "2"}

    def test_no_file_may_be_taken(self) -> None:
        assert texts_of(merged(self.BASE, self.BASE, self.THEIRS, paths=[]), self.BASE) == self.BASE

    def test_a_deletion_may_be_taken(self) -> None:
        result = merged(self.BASE, self.BASE, self.THEIRS, paths=["c"])
        assert texts_of(result, self.BASE) == {"a": "1", "b": "1"}

    def test_a_conflict_in_a_file_that_is_not_taken_is_none(self) -> None:
        assert merged(self.BASE, {**self.BASE, "a": "3"}, self.THEIRS, paths=["b"]).conflicts == []

    def test_a_file_that_the_proposal_did_not_change_is_refused(self) -> None:
        with pytest.raises(Invalid) as caught:
            merged(self.BASE, {**self.BASE, "e": "1"}, self.THEIRS, paths=["a", "e"])
        assert caught.value.path == ["input", "paths", "1"]
        assert caught.value.message == 'The proposal does not change "e". It changes "a", "b", "c", "d".'

    def test_a_message_names_a_few_files_only(self) -> None:
        with pytest.raises(Invalid, match=r'"09" and 2 more\.$'):
            merged({}, {}, {f"{index:02}": "1" for index in range(12)}, paths=["x"])


class TestResolutions:
    BASE: ClassVar[Texts] = {"a": "1", "b": "1", "c": "1", "d": "1"}
    OURS: ClassVar[Texts] = {"a": "2", "b": "2", "d": "2"}
    THEIRS: ClassVar[Texts] = {"a": "3", "c": "3", "d": "1"}

    def resolved(self, *resolutions: Resolution, paths: list[str] | None = None) -> Merge:
        return merged(self.BASE, self.OURS, self.THEIRS, resolutions=resolutions, paths=paths)

    def refusal(self, *resolutions: Resolution, paths: list[str] | None = None) -> tuple[list[str] | None, str]:
        with pytest.raises(Invalid) as caught:
            self.resolved(*resolutions, paths=paths)
        return caught.value.path, caught.value.message

    def test_a_side_may_be_taken(self) -> None:
        result = self.resolved(Resolution("a", ConflictSide.THEIRS), Resolution("b", ConflictSide.OURS))
        assert texts_of(result, self.OURS, self.THEIRS) == {"a": "3", "b": "2", "d": "2"}
        assert [conflict.path for conflict in result.conflicts] == ["c"]
        assert result.status is MergeStatus.CONFLICTED

    def test_the_side_that_deleted_may_be_taken(self) -> None:
        result = self.resolved(
            Resolution("a", ConflictSide.OURS),
            Resolution("b", ConflictSide.THEIRS),
            Resolution("c", ConflictSide.OURS),
        )
        assert texts_of(result, self.OURS) == {"a": "2", "d": "2"}
        assert result.status is MergeStatus.CLEAN

    def test_a_file_that_the_draft_deleted_may_come_back(self) -> None:
        assert "c" in self.resolved(Resolution("c", ConflictSide.THEIRS)).files

    def test_a_text_may_be_given(self) -> None:
        result = self.resolved(Resolution("a", content="both"), Resolution("c", content=""))
        assert result.files["a"] == MergedFile("a", FileType.TEXT, "both", None)
        assert result.files["c"] == MergedFile("c", FileType.TEXT, "", None)

    def test_a_file_without_conflict_is_refused(self) -> None:
        assert self.refusal(Resolution("a", ConflictSide.OURS), Resolution("d", ConflictSide.OURS)) == (
            ["input", "resolutions", "1", "path"],
            '"d" is not in conflict. In conflict: "a", "b", "c".',
        )

    def test_a_file_that_is_not_taken_is_refused(self) -> None:
        assert self.refusal(Resolution("a", ConflictSide.OURS), paths=[])[1] == (
            '"a" is not in conflict. In conflict: nothing.'
        )

    def test_two_for_one_file_are_refused(self) -> None:
        assert self.refusal(Resolution("a", ConflictSide.OURS), Resolution("a", ConflictSide.OURS)) == (
            ["input", "resolutions", "1", "path"],
            '"a" is resolved twice: keep one of the two.',
        )

    @pytest.mark.parametrize("resolution", [Resolution("a"), Resolution("a", ConflictSide.OURS, "")])
    def test_neither_or_both_of_side_and_content_are_refused(self, resolution: Resolution) -> None:
        assert self.refusal(resolution) == (
            ["input", "resolutions", "0"],
            "A resolution has either a side or a content.",
        )

    def test_a_text_that_no_file_may_have_is_refused(self) -> None:
        assert self.refusal(Resolution("a", content="\x00")) == (
            ["input", "resolutions", "0", "content"],
            '"a": A file has no NUL character.',
        )


class TestNeededDigests:
    @given(TEXT_SETS, TEXT_SETS, TEXT_SETS)
    def test_they_are_enough(self, base: Texts, ours: Texts, theirs: Texts) -> None:
        contents = only_needed(base, ours, theirs)
        everything = {digest_of(text): text for side in (base, ours, theirs) for text in side.values()}
        sides = entries(base), entries(ours), entries(theirs)
        assert merge(*sides, contents) == merge(*sides, everything)

    def test_they_are_those_of_texts_that_both_sides_changed(self) -> None:
        base = {"both": "1", "ours": "2", "theirs": "3", "neither": "4", "gone": "5", "alike": "6"}
        ours = {**base, "both": "1o", "ours": "2o", "added": "7o", "alike": "6x"}
        theirs = {**base, "both": "1t", "theirs": "3t", "added": "7t", "alike": "6x"}
        del ours["gone"]
        theirs["gone"] = "5t"
        sides = entries(base), entries(ours), entries(theirs)
        assert needed_digests(*sides) == {digest_of(text) for text in ("1", "1o", "1t", "7o", "7t")}
        assert needed_digests(*sides, ["added", "ours"]) == {digest_of(text) for text in ("7o", "7t")}


class TestDigest:
    BASE: ClassVar[Texts] = {"a": "1", "b": "1"}
    OURS: ClassVar[Texts] = {"a": "2", "b": "1"}
    THEIRS: ClassVar[Texts] = {"a": "3", "b": "2"}

    def test_it_does_not_depend_on_resolutions_or_paths(self) -> None:
        preview = merged(self.BASE, self.OURS, self.THEIRS)
        resolved = merged(self.BASE, self.OURS, self.THEIRS, resolutions=(Resolution("a", content="x"),), paths=["a"])
        assert resolved.digest == preview.digest

    def test_it_does_not_depend_on_times_or_the_order_of_files(self) -> None:
        later = {
            path: replace(entry, updated_at=datetime(2027, 1, 1, tzinfo=UTC))
            for path, entry in entries(self.OURS).items()
        }
        sides = entries(self.BASE), dict(reversed(later.items())), entries(self.THEIRS)
        assert digest_of_sides(*sides) == merged(self.BASE, self.OURS, self.THEIRS).digest

    @given(TEXT_SETS, TEXT_SETS)
    def test_it_is_the_same_exactly_when_the_draft_is(self, ours: Texts, later: Texts) -> None:
        before, after = merged({}, ours, {"a.md": "x"}), merged({}, later, {"a.md": "x"})
        assert (before.digest == after.digest) == (ours == later)

    def test_a_file_on_another_side_makes_another_digest(self) -> None:
        one = entries({"a": "1"})
        digests = {digest_of_sides(one, {}, {}), digest_of_sides({}, one, {}), digest_of_sides({}, {}, one)}
        assert len(digests) == 3

    def test_another_type_makes_another_digest(self) -> None:
        entry = entry_of("a", "1", NOW)
        retyped = {"a": replace(entry, type=FileType.YAML)}
        assert digest_of_sides({}, {"a": entry}, {}) != digest_of_sides({}, retyped, {})
