import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphql_api.events.records import NewEvent
from graphql_api.runtimes.deepagents.normalizer import DeepAgentsNormalizer
from graphql_api.runtimes.protocol import FilesSnapshot, Frame, MessageDelta, Normalized, RunEnded, TokensUsed

RECORDINGS = Path(__file__).parents[2] / "fixtures" / "runtimes"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["messages", "files", "raw_event", "content", "type", "id", "error", "name", "output", "input"]
            )
            | st.text(),
            inner,
            max_size=3,
        )
    ),
    max_leaves=10,
)
KINDS = ["on_state_update", "on_llm_stream", "on_tool_start", "on_tool_end", "error", "end", "unheard_of"]


def normalized(*frames: tuple[str, Any]) -> list[Normalized]:
    normalizer = DeepAgentsNormalizer()
    return [item for kind, content in frames for item in normalizer.normalize(Frame(kind, content))]


def recorded(name: str, source: str) -> list[Normalized]:
    """Normalize one stream of a recording, up to the end of the run."""
    frames = []
    for line in (RECORDINGS / f"deepagents-{name}.jsonl").read_text().splitlines():
        entry = json.loads(line)
        if entry["src"] == source and "event" in entry:
            frames.append((entry["event"]["event_type"], entry["event"]["data"]))
            if frames[-1][0] == "end":
                break
    return normalized(*frames)


def kinds(items: list[Normalized]) -> Counter[str]:
    return Counter(item.type if isinstance(item, NewEvent) else type(item).__name__ for item in items)


def received(kind: str, content: object) -> NewEvent:
    return NewEvent("RuntimeEventReceived", {"event_type": kind, "data": content})


def progressed(message: str) -> NewEvent:
    return NewEvent("ProposalProgressed", {"message": message})


class TestARecording:
    @pytest.mark.parametrize("name", ["unmodified", "forwarding"])
    @pytest.mark.parametrize("source", ["redis", "ws-early", "ws-1", "ws-after-end"])
    def test_has_nothing_that_is_not_understood(self, name: str, source: str) -> None:
        items = recorded(name, source)

        assert kinds(items)["RuntimeEventReceived"] == 0
        assert isinstance(items[-1], RunEnded)

    def test_of_the_runtime_as_published_is_progress_and_an_end_without_files(self) -> None:
        assert recorded("unmodified", "ws-early") == [
            progressed("Execution in progress... (0s)"),
            progressed("Execution completed"),
            RunEnded(has_files=False),
        ]

    def test_of_a_build_that_forwards_tells_everything_once(self) -> None:
        items = recorded("forwarding", "ws-1")

        assert kinds([item for item in items if not isinstance(item, FilesSnapshot | MessageDelta)]) == {
            "AgentMessageCompleted": 2,
            "ToolCallStarted": 3,
            "ToolCallFinished": 3,
            "TokensUsed": 4,
            "RunEnded": 1,
        }
        words = "Done. Wrote 3 files for: [slow=0.3] Create a hello world agent"
        assert "".join(item.text for item in items if isinstance(item, MessageDelta)) == words
        assert [item.payload["text"] for item in items if isinstance(item, NewEvent) and "text" in item.payload] == [
            "[slow=0.3] Create a hello world agent",
            words,
        ]
        assert {item.input_tokens for item in items if isinstance(item, TokensUsed)} == {100}
        *_, last, end = items
        assert isinstance(last, FilesSnapshot)
        assert not last.is_partial
        assert last.files["THE_SPEC/plan.md"] == (
            "# /THE_SPEC/plan.md\n\nRequest: [slow=0.3] Create a hello world agent\nstep 1\n"
        )
        assert sorted(last.files) == ["THE_SPEC/plan.md", "definition.json", "user_request.md"]
        assert end == RunEnded(summary=words)

    def test_of_the_same_run_heard_twice_tells_nothing_twice(self) -> None:
        frames = []
        for line in (RECORDINGS / "deepagents-forwarding.jsonl").read_text().splitlines():
            entry = json.loads(line)
            if entry["src"] in {"ws-early", "ws-1"} and "event" in entry and entry["event"]["event_type"] != "end":
                frames.append((entry["event"]["event_type"], entry["event"]["data"]))
        once = kinds(recorded("forwarding", "ws-early"))

        twice = kinds(normalized(*frames))

        for kind in ("AgentMessageCompleted", "ToolCallStarted", "ToolCallFinished", "TokensUsed"):
            assert twice[kind] == once[kind]


