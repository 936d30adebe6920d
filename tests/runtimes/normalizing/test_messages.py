from typing import Any

import pytest

from graphql_api.events.records import NewEvent
from graphql_api.runtimes.normalizing.messages import Conversation, role_of
from graphql_api.runtimes.protocol import MessageDelta, Normalized, TokensUsed

RUN = "lc_run--01a1fbd6-5419-7738-9d8c-79ca685414e9"
CALL = {"name": "write_file", "args": {"file_path": "/a"}, "id": "call_0", "type": "tool_call"}
USAGE = {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120}


def piece(text: str = "", **fields: object) -> dict[str, Any]:
    return {"type": "AIMessageChunk", "content": text, "id": RUN, **fields}


def whole(text: str = "", **fields: object) -> dict[str, Any]:
    return {"type": "ai", "content": text, "id": RUN, **fields}


def tool(output: object = "ok", **fields: object) -> dict[str, Any]:
    return {"type": "tool", "content": output, "name": "write_file", "tool_call_id": "call_0", "id": "t1", **fields}


def said(text: str, *, role: str = "ASSISTANT", message_id: str = RUN, agent: str | None = None) -> NewEvent:
    return NewEvent("AgentMessageCompleted", {"message_id": message_id, "agent": agent, "role": role, "text": text})


def started(arguments: object = None, *, agent: str | None = None, name: str = "write_file") -> NewEvent:
    payload = {"tool_call_id": "call_0", "agent": agent, "name": name, "arguments": arguments}
    return NewEvent("ToolCallStarted", payload)


def finished(output: str = "ok", status: str = "SUCCEEDED") -> NewEvent:
    payload = {"tool_call_id": "call_0", "agent": None, "name": "write_file", "status": status, "output": output}
    return NewEvent("ToolCallFinished", payload)


@pytest.fixture
def conversation() -> Conversation:
    return Conversation()


def read(conversation: Conversation, *messages: object) -> list[Normalized]:
    return [event for message in messages for event in conversation.read(message)]


class TestAMessage:
    def test_is_told_in_deltas_and_once_as_a_whole(self, conversation: Conversation) -> None:
        events = read(conversation, piece(), piece("Hel"), piece("lo"), whole("Hello"), whole("Hello"), piece("lo"))

        assert events == [MessageDelta(RUN, None, "Hel"), MessageDelta(RUN, None, "lo"), said("Hello")]
        assert list(conversation.close()) == []

    def test_has_the_name_of_its_pieces(self, conversation: Conversation) -> None:
        events = read(conversation, piece("Hi"), whole("Hi", id=f"{RUN}-0"))

        assert events == [MessageDelta(RUN, None, "Hi"), said("Hi")]

    def test_that_never_comes_as_a_whole_is_told_at_the_end(self, conversation: Conversation) -> None:
        read(conversation, piece("Hel", response_metadata={}), piece("lo"), piece(usage_metadata=USAGE))

        assert list(conversation.close()) == [said("Hello"), TokensUsed(None, 100, 20, RUN)]
        assert list(conversation.close()) == []

    @pytest.mark.parametrize(
        ("message", "role"),
        [
            ({"type": "human", "content": "x", "id": "1"}, "USER"),
            ({"role": "user", "content": "x", "id": "1"}, "USER"),
            ({"type": "SystemMessage", "content": "x", "id": "1"}, "SYSTEM"),
            (
                {"type": "AIMessage", "content": [{"type": "text", "text": "x"}, {"type": "image"}], "id": "1"},
                "ASSISTANT",
            ),
            ({"type": "ai", "content": ["x", 5, {"type": "thinking", "thinking": "hm"}], "id": "1"}, "ASSISTANT"),
            ({"type": "ai", "content": {"text": "x"}, "id": 1}, "ASSISTANT"),
        ],
    )
    def test_has_a_role_and_a_text(self, conversation: Conversation, message: dict[str, Any], role: str) -> None:
        assert read(conversation, message) == [said("x", role=role, message_id="1")]

    def test_without_a_name_is_named_after_what_it_says(self, conversation: Conversation) -> None:
        message = {"type": "human", "content": "x"}

        (event,) = read(conversation, message, dict(message))

        assert isinstance(event, NewEvent)
        assert event.payload["message_id"]

    def test_names_its_agent(self, conversation: Conversation) -> None:
        assert list(conversation.read(whole("x", name="critic"))) == [said("x", agent="critic")]
        other = list(conversation.read(whole("x", id="2", name="critic"), agent="task"))
        assert other == [said("x", message_id="2", agent="task")]

    @pytest.mark.parametrize("message", [None, 5, "x", [], {}, {"type": "remove", "id": "1"}, {"type": []}])
    def test_is_only_what_looks_like_one(self, conversation: Conversation, message: object) -> None:
        assert role_of(message) is None
        assert read(conversation, message) == []

    def test_without_a_name_in_pieces_is_one_message(self, conversation: Conversation) -> None:
        events = [*read(conversation, piece("a", id=None), piece("b", id=None)), *conversation.close()]

        assert events == [
            MessageDelta("agent-0", None, "a"),
            MessageDelta("agent-0", None, "b"),
            said("ab", message_id="agent-0"),
        ]


