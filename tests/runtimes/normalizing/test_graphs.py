import json
from collections.abc import Iterable
from typing import Any
from uuid import uuid4

import pytest
from support.fakes import RECORDINGS

from graphql_api.events.records import NewEvent
from graphql_api.runtimes.normalizing.graphs import RUN, GraphNormalizer
from graphql_api.runtimes.protocol import (
    FilesSnapshot,
    Frame,
    MessageDelta,
    Normalized,
    RunEnded,
    RunRequest,
    TokensUsed,
)

SUBGRAPH = "tools:252afbd0-afe5-b891-1d78-fb8b3d0b03be"


def normalized(*frames: Frame, given: Iterable[str] = ()) -> list[Normalized]:
    normalizer = GraphNormalizer(RunRequest(uuid4(), "Do it.", None, None, dict.fromkeys(given, "given")))
    return [item for frame in frames for item in normalizer.normalize(frame)]


def recorded(source: str) -> list[Frame]:
    lines = map(json.loads, (RECORDINGS / "langgraph-server-v1.jsonl").read_text().splitlines())
    return [
        Frame(line["sse"]["event"], line["sse"]["data"]) for line in lines if line["src"] == source and "sse" in line
    ]


def events(items: Iterable[Normalized], type_: str) -> list[dict[str, Any]]:
    return [dict(item.payload) for item in items if isinstance(item, NewEvent) and item.type == type_]


def received(items: Iterable[Normalized]) -> list[tuple[str, Any]]:
    return [(event["event_type"], event["data"]) for event in events(items, "RuntimeEventReceived")]


def updates(node: str = "tools", namespace: str = "", **update: object) -> Frame:
    return Frame(f"updates|{namespace}" if namespace else "updates", {node: update})


def chunk(text: str, **fields: Any) -> Frame:  # noqa: ANN401 - any JSON value
    metadata = fields.pop("metadata", {})
    return Frame("messages", [{"type": "AIMessageChunk", "id": "m", "content": text, **fields}, metadata])


def ended(status: str = "success", **content: object) -> Frame:
    return Frame(RUN, {"status": status, "error": None, "interrupts": [], "values": {}, **content})


def outcome(*frames: Frame) -> RunEnded:
    last = normalized(*frames)[-1]
    assert isinstance(last, RunEnded)
    return last


class TestARecordedRun:
    def test_everything_is_told_once(self) -> None:
        items = normalized(*recorded("multi+subgraphs"), ended())
        assert received(items) == []
        calls = [(call["agent"], call["name"], call["tool_call_id"]) for call in events(items, "ToolCallStarted")]
        scope = SUBGRAPH.partition(":")[2]
        assert calls == [
            (None, "write_file", "call_0"),
            (None, "write_file", "call_1"),
            (None, "edit_file", "call_2"),
            (None, "task", "call_3"),
            ("general-purpose", "write_file", f"{scope}/call_0"),
            ("general-purpose", "write_file", f"{scope}/call_1"),
            ("general-purpose", "edit_file", f"{scope}/call_2"),
        ]
        finished = [call["tool_call_id"] for call in events(items, "ToolCallFinished")]
        assert sorted(finished) == sorted(call_id for _, _, call_id in calls)
        assert sum(isinstance(item, TokensUsed) for item in items) == 9
        assert [(event["agent"], event["text"]) for event in events(items, "AgentMessageCompleted")] == [
            ("general-purpose", "Done: I wrote the specification for 'Research the thing' in 3 tool calls."),
            (None, "Done: I wrote the specification for 'x [task]' in 4 tool calls."),
        ]

    def test_arguments_come_whole_although_they_were_sent_in_pieces(self) -> None:
        items = normalized(*recorded("multi+subgraphs"))
        assert events(items, "ToolCallStarted")[2]["arguments"] == {
            "file_path": "/definition.json",
            "old_string": '"wf"',
            "new_string": '"workflow"',
        }

    def test_deltas_make_up_the_message(self) -> None:
        items = normalized(*recorded("multi+subgraphs"))
        for message in events(items, "AgentMessageCompleted"):
            deltas = [item for item in items if isinstance(item, MessageDelta)]
            text = "".join(item.text for item in deltas if item.message_id == message["message_id"])
            assert text == message["text"]

    def test_files_are_what_the_agent_left(self) -> None:
        files: dict[str, Any] = {}
        for item in normalized(*recorded("multi+subgraphs")):
            if isinstance(item, FilesSnapshot):
                assert item.is_partial
                files |= item.files
        assert files == {
            "THE_SPEC/requirements.md": "# Requirements\n\nResearch the thing\n",
            "definition.json": '{\n "name": "workflow",\n "nodes": []\n}',
        }

    def test_it_is_the_same_when_it_is_read_again(self) -> None:
        assert normalized(*recorded("multi+subgraphs")) == normalized(*recorded("multi+subgraphs"))

    def test_a_run_that_fails_says_why(self) -> None:
        assert outcome(*recorded("error"), ended("error")) == RunEnded(error="scripted failure")

    def test_a_run_that_asks_for_a_decision_fails_with_the_question(self) -> None:
        items = normalized(*recorded("interrupt"), ended(values={"files": {}}))
        ((kind, data), *others) = received(items)
        assert (kind, data["value"]["action_requests"][0]["name"], others) == ("interrupt", "deploy", [])
        last = items[-1]
        assert isinstance(last, RunEnded)
        assert last.error is not None
        assert last.error.startswith("The agent waits for a decision about deploy, which can't be given here")
        assert not last.is_retryable

    def test_progress_of_a_tool_is_told(self) -> None:
        items = normalized(*recorded("interrupt resume"), ended())
        assert events(items, "ProposalProgressed") == [{"message": "deploying to prod"}]
        assert received(items) == []


