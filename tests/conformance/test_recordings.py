"""Recordings of real runtimes, through the normalizers: every frame of a documented kind is understood."""

import pytest
from support.adapters import REMOTE, Run, perform, request
from support.fakes import RECORDINGS, take

from graphql_api.events.records import NewEvent
from graphql_api.runtimes.deepagents.normalizer import DeepAgentsNormalizer
from graphql_api.runtimes.fakes.recordings import Protocol, Take, read_takes
from graphql_api.runtimes.normalizing.graphs import GraphNormalizer
from graphql_api.runtimes.protocol import Frame, Normalizer, Snapshot, ThreadStatus

DOCUMENTED = {
    Protocol.DEEPAGENTS: {"on_state_update", "on_llm_stream", "on_tool_start", "on_tool_end", "error", "end"},
    Protocol.LANGGRAPH: {"metadata", "updates", "messages", "custom", "error"},
}
TAKES = {
    f"{path.stem}: {recorded.source}": recorded
    for path in sorted(RECORDINGS.glob("*.jsonl"))
    for recorded in read_takes(path).values()
}


def normalizer(protocol: Protocol) -> Normalizer:
    return GraphNormalizer(request()) if protocol is Protocol.LANGGRAPH else DeepAgentsNormalizer()


@pytest.mark.parametrize("recorded", TAKES.values(), ids=TAKES)
def test_documented_frames_are_understood(recorded: Take) -> None:
    reader = normalizer(recorded.protocol)
    for cue in (*recorded.play.cues, *recorded.play.ending):
        events = [item.type for item in reader.normalize(Frame(cue.event, cue.data)) if isinstance(item, NewEvent)]
        if cue.event.partition("|")[0] in DOCUMENTED[recorded.protocol] and "__interrupt__" not in cue.data:
            assert "RuntimeEventReceived" not in events


@pytest.mark.anyio
class TestPlayed:
    """Recordings as an adapter hears them, from a fake that plays them."""

    @pytest.mark.parametrize(
        ("name", "source", "paths"),
        [
            ("deepagents-forwarding", "ws-early", {"user_request.md", "THE_SPEC/plan.md", "definition.json"}),
            ("langgraph-server-v1", "multi+subgraphs", {"THE_SPEC/requirements.md", "definition.json"}),
            ("langgraph-server-v1", "mode:updates", {"THE_SPEC/requirements.md", "definition.json"}),
            (
                "langgraph-server-v1",
                "resumable=True after-end from -1",
                {"THE_SPEC/requirements.md", "definition.json"},
            ),
        ],
    )
    async def test_a_run_that_succeeded(self, name: str, source: str, paths: set[str]) -> None:
        run, snapshot = await played(name, source)
        assert (run.end.error, run.end.has_files) == (None, True)
        assert run.files.keys() == paths
        assert (snapshot.status, snapshot.files) == (ThreadStatus.COMPLETED, run.files)

    async def test_a_run_without_files_says_that_it_has_none(self) -> None:
        run, snapshot = await played("deepagents-unmodified", "ws-early")
        assert (run.end.error, run.end.has_files, run.files) == (None, False, {})
        assert (snapshot.status, snapshot.files) == (ThreadStatus.COMPLETED, None)

    async def test_a_run_that_failed(self) -> None:
        run, snapshot = await played("langgraph-server-v1", "error")
        assert "scripted failure" in str(run.end.error)
        assert (snapshot.status, snapshot.error) == (ThreadStatus.FAILED, run.end.error)

    async def test_a_run_that_asked(self) -> None:
        run, snapshot = await played("langgraph-server-v1", "interrupt")
        assert len(run.payloads("RuntimeEventReceived")) == 1
        assert run.end.error
        assert (snapshot.status, snapshot.error) == (ThreadStatus.FAILED, run.end.error)


async def played(name: str, source: str) -> tuple[Run, Snapshot]:
    """Let an adapter read what a fake plays."""
    recorded = take(name, source)
    (adapter,) = [adapter for adapter in REMOTE if adapter.protocol is recorded.protocol]
    async with adapter.runtime(take=recorded) as stage:
        run = await perform(stage.runtime, request(files={}))
        return run, await stage.runtime.snapshot(run.thread)
