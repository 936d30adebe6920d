from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from support.executions import Engine
from support.texts import store

from graphql_api.events.log import AppendRefused
from graphql_api.events.records import NewEvent
from graphql_api.kit.files import MAX_FILE_BYTES, MAX_FILES, FileChangeKind, FileEntry, FileType, digest_of, entry_of
from graphql_api.runtimes import executions, snapshots
from graphql_api.runtimes.protocol import FilesSnapshot
from graphql_api.runtimes.snapshots import FilesRead, Written

pytestmark = pytest.mark.anyio

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def entries(**texts: str) -> dict[str, FileEntry]:
    return {f"{name}.md": entry_of(f"{name}.md", text, LONG_AGO) for name, text in texts.items()}


async def read(
    engine: Engine, before: dict[str, FileEntry], files: Mapping[str, str | None], **known: str
) -> FilesRead:
    return await take(engine, before, FilesSnapshot(files), **known)


async def take(engine: Engine, before: dict[str, FileEntry], snapshot: FilesSnapshot, **known: str) -> FilesRead:
    texts = {digest_of(text): text for text in known.values()}
    return await snapshots.read_files(engine.database, before, snapshot, known=texts)


class TestReadFiles:
    async def test_changes_are_counted_in_lines(self, engine: Engine) -> None:
        before = entries(kept="k\n", edited="1\n2\n", gone="x\n")
        async with engine.database.transaction() as session:
            await store(session, ["1\n2\n", "x\n"])
        result = await read(engine, before, {"kept.md": "k\n", "edited.md": "1\n3\n4\n", "new.json": "{}"})
        assert [(change.path, change.kind, change.additions, change.deletions) for change in result.changes] == [
            ("edited.md", FileChangeKind.MODIFIED, 2, 1),
            ("gone.md", FileChangeKind.DELETED, 0, 1),
            ("new.json", FileChangeKind.ADDED, 1, 0),
        ]
        assert sorted(result.texts.values()) == ["1\n3\n4\n", "{}"]
        assert result.refusals == {}

    async def test_a_part_of_the_files_leaves_the_others_as_they_are(self, engine: Engine) -> None:
        before = entries(kept="k\n", gone="x\n", edited="1\n")

        result = await take(
            engine,
            before,
            FilesSnapshot({"gone.md": None, "never.md": None, "edited.md": "2\n"}, is_partial=True),
            gone="x\n",
            edited="1\n",
        )

        assert [(change.path, change.kind) for change in result.changes] == [
            ("edited.md", FileChangeKind.MODIFIED),
            ("gone.md", FileChangeKind.DELETED),
        ]
        assert result.entries["kept.md"] == before["kept.md"]
        assert result.refusals == {}

    async def test_what_is_null_is_deleted(self, engine: Engine) -> None:
        result = await read(engine, entries(a="x\n"), {"a.md": None}, a="x\n")

        assert [(change.path, change.kind) for change in result.changes] == [("a.md", FileChangeKind.DELETED)]

    async def test_contents_that_are_not_stored_yet_are_known(self, engine: Engine) -> None:
        result = await read(engine, entries(a="old\n"), {"a.md": "new\n"}, a="old\n")
        assert [(change.additions, change.deletions) for change in result.changes] == [(1, 1)]

    async def test_a_file_that_did_not_change_keeps_its_time_and_type(self, engine: Engine) -> None:
        before = {"a": entry_of("a", "same", LONG_AGO, FileType.MARKDOWN)}
        result = await read(engine, before, {"a": "same"})
        assert result.entries == before
        assert result.changes == []

    async def test_a_changed_file_keeps_its_type(self, engine: Engine) -> None:
        before = {"a": entry_of("a", "one", LONG_AGO, FileType.MARKDOWN)}
        result = await read(engine, before, {"a": "two"}, a="one")
        assert result.entries["a"].type is FileType.MARKDOWN

    @pytest.mark.parametrize(
        "path", ["", "/a", "../a", "a//b", "a/./b", "a\\b", "a\x00b", "a\nb", "a\udc00", "e\u0301", "x" * 501]
    )
    async def test_an_unsafe_path_is_refused_by_a_name_that_can_be_stored(self, engine: Engine, path: str) -> None:
        result = await read(engine, {}, {path: "text", "good.md": "text"})
        assert list(result.entries) == ["good.md"]
        (refused,) = result.refusals
        assert len(refused) <= 500
        assert "\x00" not in refused
        refused.encode()

    @pytest.mark.parametrize("content", ["a\x00", "\ud800", "x" * (MAX_FILE_BYTES + 1), 5, ["line"]])
    async def test_a_content_that_no_file_may_have_leaves_the_last_good_one(self, engine: Engine, content: str) -> None:
        before = entries(a="good")
        result = await read(engine, before, {"a.md": content, "b.md": content})
        assert result.entries == before
        assert result.changes == []
        assert list(result.refusals) == ["a.md", "b.md"]

    async def test_new_files_beyond_the_limit_are_refused_and_old_ones_stay(self, engine: Engine) -> None:
        before = entries(z="old")
        files = {f"{number}.md": "new" for number in range(MAX_FILES)} | {"z.md": "changed"}
        result = await read(engine, before, files, z="old")
        assert len(result.entries) == MAX_FILES
        assert result.entries["z.md"].digest == digest_of("changed")
        assert list(result.refusals) == [f"{MAX_FILES - 1}.md"]