class TestMessages:
    def test_one_that_no_node_keeps_is_whole_with_its_last_piece(self) -> None:
        usage = {"input_tokens": 3, "output_tokens": 2}
        items = normalized(
            chunk("Hel", metadata={"ls_model_name": "gpt"}),
            chunk("lo"),
            chunk("", chunk_position="last", usage_metadata=usage),
        )
        completed = {"message_id": "m", "agent": None, "role": "ASSISTANT", "text": "Hello"}
        assert items == [
            MessageDelta("m", None, "Hel"),
            MessageDelta("m", None, "lo"),
            NewEvent("AgentMessageCompleted", completed),
            TokensUsed("gpt", 3, 2, "m"),
        ]

    def test_one_without_a_last_piece_is_whole_at_the_end(self) -> None:
        items = normalized(chunk("Hello"), ended())
        assert [event["text"] for event in events(items, "AgentMessageCompleted")] == ["Hello"]
        assert items[-1] == RunEnded(summary="Hello", has_files=False)

    def test_what_it_cost_is_told_when_only_the_whole_message_says_so(self) -> None:
        whole = {
            "type": "ai",
            "id": "m",
            "content": "Hello",
            "usage_metadata": {"input_tokens": 3, "output_tokens": 2},
            "response_metadata": {"model_name": "gpt-2"},
        }
        items = normalized(
            chunk("Hello"),
            chunk("", chunk_position="last"),
            updates("model", messages=[whole]),
            updates(messages=whole),
        )
        assert [item for item in items if isinstance(item, TokensUsed)] == [TokensUsed("gpt-2", 3, 2, "m")]
        assert len(events(items, "AgentMessageCompleted")) == 1

    def test_a_subgraph_is_an_agent_of_its_nodes_name(self) -> None:
        frame = Frame("messages|team:1|writer:2", [{"type": "ai", "id": "m", "content": "Hello"}, {}])
        assert events(normalized(frame), "AgentMessageCompleted")[0]["agent"] == "team/writer"

    def test_a_subgraph_that_only_the_metadata_names_is_one_too(self) -> None:
        place = {"langgraph_checkpoint_ns": f"{SUBGRAPH}|model:1", "lc_agent_name": "researcher"}
        frames = [
            Frame("messages", [{"type": "ai", "id": "m", "content": "Hello"}, place]),
            updates("model", SUBGRAPH, messages=[{"type": "ai", "id": "n", "content": "There"}]),
        ]
        assert [event["agent"] for event in events(normalized(*frames), "AgentMessageCompleted")] == ["researcher"] * 2

    def test_what_a_graph_repeats_of_its_subgraph_is_told_once(self) -> None:
        said: list[dict[str, Any]] = [
            {"type": "ai", "id": "m", "content": "", "tool_calls": [{"id": "call_0", "name": "ls", "args": {}}]},
            {"type": "tool", "id": "r", "content": "a.md", "name": "ls", "tool_call_id": "call_0"},
        ]
        items = normalized(updates("agent", "writer:1", messages=said), updates("writer", messages=said))
        assert [call["tool_call_id"] for call in events(items, "ToolCallStarted")] == ["1/call_0"]
        assert [call["tool_call_id"] for call in events(items, "ToolCallFinished")] == ["1/call_0"]

    def test_messages_that_replace_others_are_read(self) -> None:
        overwrite = {"value": [{"type": "ai", "id": "m", "content": "Hello"}]}
        assert len(events(normalized(updates(messages=overwrite)), "AgentMessageCompleted")) == 1

    @pytest.mark.parametrize("content", [[], {}, [5], [{"content": {"deep": []}, "type": 3}], None])
    def test_what_is_none_is_passed_on(self, content: object) -> None:
        assert received(normalized(Frame("messages", content))) == [("messages", content)]