class TestACost:
    def test_is_told_once_with_its_model(self, conversation: Conversation) -> None:
        message = whole(usage_metadata=USAGE, response_metadata={"model_name": "gpt"})

        assert read(conversation, piece(usage_metadata=USAGE), message, message) == [TokensUsed("gpt", 100, 20, RUN)]

    def test_of_pieces_counts_when_the_whole_has_none(self, conversation: Conversation) -> None:
        usage = {"input_tokens": 1, "output_tokens": 2}
        list(conversation.read(piece(usage_metadata=usage), model="gpt"))

        assert read(conversation, piece(usage_metadata=usage), whole(usage_metadata=None)) == [
            TokensUsed("gpt", 2, 4, RUN)
        ]

    @pytest.mark.parametrize("usage", [None, 5, {}, {"input_tokens": "x", "output_tokens": -1}, {"input_tokens": True}])
    def test_that_is_none_is_not_told(self, conversation: Conversation, usage: object) -> None:
        assert read(conversation, whole(usage_metadata=usage)) == []


class TestAToolCall:
    def test_is_told_with_arguments_and_result(self, conversation: Conversation) -> None:
        message = whole(tool_calls=[CALL])

        assert read(conversation, message, tool(), message, tool()) == [started({"file_path": "/a"}), finished()]

    def test_that_failed_says_so(self, conversation: Conversation) -> None:
        assert read(conversation, whole(tool_calls=[CALL]), tool("no", status="error"))[-1] == finished("no", "FAILED")

    def test_whose_result_comes_first_is_told_before_it(self, conversation: Conversation) -> None:
        assert read(conversation, tool(), whole(tool_calls=[CALL])) == [started(), finished()]

    def test_in_pieces_is_told_with_its_result(self, conversation: Conversation) -> None:
        events = read(
            conversation,
            piece(tool_call_chunks=[{"name": "write_", "args": '{"file', "id": "call_0", "index": 0}]),
            piece(tool_call_chunks=[{"name": "file", "args": '_path": "/a"}', "id": None, "index": 0}, 5]),
            tool(),
        )

        assert events == [started({"file_path": "/a"}), finished()]
        assert list(conversation.close()) == []

    @pytest.mark.parametrize(("written", "arguments"), [("", None), ('{"a', '{"a'), ("[" * 100_000, "[" * 100_000)])
    def test_that_was_not_finished_is_told_at_the_end_as_far_as_it_came(
        self, conversation: Conversation, written: str, arguments: object
    ) -> None:
        read(
            conversation, piece(tool_call_chunks=[{"name": "write_file", "args": written, "id": "call_0", "index": 0}])
        )

        assert list(conversation.close()) == [started(arguments)]

    def test_without_a_name_or_id_gets_them(self, conversation: Conversation) -> None:
        (event,) = read(conversation, whole(tool_calls=[{"args": {}}, "x"][:1]))

        payload = {"tool_call_id": f"{RUN}-0", "agent": None, "name": "tool", "arguments": {}}
        assert event == NewEvent("ToolCallStarted", payload)

    def test_of_the_planning_tool_changes_the_plan(self, conversation: Conversation) -> None:
        todos = [{"content": "a", "status": "pending"}]
        call = {"name": "write_todos", "args": {"todos": todos}, "id": "call_0"}

        events = read(conversation, whole(tool_calls=[call]))

        assert events == [
            started({"todos": todos}, name="write_todos"),
            NewEvent("PlanUpdated", {"items": [{"content": "a", "status": "PENDING"}]}),
        ]
        assert list(conversation.plan.update(todos)) == []


class TestMissed:
    def test_an_unfinished_message_is_not_put_together_from_what_is_left(self, conversation: Conversation) -> None:
        read(conversation, piece("Hel"))
        conversation.missed()

        assert read(conversation, piece("p!")) == []
        assert list(conversation.close()) == []

    def test_it_is_told_when_it_comes_as_a_whole(self, conversation: Conversation) -> None:
        conversation.missed()

        assert read(conversation, piece("p!"), whole("Help!")) == [said("Help!")]

    def test_a_message_that_begins_afterwards_is_told_in_deltas(self, conversation: Conversation) -> None:
        conversation.missed()

        assert read(conversation, piece(), piece("Hi")) == [MessageDelta(RUN, None, "Hi")]
