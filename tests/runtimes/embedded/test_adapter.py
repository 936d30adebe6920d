import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from uuid import UUID

import pytest

from graphql_api.events.records import NewEvent
from graphql_api.runtimes.embedded.adapter import CANCELLED, EmbeddedNormalizer, EmbeddedRuntime
from graphql_api.runtimes.embedded.frames import FAILURE, SLOW_FRAMES
from graphql_api.runtimes.protocol import (
    AgentRuntime,
    FilesSnapshot,
    Frame,
    MessageDelta,
    Normalized,
    RunEnded,
    RunRequest,
    RuntimeFailure,
    Snapshot,
    ThreadRef,
    ThreadStatus,
    TokensUsed,
)

PROMPT = "Add a reviewer agent that checks every answer for tone"

EXECUTION = UUID("11111111-2222-3333-4444-555555555555")

IN_ANOTHER_PROCESS = """
import asyncio, json, sys
from uuid import UUID
from graphql_api.runtimes.embedded.adapter import EmbeddedRuntime
from graphql_api.runtimes.protocol import RunRequest

async def run():
    runtime = EmbeddedRuntime(0)
    request = RunRequest(UUID(sys.argv[1]), sys.argv[2], None, None, {"THE_SPEC/plan.md": "# Plan\\n"})
    thread = await runtime.start(request)
    print(json.dumps([[frame.kind, frame.content] async for frame in runtime.events(request, thread)]))

asyncio.run(run())
"""


def request(prompt: str = PROMPT, files: dict[str, str] | None = None) -> RunRequest:
    return RunRequest(EXECUTION, prompt, None, None, files or {})


async def frames_of(runtime: EmbeddedRuntime, asked: RunRequest) -> list[Frame]:
    return [frame async for frame in runtime.events(asked, await runtime.start(asked))]


def run(prompt: str = PROMPT, files: dict[str, str] | None = None) -> list[Frame]:
    return asyncio.run(frames_of(EmbeddedRuntime(0), request(prompt, files)))


def normalized(frames: Iterable[Frame]) -> list[Normalized]:
    normalizer = EmbeddedRuntime().normalizer(request())
    return [item for frame in frames for item in normalizer.normalize(frame)]


def payloads(items: Iterable[Normalized], type_: str) -> list[dict[str, object]]:
    return [dict(item.payload) for item in items if isinstance(item, NewEvent) and item.type == type_]


class TestStart:
    def test_the_thread_follows_from_the_execution(self) -> None:
        runtime: AgentRuntime = EmbeddedRuntime(0)
        thread = asyncio.run(runtime.start(request()))
        assert thread == ThreadRef(f"embedded-{EXECUTION}", {})
        assert asyncio.run(runtime.start(request())) == thread

    def test_it_is_always_healthy(self) -> None:
        assert asyncio.run(EmbeddedRuntime().health()).is_healthy