class TestUpdates:
    def test_nodes_that_write_nothing_say_nothing(self) -> None:
        assert normalized(Frame("updates", {"before_agent": None}), updates()) == []

    def test_a_file_that_is_null_was_deleted(self) -> None:
        assert normalized(updates(files={"/a.md": None, "/b.md": {"content": ["x", "y"]}})) == [
            FilesSnapshot({"a.md": None, "b.md": "x\ny"}, is_partial=True)
        ]

    def test_the_plan_is_the_main_agents(self) -> None:
        mine, theirs = [{"content": "Write", "status": "pending"}], [{"content": "Look", "status": "completed"}]
        call = {"id": "1", "name": "write_todos", "args": {"todos": theirs}}
        items = normalized(
            updates(todos=mine),
            updates("tools", SUBGRAPH, todos=theirs),
            updates("model", SUBGRAPH, messages=[{"type": "ai", "id": "m", "content": "", "tool_calls": [call]}]),
            updates(todos=mine),
        )
        assert events(items, "PlanUpdated") == [{"items": [{"content": "Write", "status": "PENDING"}]}]
        assert events(items, "ToolCallStarted")[0]["arguments"] == {"todos": theirs}

    def test_a_node_that_writes_several_times_is_read_several_times(self) -> None:
        frame = Frame("updates", {"tools": [{"files": {"/a.md": "1"}}, None, {"files": {"/b.md": "2"}}]})
        assert normalized(frame) == [
            FilesSnapshot({"a.md": "1"}, is_partial=True),
            FilesSnapshot({"b.md": "2"}, is_partial=True),
        ]

    def test_what_has_no_meaning_of_its_own_is_passed_on(self) -> None:
        said = [{"type": "ai", "id": "m", "content": "Hello"}, {"type": "remove", "id": "n"}]
        items = normalized(updates("model", messages=said, score=0.5))
        assert received(items) == [("updates", {"model": {"score": 0.5, "messages": [said[1]]}})]
        assert len(events(items, "AgentMessageCompleted")) == 1

    @pytest.mark.parametrize(
        "update", [7, "text", {"messages": 5}, {"files": [None]}, {"todos": "none"}, {"files": "none", "todos": 1}]
    )
    def test_what_has_the_wrong_shape_is_passed_on(self, update: object) -> None:
        expected = {"messages": [5]} if update == {"messages": 5} else update
        assert received(normalized(Frame("updates", {"model": update}))) == [("updates", {"model": expected})]


class TestValues:
    def test_they_are_all_of_the_state(self) -> None:
        state = {"messages": [{"type": "human", "id": "h", "content": "Do it."}], "files": {"/a.md": "1"}, "score": 1}
        items = normalized(Frame("values", state), given=["a.md", "b.md"])
        assert FilesSnapshot({"a.md": "1"}) in items
        assert [event["role"] for event in events(items, "AgentMessageCompleted")] == ["USER"]
        assert received(items) == [("values", {"score": 1})]


class TestCustom:
    @pytest.mark.parametrize("content", ["half way", {"progress": "half way"}, {"message": "half way"}])
    def test_words_are_progress(self, content: object) -> None:
        assert normalized(Frame("custom|tools:1", content)) == [NewEvent("ProposalProgressed", {"message": "half way"})]

    def test_what_comes_with_them_is_passed_on(self) -> None:
        content = {"status": "half way", "percent": 50}
        items = normalized(Frame("custom", content))
        assert events(items, "ProposalProgressed") == [{"message": "half way"}]
        assert received(items) == [("custom", content)]

    @pytest.mark.parametrize("content", [None, 0.5, [], {"progress": 0.5}, {"x": 1}, "  "])
    def test_anything_else_is_passed_on(self, content: object) -> None:
        assert received(normalized(Frame("custom", content))) == [("custom", content)]


