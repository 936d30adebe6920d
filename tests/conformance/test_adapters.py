"""What the `AgentRuntime` protocol promises, of every adapter."""

import asyncio
from dataclasses import replace
from uuid import uuid4

import pytest
from support.adapters import GIVEN, PROMPT, REMOTE, Adapter, Run, Stage, perform, request

from graphql_api.events.records import NewEvent
from graphql_api.runtimes.protocol import (
    FilesSnapshot,
    Resume,
    RuntimeFailure,
    ThreadRef,
    ThreadStatus,
    TokensUsed,
)

pytestmark = pytest.mark.anyio


class TestStart:
    async def test_starting_an_execution_twice_starts_it_once(self, stage: Stage) -> None:
        asked = request(f"{stage.adapter.endless} {PROMPT}")
        first = await stage.runtime.start(asked)
        assert await stage.runtime.start(replace(asked, is_repeated=True)) == first
        if stage.fake is not None:
            assert [thread.starts for thread in stage.fake.threads.values()] == [1]
        await stage.runtime.cancel(first)

    async def test_a_thread_is_found_again_by_what_is_stored_of_it(self, stage: Stage) -> None:
        asked = request()
        thread = await stage.runtime.start(asked)
        run = await perform(stage.runtime, asked, ThreadRef(thread.thread_id, dict(thread.handle)))
        assert run.end.error is None


class TestEvents:
    async def test_a_run_ends_once_and_last(self, stage: Stage) -> None:
        run = await perform(stage.runtime, request())
        assert run.end.error is None
        assert run.end.summary

    async def test_every_frame_is_understood(self, stage: Stage) -> None:
        run = await perform(stage.runtime, request())
        assert run.payloads("RuntimeEventReceived") == []
        assert {item.type for item in run.items if isinstance(item, NewEvent)} >= {
            "AgentMessageCompleted",
            "PlanUpdated",
            "ProposalProgressed",
            "ToolCallFinished",
            "ToolCallStarted",
        }

    async def test_tool_calls_come_in_pairs(self, stage: Stage) -> None:
        run = await perform(stage.runtime, request())
        started, finished = run.payloads("ToolCallStarted"), run.payloads("ToolCallFinished")
        assert [call["tool_call_id"] for call in started] == [call["tool_call_id"] for call in finished]
        assert len({call["tool_call_id"] for call in started}) == len(started) > 0
        written = [call["arguments"] for call in started if call["name"] == "write_file"]
        assert {"file_path", "content"} == set(written[0])
        assert {call["status"] for call in finished} == {"SUCCEEDED"}

    async def test_pieces_of_a_message_make_up_the_message(self, stage: Stage) -> None:
        run = await perform(stage.runtime, request())
        said = [payload for payload in run.payloads("AgentMessageCompleted") if payload["role"] == "ASSISTANT"]
        assert {payload["message_id"]: payload["text"] for payload in said} == run.deltas
        assert len(said) > 1

    async def test_a_plan_is_worked_off(self, stage: Stage) -> None:
        run = await perform(stage.runtime, request())
        plans = run.payloads("PlanUpdated")
        assert {item["status"] for item in plans[-1]["items"]} == {"COMPLETED"}
        assert "IN_PROGRESS" in {item["status"] for item in plans[0]["items"]}

    async def test_tokens_are_counted_once(self, stage: Stage) -> None:
        run = await perform(stage.runtime, request())
        assert len([item for item in run.items if isinstance(item, TokensUsed)]) == 1

    async def test_a_run_that_fails_says_why(self, stage: Stage) -> None:
        run = await perform(stage.runtime, request(f"[fail] {PROMPT}"))
        assert stage.adapter.failure in str(run.end.error)


