"""Recordings of real runtimes, through the normalizers: every frame of a documented kind is understood."""

import pytest
from support.fakes import RECORDINGS

from graphql_api.events.records import NewEvent
from graphql_api.runtimes.deepagents.normalizer import DeepAgentsNormalizer
from graphql_api.runtimes.fakes.recordings import Protocol, Take, read_takes
from graphql_api.runtimes.protocol import Frame, Normalized, Normalizer

DOCUMENTED = {
    Protocol.DEEPAGENTS: {"on_state_update", "on_llm_stream", "on_tool_start", "on_tool_end", "error", "end"},
    Protocol.LANGGRAPH: {"metadata", "updates", "messages", "custom", "error"},
}
TAKES = {
    f"{path.stem}: {take.source}": take
    for path in sorted(RECORDINGS.glob("*.jsonl"))
    for take in read_takes(path).values()
}


def normalizer(protocol: Protocol) -> Normalizer:
    if protocol is Protocol.LANGGRAPH:
        pytest.skip("not built in")
    return DeepAgentsNormalizer()


def understood(take: Take) -> list[tuple[Frame, list[Normalized]]]:
    reader = normalizer(take.protocol)
    frames = [Frame(cue.event, cue.data) for cue in (*take.play.cues, *take.play.ending)]
    return [(frame, list(reader.normalize(frame))) for frame in frames]


@pytest.mark.parametrize("take", TAKES.values(), ids=TAKES)
def test_documented_frames_are_understood(take: Take) -> None:
    for frame, items in understood(take):
        events = [item.type for item in items if isinstance(item, NewEvent)]
        if frame.kind.partition("|")[0] in DOCUMENTED[take.protocol] and "__interrupt__" not in frame.content:
            assert "RuntimeEventReceived" not in events