class TestOtherFrames:
    def test_another_attempt_is_told(self) -> None:
        frames = [Frame("metadata", {"run_id": "1", "attempt": attempt}) for attempt in (1, 2)]
        assert normalized(*frames) == [
            NewEvent("ProposalProgressed", {"message": "The runtime begins the run once more: attempt 2."})
        ]

    @pytest.mark.parametrize("kind", ["something_new", "events", "frame_refused", "", "metadata", "updates", "run"])
    @pytest.mark.parametrize("content", [None, [1], "text"])
    def test_what_nobody_knows_is_passed_on(self, kind: str, content: object) -> None:
        assert received(normalized(Frame(kind, content))) == [(kind, content)]


class TestTheEnd:
    def test_the_state_has_the_last_word_about_files(self) -> None:
        values = {"files": {"/a.md": {"content": "last"}}, "todos": [{"content": "Write", "status": "completed"}]}
        items = normalized(ended(values=values), given=["a.md", "b.md"])
        assert items[1:] == [FilesSnapshot({"a.md": "last"}), RunEnded()]
        assert len(events(items, "PlanUpdated")) == 1

    @pytest.mark.parametrize("files", [{}, {"/other.md": "1"}])
    def test_a_state_without_any_known_file_deletes_none(self, files: dict[str, str]) -> None:
        (snapshot, _) = normalized(ended(values={"files": files}), given=["a.md"])
        assert isinstance(snapshot, FilesSnapshot)
        assert snapshot.is_partial

    def test_a_run_without_files_says_so(self) -> None:
        assert outcome(ended()) == RunEnded(has_files=False)
        assert outcome(updates(files={"/a.md": "1"}), ended()) == RunEnded()

    def test_an_error_that_was_no_end_is_passed_on(self) -> None:
        items = normalized(Frame("error", {"error": "E", "message": "tried again"}), ended())
        assert received(items) == [("error", {"error": "E", "message": "tried again"})]
        assert items[-1] == RunEnded(has_files=False)

    @pytest.mark.parametrize(
        ("error", "said"),
        [
            ({"error": "KeyError", "message": "no key"}, "no key"),
            ({"error": "KeyError"}, "KeyError"),
            ("no key", "no key"),
            ("x" * 5000, "x" * 2000),
            (None, "The agent failed, and the runtime does not say why."),
            ([], "The agent failed, and the runtime does not say why."),
        ],
    )
    def test_why_it_failed_is_what_the_runtime_says(self, error: object, said: str) -> None:
        assert outcome(ended("error", error=error)) == RunEnded(error=said)

    @pytest.mark.parametrize(
        ("status", "said"),
        [
            ("timeout", "The run took longer than the runtime allows."),
            ("interrupted", "The run was stopped in the runtime."),
            ("lost", "The runtime does not know the run any more: it was restarted, or cleaned up."),
            ("exploded", "The runtime ended the run, and calls it 'exploded'."),
        ],
    )
    def test_anything_but_success_is_a_failure(self, status: str, said: str) -> None:
        assert outcome(ended(status)) == RunEnded(error=said)

    @pytest.mark.parametrize(
        ("value", "about"),
        [("Shall I?", ""), ({"action_requests": [{"name": "deploy"}, {"name": "ask"}]}, " about ask, deploy"), (5, "")],
    )
    def test_questions_that_only_the_state_has_are_told(self, value: object, about: str) -> None:
        items = normalized(ended(interrupts=[{"id": "1", "value": value}, {"id": "1", "value": value}]))
        assert received(items) == [("interrupt", {"id": "1", "value": value})]
        last = items[-1]
        assert isinstance(last, RunEnded)
        assert str(last.error).startswith(f"The agent waits for a decision{about}, which")

    def test_a_question_without_an_id_is_known_by_its_words(self) -> None:
        frame = Frame("updates", {"__interrupt__": ["Shall I?"]})
        assert len(received(normalized(frame, frame, Frame("updates", {"__interrupt__": "Shall I?"})))) == 1

    def test_after_a_gap_unfinished_messages_are_left_out(self) -> None:
        normalizer = GraphNormalizer(RunRequest(uuid4(), "Do it.", None, None, {}))
        assert [*normalizer.normalize(chunk("Hel"))] == [MessageDelta("m", None, "Hel")]
        normalizer.missed()
        assert [*normalizer.normalize(ended())] == [RunEnded(has_files=False)]
