from io import StringIO
from itertools import count
from typing import Any

import pytest
from rich.console import Console

from graphql_api.cli.demo_live import LiveView
from graphql_api.cli.demo_view import LineView, Outcome, Step
from graphql_api.cli.demo_work import ChangedFile, ToolCall, Work, subject_of

NUMBERS = count(1)
PLAN = [
    {"content": f"Step {number}", "status": status}
    for number, status in enumerate(["COMPLETED"] * 8 + ["IN_PROGRESS"] + ["PENDING"] * 8, 1)
]


def event(kind: str, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    return {"__typename": kind, "sequence": next(NUMBERS), "cursor": "c", **fields}


def change(path: str, kind: str, additions: int = 1, deletions: int = 0) -> dict[str, Any]:
    return event("FilesChanged", changes=[{"path": path, "kind": kind, "additions": additions, "deletions": deletions}])


def work(*events: dict[str, Any]) -> Work:
    made = Work()
    for each in events:
        made.add(each)
    return made


class TestWork:
    def test_pieces_of_a_message_go_where_they_belong(self) -> None:
        pieces = [(0, "Hel"), (3, "lo"), (3, "lo"), (5, " there")]
        deltas = [event("AgentMessageDelta", messageId="m", offset=offset, text=text) for offset, text in pieces]

        assert work(*deltas).messages == {"m": "Hello there"}
        whole = event("AgentMessageCompleted", messageId="m", text="Hello!")
        assert work(*deltas, whole).messages == {"m": "Hello!"}

    def test_changes_of_a_file_add_up(self) -> None:
        made = work(
            change("a", "ADDED", 3),
            change("a", "MODIFIED", 1, 2),
            change("b", "MODIFIED"),
            change("b", "DELETED", 0, 5),
        )

        assert made.files == {"a": ChangedFile("ADDED", 4, 2), "b": ChangedFile("DELETED", 1, 5)}

    def test_a_call_ends_as_it_is_told_also_when_its_start_was_missed(self) -> None:
        started = event("ToolCallStarted", toolCallId="1", name="edit", arguments={"path": "a.md"})
        made = work(started, *(event("ToolCallFinished", toolCallId=id_, name="edit", status="FAILED") for id_ in "12"))

        assert made.calls == {"1": ToolCall("edit", "a.md", "FAILED"), "2": ToolCall("edit", "", "FAILED")}

    def test_tokens_are_summed(self) -> None:
        assert work(*[event("UsageReported", usage={"totalTokens": 20})] * 2).tokens == 40

    @pytest.mark.parametrize(
        ("arguments", "subject"),
        [
            (None, ""),
            ({"count": 1}, ""),
            ({"content": "long", "file_path": "/a.md"}, "/a.md"),
            ({"other": " two\nlines "}, "two lines"),
            (["a"], ""),
        ],
    )
    def test_the_argument_that_tells_most_is_shown(self, arguments: object, subject: str) -> None:
        assert subject_of(arguments) == subject


class TestLines:
    def test_what_went_wrong_is_told(self, capsys: pytest.CaptureFixture[str]) -> None:
        view = LineView()
        view.event(event("ToolCallFinished", toolCallId="1", name="edit", status="FAILED", output=None))
        view.event(event("ToolCallFinished", toolCallId="2", name="edit", status="SUCCEEDED", output="ok"))
        view.event(event("RuntimeLinkChanged", state="RECOVERED_FROM_STATE"))
        view.event(event("RuntimeEventReceived"))

        assert capsys.readouterr().out.splitlines() == [
            "  tool    edit failed: it did not say why",
            "  link    recovered from state",
        ]


class TestPicture:
    def drawn(self, *, height: int, width: int = 100, is_lost: bool = False) -> list[str]:
        screen = StringIO()
        console = Console(file=screen, force_terminal=True, width=width, height=height, color_system=None)
        view = LiveView(console, "http://127.0.0.1:8080/graphql")
        view.end(Step.SIGN_IN, "Ada")
        view.begin(Step.WATCH)
        view.event(event("PlanUpdated", items=PLAN))
        for number in range(20):
            view.event(
                event("ToolCallStarted", toolCallId=str(number), name="edit", arguments={"path": f"{number}.md"})
            )
            view.event(change(f"directory/{number:02}.md", "ADDED"))
        view.event(event("AgentMessageDelta", messageId="m", offset=0, text="\n".join(f"Line {n}" for n in range(50))))
        if is_lost:
            view.lost("gone")
        console.print(view._picture())
        return screen.getvalue().splitlines()

    @pytest.mark.parametrize(("width", "height"), [(80, 30), (100, 40), (200, 60), (60, 32)])
    def test_it_fits_on_the_screen(self, width: int, height: int) -> None:
        assert len(self.drawn(width=width, height=height, is_lost=True)) < height

    def test_it_shows_what_is_done_now(self) -> None:
        text = "\n".join(self.drawn(height=40))

        assert "▸ Step 9" in text
        assert "Step 1\n" not in text
        assert "edit 19.md" in text
        assert "Line 49" in text
        assert "… and 1" in text

    def test_a_lost_connection_is_told_until_the_next_event(self) -> None:
        assert "The connection was lost (gone)" in "\n".join(self.drawn(height=40, is_lost=True))
        assert "lost" not in "\n".join(self.drawn(height=40))

    def test_the_end_has_the_whole_plan_and_every_file(self) -> None:
        screen = StringIO()
        view = LiveView(Console(file=screen, force_terminal=True, width=100, height=20, color_system=None), "http://u")
        with view:
            view.event(event("PlanUpdated", items=PLAN))
            view.event(change("only/one.md", "DELETED", 0, 7))
            view.finish(Outcome("Notes", 3, 3, [{"path": "a.md", "size": 1234}], "http://u"))
        text = screen.getvalue()

        assert all(item["content"] in text for item in PLAN)
        assert "-7" in text
        assert "runs version 3" in text
        assert "1,234 bytes" in text
