"""Recordings of real runtimes, through the normalizers: every frame of a documented kind is understood."""

import pytest
from support.adapters import request
from support.fakes import RECORDINGS

from graphql_api.events.records import NewEvent
from graphql_api.runtimes.deepagents.normalizer import DeepAgentsNormalizer
from graphql_api.runtimes.fakes.recordings import Protocol, Take, read_takes
from graphql_api.runtimes.normalizing.graphs import GraphNormalizer
from graphql_api.runtimes.protocol import Frame, Normalizer

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
    return GraphNormalizer(request()) if protocol is Protocol.LANGGRAPH else DeepAgentsNormalizer()


@pytest.mark.parametrize("take", TAKES.values(), ids=TAKES)
def test_documented_frames_are_understood(take: Take) -> None:
    reader = normalizer(take.protocol)
    for cue in (*take.play.cues, *take.play.ending):
        events = [item.type for item in reader.normalize(Frame(cue.event, cue.data)) if isinstance(item, NewEvent)]
        if cue.event.partition("|")[0] in DOCUMENTED[take.protocol] and "__interrupt__" not in cue.data:
            assert "RuntimeEventReceived" not in events