class TestFiles:
    async def test_they_are_what_the_agent_wrote_and_what_it_was_given(self, stage: Stage) -> None:
        run = await perform(stage.runtime, request())
        assert run.files["THE_SPEC/notes.md"] == GIVEN["THE_SPEC/notes.md"]
        assert {"definition.json", "THE_CAST/Reviewer.md", "THE_SPEC/plan.md"} < run.files.keys()
        assert all(isinstance(content, str) for content in run.files.values())

    async def test_one_that_the_agent_deletes_is_gone(self, stage: Stage) -> None:
        run = await perform(stage.runtime, request("Remove the Old agent."))
        assert "THE_CAST/Old.md" not in run.files

    async def test_the_stream_and_the_snapshot_agree(self, stage: Stage) -> None:
        run = await perform(stage.runtime, request())
        snapshot = await stage.runtime.snapshot(run.thread)
        assert (snapshot.status, snapshot.error) == (ThreadStatus.COMPLETED, None)
        assert snapshot.files == run.files
        assert snapshot.result

    async def test_the_snapshot_of_a_run_that_failed_says_why(self, stage: Stage) -> None:
        run = await perform(stage.runtime, request(f"[fail] {PROMPT}"))
        snapshot = await stage.runtime.snapshot(run.thread)
        assert snapshot.status is ThreadStatus.FAILED
        assert stage.adapter.failure in str(snapshot.error)


class TestCapabilities:
    async def test_they_are_what_a_run_shows(self, stage: Stage) -> None:
        run = await perform(stage.runtime, request())
        snapshot = await stage.runtime.snapshot(run.thread)
        told = stage.runtime.capabilities
        assert (told.tokens, told.tools, told.files_in_stream, told.files_in_state) == (
            bool(run.deltas),
            bool(run.payloads("ToolCallStarted")),
            any(isinstance(item, FilesSnapshot) for item in run.items),
            snapshot.files is not None,
        )

    async def test_a_runtime_that_can_replay_gives_the_same_frames_again(self, stage: Stage) -> None:
        asked = request()
        run = await perform(stage.runtime, asked)
        again = await perform(stage.runtime, asked, run.thread)
        assert again.end == run.end
        assert again.files == run.files
        assert (again.frames == run.frames) is (stage.runtime.capabilities.resume is Resume.REPLAY)


class TestCancel:
    async def test_it_stops_the_run_or_says_that_it_can_not(self, stage: Stage) -> None:
        asked = request(f"{stage.adapter.endless} {PROMPT}")
        thread = await stage.runtime.start(asked)
        assert await stage.runtime.cancel(thread) is stage.runtime.capabilities.cancel
        status = (await stage.runtime.snapshot(thread)).status
        assert status is (ThreadStatus.FAILED if stage.runtime.capabilities.cancel else ThreadStatus.RUNNING)

    async def test_who_reads_a_run_that_is_stopped_is_told(self, stage: Stage) -> None:
        if not stage.runtime.capabilities.cancel:
            pytest.skip("it can't be stopped")
        asked = request(f"{stage.adapter.endless} {PROMPT}")
        (outcome,) = await asyncio.gather(perform(stage.runtime, asked, is_cancelled=True), return_exceptions=True)
        if isinstance(outcome, RuntimeFailure):
            assert not outcome.is_retryable
        else:
            assert isinstance(outcome, Run)
            assert outcome.end.error


class TestForget:
    async def test_what_it_forgot_is_unknown(self, stage: Stage) -> None:
        run = await perform(stage.runtime, request())
        forgot = await stage.runtime.forget(run.thread)
        status = (await stage.runtime.snapshot(run.thread)).status
        assert status is (ThreadStatus.UNKNOWN if forgot else ThreadStatus.COMPLETED)

    async def test_what_it_never_knew_is_no_error(self, stage: Stage) -> None:
        nobody = ThreadRef(str(uuid4()), {"run_id": str(uuid4())})
        assert not await stage.runtime.cancel(nobody)
        assert not await stage.runtime.forget(nobody)
        assert (await stage.runtime.snapshot(nobody)).status is ThreadStatus.UNKNOWN


class TestHealth:
    async def test_one_that_answers_is_healthy(self, stage: Stage) -> None:
        assert (await stage.runtime.health()).is_healthy

    @pytest.mark.parametrize("adapter", REMOTE, ids=lambda adapter: adapter.name)
    async def test_one_that_is_gone_is_not(self, adapter: Adapter) -> None:
        async with adapter.unreachable() as runtime:
            health = await runtime.health()
            assert not health.is_healthy
            assert health.detail
            with pytest.raises(RuntimeFailure) as failure:
                await runtime.start(request())
            assert failure.value.is_retryable