class TestAStateUpdate:
    def test_a_text_is_progress(self) -> None:
        frames = [{"messages": text} for text in ("Execution in progress... (1.0s)", "[1/3] Working", "  ", "Done()")]

        assert normalized(*[("on_state_update", frame) for frame in frames]) == [
            progressed("Execution in progress... (1.0s)"),
            progressed("[1/3] Working"),
            progressed("Done()"),
        ]

    def test_messages_are_read_as_json_too(self) -> None:
        items = normalized(("on_state_update", {"messages": [{"type": "ai", "content": "Hi", "id": "1"}]}))

        payload = {"message_id": "1", "agent": None, "role": "ASSISTANT", "text": "Hi"}
        assert items == [NewEvent("AgentMessageCompleted", payload)]

    def test_messages_are_read_as_a_list_of_texts_too(self) -> None:
        items = normalized(("on_state_update", {"messages": ["AIMessage(content='Hi', id='1')", "x"]}))

        payload = {"message_id": "1", "agent": None, "role": "ASSISTANT", "text": "Hi"}
        assert items == [
            NewEvent("AgentMessageCompleted", payload),
            received("on_state_update", {"messages": ["x"]}),
        ]

    def test_messages_that_can_not_be_read_are_shown_as_they_came(self) -> None:
        content = {"messages": "[AIMessage(content=<object at 0x7f>)]", "files": {}}

        assert normalized(("on_state_update", content)) == [received("on_state_update", content)]

    def test_a_list_that_goes_on_is_read_from_where_it_was(self) -> None:
        first, second = "[AIMessage(content='a', id='1')]", "[AIMessage(content='a', id='1'), <x>]"
        rest = "[AIMessage(content='a', id='1'), AIMessage(content='b', id='2')]"
        items = normalized(*[("on_state_update", {"messages": text}) for text in ("[]", first, second, rest, first)])

        texts = [item.payload.get("text") for item in items if isinstance(item, NewEvent)]
        assert texts == ["a", None, "b"]

    def test_a_plan_is_told(self) -> None:
        todos = [{"content": "a", "status": "pending"}]

        assert normalized(("on_state_update", {"todos": todos, "messages": None})) == [
            NewEvent("PlanUpdated", {"items": [{"content": "a", "status": "PENDING"}]})
        ]

    def test_what_else_it_has_is_shown(self) -> None:
        content = {"messages": "x", "thread_id": "t", "mood": "good", "nothing": None}

        assert normalized(("on_state_update", content)) == [
            progressed("x"),
            received("on_state_update", {"mood": "good"}),
        ]

    @pytest.mark.parametrize("content", [None, "x", [], 5])
    def test_that_is_no_object_is_shown(self, content: object) -> None:
        assert normalized(("on_state_update", content)) == [received("on_state_update", content)]

    def test_that_says_that_the_run_failed_ends_it(self) -> None:
        assert normalized(("on_state_update", {"status": "failed", "error": {"message": "No key."}})) == [
            RunEnded(error="No key.")
        ]