class TestWritten:
    async def test_a_file_stands_from_its_event_to_the_next_one(self, engine: Engine) -> None:
        execution_id = await engine.order({"kept.md": "k", "edited.md": "1", "gone.md": "g"})
        claim, written = await engine.claimed(), Written()
        before = await _current(engine, execution_id)
        known: dict[str, str] = {}
        events: list[NewEvent] = []
        steps: dict[int, Mapping[str, str]] = {}
        files: Mapping[str, str]
        for files in (
            {"kept.md": "k", "edited.md": "2", "brief.md": "b"},
            {"kept.md": "k", "edited.md": "3", "new.md": "n", "gone.md": "g"},
            {"kept.md": "k", "edited.md": "2", "new.md": "m"},
        ):
            result = await snapshots.read_files(engine.database, before, FilesSnapshot(files), known=known)
            before, known = result.entries, known | result.texts
            events += [NewEvent("Happened", {}), snapshots.files_changed(result.changes)]
            written.add(result.changes, len(events))
            steps[len(events)] = files
        written.texts = known.values()
        await executions.tell(engine.log, claim, events, frames=1, files=written)
        assert await engine.files(execution_id, 1) == {"kept.md": "k", "edited.md": "1", "gone.md": "g"}
        for sequence, files in steps.items():
            assert await engine.files(execution_id, sequence) == files
        assert await engine.files(execution_id) == files

    async def test_nothing_is_written_where_the_append_is_refused(self, engine: Engine) -> None:
        execution_id = await engine.order({"a.md": "old"})
        claim = await engine.claimed()
        result = await read(engine, await _current(engine, execution_id), {"a.md": "new"})
        written = Written(result.texts.values())
        written.add(result.changes, 1)
        with pytest.raises(AppendRefused):
            await executions.tell(
                engine.log, replace(claim, epoch=0), [snapshots.files_changed(result.changes)], frames=1, files=written
            )
        assert await engine.files(execution_id) == {"a.md": "old"}


class TestRefusedPaths:
    async def test_they_are_read_from_the_log(self, engine: Engine) -> None:
        execution_id = await engine.order()
        events = [
            snapshots.refusal("../a", "because"),
            NewEvent("RuntimeEventReceived", {"event_type": "other", "data": {"path": "b"}}),
            NewEvent("ProposalProgressed", {"event_type": "file_refused"}),
        ]
        async with engine.database.transaction() as session:
            await engine.log.append(session, execution_id, events)
        async with engine.database.transaction() as session:
            assert await snapshots.refused_paths(session, execution_id) == {"../a"}


class TestFilesChanged:
    async def test_the_event_has_no_contents(self, engine: Engine) -> None:
        result = await read(engine, entries(a="old"), {"b.md": "new"}, a="old")
        event = snapshots.files_changed(result.changes)
        deleted, added = event.payload["changes"]
        assert event.type == "FilesChanged"
        assert (deleted["path"], deleted["kind"], deleted["after"]) == ("a.md", "DELETED", None)
        assert deleted["before"] == {
            "path": "a.md",
            "type": "MARKDOWN",
            "digest": digest_of("old"),
            "size": 3,
            "updated_at": LONG_AGO.isoformat(),
        }
        assert (added["path"], added["kind"], added["before"]) == ("b.md", "ADDED", None)


async def _current(engine: Engine, execution_id: UUID) -> dict[str, FileEntry]:
    async with engine.database.transaction() as session:
        return await snapshots.files_at(session, execution_id)
