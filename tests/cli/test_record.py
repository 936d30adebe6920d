import json
from pathlib import Path

import pytest
from support.adapters import REMOTE, Adapter, perform, request
from support.commands import Invoke, assert_one_line
from support.fakes import RECORDINGS

from graphql_api.runtimes.fakes.faults import Fault
from graphql_api.runtimes.fakes.recordings import Protocol, longest, read_takes
from graphql_api.runtimes.fakes.scripts import SHORT_FILES, short
from graphql_api.runtimes.fakes.server import FakeRuntime

pytestmark = pytest.mark.anyio

PROMPT = "Add a critic"


async def recorded(invoke: Invoke, path: Path, protocol: Protocol, **options: object) -> list[dict[str, object]]:
    async with FakeRuntime(protocol, script=short, speed=0, **options).serving() as url:  # type: ignore[arg-type]
        arguments = ("record", "--runtime", url, "--prompt", PROMPT, "--output", str(path))
        result = await invoke.off_loop(*arguments)
    lines = lines_of(path)
    assert (result.code, result.out) == (0, "")
    assert f"Wrote {len(lines)} lines to {path}" in result.err
    assert all({"t", "src"} < line.keys() for line in lines)
    return lines


def lines_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


class TestRecord:
    @pytest.mark.parametrize("adapter", REMOTE, ids=lambda adapter: adapter.name)
    async def test_what_it_wrote_can_be_played(self, invoke: Invoke, tmp_path: Path, adapter: Adapter) -> None:
        assert adapter.protocol is not None
        path = tmp_path / "run.jsonl"
        await recorded(invoke, path, adapter.protocol)
        take = longest(read_takes(path))
        assert take.protocol is adapter.protocol
        async with adapter.runtime(take=take) as stage:
            run = await perform(stage.runtime, request(files={}))
            assert (run.end.error, run.files) == (None, SHORT_FILES)

    async def test_a_deepagents_runtime_in_the_form_of_the_fixtures(self, invoke: Invoke, tmp_path: Path) -> None:
        lines = await recorded(invoke, tmp_path / "run.jsonl", Protocol.DEEPAGENTS)
        assert [line["src"] for line in lines if "event" not in line] == [
            "ws-early",
            "invoke",
            "ws-early",
            "state-final",
        ]
        assert [line["what"] for line in lines if "what" in line] == ["connected", "exc"]
        assert lines[1].keys() < {"t", "src", "status", "body", "took", "event"}

    async def test_a_langgraph_server_in_the_form_of_the_fixtures(self, invoke: Invoke, tmp_path: Path) -> None:
        lines = await recorded(invoke, tmp_path / "run.jsonl", Protocol.LANGGRAPH)
        others = [line["src"] for line in lines if "sse" not in line]
        assert others == ["thread", "run", "stream", "stream", "run-after", "state", "thread-after"]
        (first, *_) = [line["sse"] for line in lines if "sse" in line]
        assert isinstance(first, dict)
        assert [*first] == ["event", "data", "id"]

    async def test_a_thread_with_another_id_is_followed(self, invoke: Invoke, tmp_path: Path) -> None:
        lines = await recorded(invoke, tmp_path / "run.jsonl", Protocol.DEEPAGENTS, faults=[Fault.CHANGES_THREAD_ID])
        kinds = [line["event"] for line in lines if line["src"] == "ws-1" and "event" in line]
        assert kinds[-1] == {"event_type": "end", "data": {}}

    async def test_what_is_no_json_is_kept(self, invoke: Invoke, tmp_path: Path) -> None:
        path = tmp_path / "run.jsonl"
        lines = await recorded(invoke, path, Protocol.DEEPAGENTS, faults=[Fault.GARBAGE])
        assert "this is no JSON {" in [line.get("event") for line in lines]
        assert b"this is no JSON {" in [cue.raw for cue in longest(read_takes(path)).play.cues]


class TestRefusals:
    @pytest.mark.parametrize("protocol", Protocol)
    async def test_a_runtime_that_refuses(self, invoke: Invoke, protocol: Protocol) -> None:
        async with FakeRuntime(protocol, faults=[Fault.REFUSES]).serving() as url:
            result = await invoke.off_loop("record", "--runtime", url, "--prompt", PROMPT)
        assert result.code == 1
        assert result.err.splitlines()[-1].endswith("The runtime answered 503")

    @pytest.mark.parametrize("protocol", Protocol)
    async def test_a_runtime_that_is_gone(self, invoke: Invoke, protocol: Protocol) -> None:
        url = f"{protocol.value}+http://127.0.0.1:1"
        result = await invoke.off_loop("record", "--runtime", url, "--prompt", PROMPT)
        assert_one_line(result, "After 0 lines")

    def test_a_runtime_without_a_server(self, invoke: Invoke) -> None:
        assert_one_line(invoke("record", "--runtime", "embedded:", "--prompt", PROMPT), "embedded", "deepagents")
        assert_one_line(invoke("record", "--runtime", "nowhere", "--prompt", PROMPT), "--runtime: ")

    def test_a_file_that_can_not_be_written(self, invoke: Invoke, tmp_path: Path) -> None:
        path = str(tmp_path / "none" / "run.jsonl")
        result = invoke("record", "--runtime", "http://127.0.0.1:1", "--prompt", PROMPT, "--output", path)
        assert_one_line(result, "run.jsonl can't be written")


def test_recordings_have_a_page_that_explains_them() -> None:
    assert {path.name for path in RECORDINGS.glob("*.jsonl")} == {
        word.strip("`") for word in (RECORDINGS / "README.md").read_text().split() if word.endswith(".jsonl`")
    }