class TestFiles:
    def test_each_snapshot_is_a_part_and_the_last_one_is_whole(self) -> None:
        items = normalized(
            ("on_state_update", {"files": {"/a": "1", "/b": "2"}}),
            ("on_state_update", {"files": {}}),
            ("on_state_update", {"files": {"/a": {"content": ["1", ""]}}}),
            ("end", {}),
        )

        assert items == [
            FilesSnapshot({"a": "1", "b": "2"}, is_partial=True),
            FilesSnapshot({"a": "1\n"}, is_partial=True),
            FilesSnapshot({"a": "1\n"}),
            RunEnded(),
        ]

    def test_they_may_come_with_the_end(self) -> None:
        assert normalized(("end", {"files": {"/a": "1"}, "result": "Done."})) == [
            FilesSnapshot({"a": "1"}, is_partial=True),
            FilesSnapshot({"a": "1"}),
            RunEnded(summary="Done."),
        ]

    def test_they_may_be_in_the_result(self) -> None:
        assert normalized(("on_state_update", {"files": {}, "result": {"files": {"/a": "1"}}})) == [
            FilesSnapshot({"a": "1"}, is_partial=True)
        ]

    def test_a_text_of_them_is_read(self) -> None:
        assert normalized(("on_state_update", {"files": "{'/a': {'content': ['x']}}"})) == [
            FilesSnapshot({"a": "x"}, is_partial=True)
        ]

    @pytest.mark.parametrize("files", ["x y", ["/a"], 5])
    def test_what_is_no_map_is_shown(self, files: object) -> None:
        assert normalized(("on_state_update", {"files": files})) == [received("on_state_update", {"files": files})]

    def test_the_last_ones_are_not_known_when_frames_were_missed(self) -> None:
        normalizer = DeepAgentsNormalizer()
        list(normalizer.normalize(Frame("on_state_update", {"files": {"/a": "1"}})))
        normalizer.missed()

        assert list(normalizer.normalize(Frame("end", {}))) == [RunEnded(has_files=False)]


class TestAStream:
    @pytest.mark.parametrize(
        "content",
        [
            {"raw_event": "(AIMessageChunk(content='Hi', id='1'), {'ls_model_name': 'm'})"},
            {"raw_event": "AIMessageChunk(content='Hi', id='1')"},
            {"raw_event": [{"type": "AIMessageChunk", "content": "Hi", "id": "1"}, {}]},
            {"chunk": {"type": "AIMessageChunk", "content": [{"type": "text", "text": "Hi"}], "id": "1"}},
            {"content": "Hi", "message_id": "1"},
            {"token": "Hi", "run_id": "1"},
            {"chunk": "Hi", "id": 1},
            {"chunk": {"content": "Hi"}, "id": "1"},
        ],
    )
    def test_each_form_of_a_piece_is_read(self, content: object) -> None:
        assert normalized(("on_llm_stream", content)) == [MessageDelta("1", None, "Hi")]

    @pytest.mark.parametrize(
        ("origin", "agent"),
        [
            ({"langgraph_checkpoint_ns": "model:1"}, None),
            ({"langgraph_checkpoint_ns": "tools:1|model:2"}, "tools"),
            ({"checkpoint_ns": "tools:1|model:2", "lc_agent_name": "critic"}, "critic"),
            ({}, None),
        ],
    )
    def test_it_names_the_agent_that_another_called(self, origin: dict[str, str], agent: str | None) -> None:
        raw = f"(AIMessageChunk(content='Hi', id='1'), {origin!r})"

        assert normalized(("on_llm_stream", {"raw_event": raw})) == [MessageDelta("1", agent, "Hi")]

    @pytest.mark.parametrize(
        "content",
        [
            {"raw_event": "(AIMessageChunk(content=__import__("},
            {"raw_event": "(A(content=x()), <y>)"},
            {},
            None,
            {"a": 1},
        ],
    )
    def test_what_can_not_be_read_is_shown(self, content: object) -> None:
        assert normalized(("on_llm_stream", content)) == [received("on_llm_stream", content)]

    def test_a_message_that_never_came_whole_is_told_before_the_end(self) -> None:
        items = normalized(("on_llm_stream", {"content": "Hi", "id": "1"}), ("end", {}))

        payload = {"message_id": "1", "agent": None, "role": "ASSISTANT", "text": "Hi"}
        assert items[1:] == [NewEvent("AgentMessageCompleted", payload), RunEnded(summary="Hi", has_files=False)]


def calls(*frames: tuple[str, Any]) -> list[tuple[str, str, Any]]:
    items = [item for item in normalized(*frames) if isinstance(item, NewEvent)]
    return [
        (item.type, item.payload["tool_call_id"], item.payload.get("arguments", item.payload.get("output")))
        for item in items
    ]


