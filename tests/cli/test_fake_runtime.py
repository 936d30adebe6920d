import signal
from pathlib import Path

import httpx
import pytest
from support.commands import Invoke, assert_one_line, running
from support.fakes import RECORDINGS, LangGraphClient

from graphql_api.runtimes.fakes.faults import Fault

pytestmark = pytest.mark.anyio

LANGGRAPH = str(RECORDINGS / "langgraph-server-v1.jsonl")
READY = "RUNTIME_URL="


class TestServing:
    async def test_it_tells_what_to_set_and_stops_at_a_signal(self, tmp_path: Path) -> None:
        with running("fake-runtime", "--port", "0", home=tmp_path, until=READY) as command:
            assert f"RUNTIME_URL='deepagents+{command.url}'" in command.output
            async with httpx.AsyncClient(base_url=command.url) as http:
                assert (await http.get("/health")).json() == {"status": "healthy"}
            assert command.stop(signal.SIGINT) == 0

    async def test_a_recording_tells_its_protocol(self, tmp_path: Path) -> None:
        options = ("--recording", LANGGRAPH, "--take", "error", "--speed", "0", "--fault", "drop-mid-frame")
        with running("fake-runtime", "--port", "0", *options, home=tmp_path, until=READY) as command:
            assert f"RUNTIME_URL='langgraph+{command.url}?assistant=agent'" in command.output
            async with httpx.AsyncClient(base_url=command.url) as http:
                client = LangGraphClient(http)
                run = await client.start_on_a_new_thread()
                with pytest.raises(httpx.RemoteProtocolError):
                    await client.events(run)
                assert [event.event for event in await client.events(run)] == ["metadata", "updates", "error"]
            assert command.stop(signal.SIGTERM) == 0
            assert "ASGI" not in command.output


class TestHelp:
    def test_every_fault_is_explained(self, invoke: Invoke) -> None:
        shown = invoke("fake-runtime", "--help").out
        assert all(f"    {fault.value} " in shown for fault in Fault)


class TestRefusals:
    def test_a_script_that_is_none(self, invoke: Invoke) -> None:
        assert_one_line(invoke("fake-runtime", "--script", "dance"), "dance is no script", "refinement")

    def test_a_protocol_that_is_not_the_recordings(self, invoke: Invoke) -> None:
        result = invoke("fake-runtime", "--recording", LANGGRAPH, "--protocol", "deepagents")
        assert_one_line(result, "recording is of langgraph", "--protocol")

    def test_a_stream_that_the_recording_has_not(self, invoke: Invoke) -> None:
        assert_one_line(invoke("fake-runtime", "--recording", LANGGRAPH, "--take", "ws-1"), "no stream ws-1", "error")

    @pytest.mark.parametrize("content", [None, "no JSON", "[1]", '{"t": 0, "src": "state", "body": {}}'])
    def test_a_file_that_is_no_recording(self, invoke: Invoke, tmp_path: Path, content: str | None) -> None:
        path = tmp_path / "run.jsonl"
        if content is not None:
            path.write_text(content, encoding="utf-8")
        assert_one_line(invoke("fake-runtime", "--recording", str(path)), "run.jsonl")