class TestEvents:
    def test_every_reader_gets_the_same_frames_from_the_first(self) -> None:
        async def twice() -> tuple[list[Frame], list[Frame]]:
            runtime = EmbeddedRuntime(0)
            return await frames_of(runtime, request()), await frames_of(runtime, request())

        first, second = asyncio.run(twice())
        assert first == second

    def test_another_process_sends_the_same_frames(self) -> None:
        outputs = [
            subprocess.run(
                [sys.executable, "-c", IN_ANOTHER_PROCESS, str(EXECUTION), PROMPT],
                check=True,
                capture_output=True,
                env={**os.environ, "PYTHONHASHSEED": seed},
            ).stdout
            for seed in ("1", "2")
        ]
        here = run(files={"THE_SPEC/plan.md": "# Plan\n"})
        assert [json.loads(output) for output in outputs] == [[[frame.kind, frame.content] for frame in here]] * 2

    def test_a_run_ends_with_its_end_and_nothing_after(self) -> None:
        frames = run()
        assert [index for index, frame in enumerate(frames) if frame.kind == "end"] == [len(frames) - 1]

    def test_others_get_their_turn_between_frames(self) -> None:
        async def turns() -> int:
            count, is_over = 0, False

            async def count_turns() -> None:
                nonlocal count
                while not is_over:
                    count += 1
                    await asyncio.sleep(0)

            counting = asyncio.create_task(count_turns())
            frames = await frames_of(EmbeddedRuntime(0), request())
            is_over = True
            await counting
            return count - len(frames)

        assert asyncio.run(turns()) >= 0

    def test_slow_adds_frames_and_not_one_change(self) -> None:
        quick, slow = run(), run(f"[slow] {PROMPT}")
        assert len(slow) - len(quick) == SLOW_FRAMES
        assert [frame.content for frame in slow if frame.kind == "files"] == [
            frame.content for frame in quick if frame.kind == "files"
        ]

    def test_slow_frames_come_slower_unless_there_is_no_pace(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pauses: list[float] = []
        pause = asyncio.sleep

        async def noted(seconds: float) -> None:
            pauses.append(seconds)
            await pause(0)

        monkeypatch.setattr(asyncio, "sleep", noted)
        for pace, slow_pace in ((0.001, 0.1), (0.005, 0.15)):
            pauses.clear()
            asyncio.run(frames_of(EmbeddedRuntime(pace), request(f"[slow] {PROMPT}")))
            assert pauses.count(slow_pace) == SLOW_FRAMES
            assert set(pauses) == {pace, slow_pace}
        pauses.clear()
        asyncio.run(frames_of(EmbeddedRuntime(0), request(f"[slow] {PROMPT}")))
        assert set(pauses) == {0.0}

    def test_fail_does_a_part_and_then_fails(self) -> None:
        items = normalized(run(f"{PROMPT} [fail]"))
        assert items[-1] == RunEnded(error=FAILURE)
        snapshots = [item.files for item in items if isinstance(item, FilesSnapshot)]
        assert [len(files) for files in snapshots] == [1, 2, 3]

    def test_a_prompt_with_nothing_to_do_still_has_its_messages(self) -> None:
        files = dict([frame for frame in run() if frame.kind == "files"][-1].content["files"])
        items = normalized(run(files=files))
        assert len(payloads(items, "AgentMessageCompleted")) == 2
        assert not [item for item in items if isinstance(item, FilesSnapshot)]
        assert isinstance(items[-1], RunEnded)
        assert items[-1].error is None

    def test_a_move_is_a_write_and_a_removal(self) -> None:
        files = dict([frame for frame in run() if frame.kind == "files"][-1].content["files"])
        calls = payloads(normalized(run("Rename agent Reviewer to Auditor", files)), "ToolCallStarted")
        names = [call["name"] for call in calls]
        assert names[names.index("write_file") :][:3] == ["write_file", "delete_file", "edit_file"]

    def test_what_an_edit_says_that_it_replaces_is_in_the_file(self) -> None:
        plan = "# Plan\n\n## Steps\n\n1. Begin\n\n## Later\n"
        items = normalized(run(files={"THE_SPEC/plan.md": plan, "long.md": "x"}))
        edit = next(call["arguments"] for call in payloads(items, "ToolCallStarted") if call["name"] == "edit_file")
        last = [item for item in items if isinstance(item, FilesSnapshot)][-1].files
        assert isinstance(edit, dict)
        assert plan.replace(edit["old_string"], edit["new_string"]) == last["THE_SPEC/plan.md"]

    def test_a_large_file_is_not_sent_twice(self) -> None:
        plan = "# Plan\n" + "".join(f"{'line ' * 60}{number}\n" for number in range(3_000))
        frames = run(files={"THE_SPEC/plan.md": plan})
        output = next(frame.content["output"] for frame in frames if frame.kind == "tool_end")
        assert output.endswith("… 2981 more lines")
        assert len(output) < 5_000

    def test_a_full_draft_is_worked_on(self) -> None:
        files = {f"THE_CAST/Agent_{number}.md": f"# Agent {number}\n" * 100 for number in range(490)}
        assert len([frame for frame in run(files=files) if frame.kind == "files"]) == 5

    def test_a_change_of_hundreds_of_files_is_one_item_of_the_plan(self) -> None:
        files = {f"THE_CAST/Agent_{number}.md": "Writer\n" for number in range(400)} | {
            "THE_CAST/Writer.md": "Writer\n"
        }
        frames = run("Rename agent Writer to Author", files)
        shown = [frame.content["files"] for frame in frames if frame.kind == "files"]
        assert len(shown) == 3
        assert all("Writer" not in content for content in shown[-1].values())
        assert len([frame for frame in frames if frame.kind == "plan"]) == 6
        assert "- … and 382 more" in [frame for frame in frames if frame.kind == "message"][-1].content["text"]


class TestNormalizer:
    def test_the_plan_moves_from_pending_to_completed(self) -> None:
        plans = [plan["items"] for plan in payloads(normalized(run()), "PlanUpdated")]
        statuses = [[item["status"] for item in plan] for plan in plans if isinstance(plan, list)]
        assert statuses[0] == ["IN_PROGRESS", *["PENDING"] * 6]
        assert statuses[3] == ["COMPLETED"] * 3 + ["IN_PROGRESS"] + ["PENDING"] * 3
        assert statuses[-1] == ["COMPLETED"] * 7

    def test_the_deltas_of_a_message_are_its_text(self) -> None:
        items = normalized(run())
        for message in payloads(items, "AgentMessageCompleted"):
            deltas = [i for i in items if isinstance(i, MessageDelta) and i.message_id == message["message_id"]]
            assert "".join(delta.text for delta in deltas) == message["text"]
            assert len(deltas) > 3
            assert (message["agent"], message["role"]) == ("author", "ASSISTANT")

    def test_a_tool_call_that_started_finishes(self) -> None:
        items = normalized(run(files={"definition.json": "{}"}))
        started, finished = payloads(items, "ToolCallStarted"), payloads(items, "ToolCallFinished")
        assert [call["tool_call_id"] for call in started] == [call["tool_call_id"] for call in finished]
        assert started[0] == {
            "tool_call_id": f"embedded-{EXECUTION}-call-1",
            "agent": "author",
            "name": "read_file",
            "arguments": {"file_path": "definition.json"},
        }
        assert finished[0] == {
            "tool_call_id": f"embedded-{EXECUTION}-call-1",
            "agent": "author",
            "name": "read_file",
            "status": "SUCCEEDED",
            "output": "{}",
        }

    def test_usage_counts_words(self) -> None:
        used = [item for item in normalized(run()) if isinstance(item, TokensUsed)]
        assert [(usage.model, usage.input_tokens) for usage in used] == [("embedded-rules", len(PROMPT.split()))]
        assert used[0].output_tokens > 100

    def test_progress_and_the_summary_are_told(self) -> None:
        items = normalized(run())
        assert payloads(items, "ProposalProgressed")[-1] == {"message": "Done: 5 files changed."}
        assert isinstance(items[-1], RunEnded)
        assert "- **Orchestrator** delegates to **Reviewer**." in str(items[-1].summary)

    @pytest.mark.parametrize(
        "frame",
        [Frame("new", {"a": 1}), Frame("plan", {"todos": [{}]}), Frame("files", {"files": 3}), Frame("end", None)],
    )
    def test_what_cannot_be_read_is_handed_on(self, frame: Frame) -> None:
        assert list(EmbeddedNormalizer().normalize(frame)) == [
            NewEvent("RuntimeEventReceived", {"event_type": frame.kind, "data": frame.content})
        ]

    def test_all_payloads_are_json(self) -> None:
        for item in normalized(run(f"[slow] {PROMPT}")):
            if isinstance(item, NewEvent):
                assert json.loads(json.dumps(item.payload)) == item.payload
                assert item.type != "RuntimeEventReceived"


class TestSnapshot:
    def test_a_thread_of_another_process_is_unknown(self) -> None:
        assert asyncio.run(EmbeddedRuntime().snapshot(ThreadRef("embedded-x"))) == Snapshot(ThreadStatus.UNKNOWN)

    def test_it_is_as_far_as_the_furthest_reader(self) -> None:
        async def ask() -> list[Snapshot]:
            runtime, asked = EmbeddedRuntime(0), request(files={"a.md": "a"})
            thread = await runtime.start(asked)
            seen = [await runtime.snapshot(thread)]
            async for frame in runtime.events(asked, thread):
                if frame.kind == "files" and len(seen) == 1:
                    seen.append(await runtime.snapshot(thread))
            seen.append(await runtime.snapshot(thread))
            await anext(runtime.events(asked, thread))
            return [*seen, await runtime.snapshot(thread)]

        before, amid, after, replayed = asyncio.run(ask())
        assert (before.status, before.files) == (ThreadStatus.RUNNING, {"a.md": "a"})
        assert (amid.status, set(amid.files or ())) == (ThreadStatus.RUNNING, {"a.md", "THE_SPEC/requirements.md"})
        assert (after.status, len(after.files or ()), after.error) == (ThreadStatus.COMPLETED, 6, None)
        assert str(after.result).startswith("Done: ")
        assert replayed == after

    def test_a_failed_thread_says_why(self) -> None:
        async def ask() -> Snapshot:
            runtime = EmbeddedRuntime(0)
            await frames_of(runtime, request("[fail]"))
            return await runtime.snapshot(await runtime.start(request("[fail]")))

        found = asyncio.run(ask())
        assert (found.status, found.error) == (ThreadStatus.FAILED, FAILURE)


class TestCancel:
    def test_a_running_reader_is_stopped(self) -> None:
        async def cancelled() -> tuple[RuntimeFailure, Snapshot]:
            runtime = EmbeddedRuntime(0)
            thread = await runtime.start(request())
            frames = runtime.events(request(), thread)
            await anext(frames)
            assert await runtime.cancel(thread)
            with pytest.raises(RuntimeFailure) as raised:
                await anext(frames)
            return raised.value, await runtime.snapshot(thread)

        failure, found = asyncio.run(cancelled())
        assert (failure.message, failure.is_retryable) == (CANCELLED, False)
        assert (found.status, found.error) == (ThreadStatus.FAILED, CANCELLED)

    def test_what_has_ended_stays_as_it_ended(self) -> None:
        async def cancelled() -> ThreadStatus:
            runtime = EmbeddedRuntime(0)
            await frames_of(runtime, request())
            thread = await runtime.start(request())
            assert await runtime.cancel(thread)
            return (await runtime.snapshot(thread)).status

        assert asyncio.run(cancelled()) is ThreadStatus.COMPLETED

    def test_a_thread_of_another_process_cannot_be_cancelled(self) -> None:
        assert not asyncio.run(EmbeddedRuntime().cancel(ThreadRef("embedded-x")))


class TestForget:
    def test_a_forgotten_thread_is_unknown(self) -> None:
        async def forgotten() -> tuple[bool, ThreadStatus, bool]:
            runtime = EmbeddedRuntime(0)
            thread = await runtime.start(request())
            first = await runtime.forget(thread)
            return first, (await runtime.snapshot(thread)).status, await runtime.forget(thread)

        assert asyncio.run(forgotten()) == (True, ThreadStatus.UNKNOWN, False)

    def test_the_oldest_ended_threads_make_room(self) -> None:
        async def statuses() -> list[ThreadStatus]:
            runtime = EmbeddedRuntime(0)
            threads = []
            for number in range(258):
                thread = await runtime.start(RunRequest(UUID(int=number), PROMPT, None, None, {}))
                await runtime.cancel(thread)
                threads.append(thread)
            return [(await runtime.snapshot(thread)).status for thread in threads[:2]]

        assert asyncio.run(statuses()) == [ThreadStatus.UNKNOWN, ThreadStatus.FAILED]

    def test_closing_forgets_all(self) -> None:
        async def closed() -> ThreadStatus:
            runtime = EmbeddedRuntime(0)
            thread = await runtime.start(request())
            await runtime.close()
            return (await runtime.snapshot(thread)).status

        assert asyncio.run(closed()) is ThreadStatus.UNKNOWN