class TestATool:
    @pytest.mark.parametrize(
        ("start", "end"),
        [
            ({"name": "ls", "run_id": "1", "input": {"a": 1}}, {"name": "ls", "run_id": "1", "output": "x"}),
            ({"tool": "ls", "id": "1", "args": {"a": 1}}, {"tool": "ls", "result": "x"}),
            (
                {"tool_name": "ls", "tool_call_id": "1", "arguments": {"a": 1}},
                {"output": "ToolMessage(content='x', name='ls', tool_call_id='1')"},
            ),
            (
                {"event": "on_tool_start", "name": "ls", "run_id": "1", "data": {"input": {"a": 1}}},
                {"event": "on_tool_end", "name": "ls", "run_id": "1", "data": {"output": "x"}},
            ),
            (
                {"raw_event": "Call(name='ls', call_id='1', input={'a': 1})"},
                {"raw_event": {"data": {"name": "ls", "call_id": "1", "result": "x"}}},
            ),
            (
                {"data": {"name": "ls", "call_id": "1", "tool_input": {"a": 1}}},
                {"name": "ls", "output": {"content": "x"}},
            ),
        ],
    )
    def test_each_form_of_a_call_is_read(self, start: object, end: object) -> None:
        assert calls(("on_tool_start", start), ("on_tool_end", end)) == [
            ("ToolCallStarted", "1", {"a": 1}),
            ("ToolCallFinished", "1", "x"),
        ]

    def test_calls_without_a_name_of_their_own_are_paired_in_order(self) -> None:
        start, end = ("on_tool_start", {"name": "ls"}), ("on_tool_end", {"name": "ls", "output": {"a": 1}})

        assert calls(start, start, end, end) == [
            ("ToolCallStarted", "tool-1", None),
            ("ToolCallStarted", "tool-2", None),
            ("ToolCallFinished", "tool-1", "{'a': 1}"),
            ("ToolCallFinished", "tool-2", "{'a': 1}"),
        ]

    def test_a_result_without_a_call_has_one(self) -> None:
        assert calls(("on_tool_end", {"name": "ls", "output": None})) == [
            ("ToolCallStarted", "tool-ls", None),
            ("ToolCallFinished", "tool-ls", None),
        ]

    @pytest.mark.parametrize("end", [{"status": "error", "output": "no"}, {"error": "no"}])
    def test_a_failure_says_so(self, end: dict[str, Any]) -> None:
        *_, last = normalized(("on_tool_end", {"name": "ls", **end}))

        assert isinstance(last, NewEvent)
        assert (last.payload["status"], last.payload["output"]) == ("FAILED", "no")

    @pytest.mark.parametrize("kind", ["on_tool_start", "on_tool_end"])
    @pytest.mark.parametrize("content", [None, {}, {"input": {}}, {"raw_event": "A(<x>)"}])
    def test_one_without_a_name_is_shown(self, kind: str, content: object) -> None:
        assert normalized((kind, content)) == [received(kind, content)]


class TestAnEnd:
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("No key.", "No key."),
            ({"error": "No key."}, "No key."),
            ({"error": {"message": "No key.", "type": "KeyError"}}, "No key."),
            ({"detail": "No key."}, "No key."),
            ({"error_type": "KeyError"}, "KeyError"),
            ({"code": 7}, "{'code': 7}"),
            ({"error": 7}, "7"),
            ({}, "The runtime failed, and did not say why."),
            (None, "The runtime failed, and did not say why."),
            ("x" * 5000, "x" * 2000),
        ],
    )
    def test_an_error_is_a_text_or_an_object(self, content: object, message: str) -> None:
        assert normalized(("error", content)) == [RunEnded(error=message)]

    def test_may_say_that_the_run_failed(self) -> None:
        assert normalized(("end", {"error": "No key."})) == [RunEnded(error="No key.")]
        assert normalized(("end", {"status": "FAILED", "result": "No key."})) == [RunEnded(error="No key.")]

    @pytest.mark.parametrize("content", [None, "x", {}, {"status": "completed"}])
    def test_without_files_says_so(self, content: object) -> None:
        assert normalized(("end", content)) == [RunEnded(has_files=False)]


class TestAnyFrame:
    def test_of_an_unknown_kind_is_shown(self) -> None:
        assert normalized(("on_something_new", {"a": 1})) == [received("on_something_new", {"a": 1})]

    @given(st.lists(st.tuples(st.sampled_from(KINDS), JSON), max_size=4))
    def test_breaks_nothing(self, frames: list[tuple[str, Any]]) -> None:
        for item in normalized(*frames):
            assert isinstance(item, Normalized)
