"""The fake deepagents-runtime, as its clients see it."""

import json

import pytest
from support.fakes import CUT, DeepagentsClient, deepagents, heard, kinds, take

from graphql_api.runtimes.fakes.faults import Fault
from graphql_api.runtimes.fakes.scripts import SHORT_FILES, failing, short

pytestmark = pytest.mark.anyio

FILES = {f"/{path}": content.split("\n") for path, content in SHORT_FILES.items()}


async def files_of(client: DeepagentsClient, thread_id: str) -> dict[str, list[str]]:
    state = await client.state(thread_id)
    return {path: file["content"] for path, file in state["generated_files"].items()}


class TestRun:
    async def test_who_listens_first_hears_everything(self) -> None:
        async with deepagents(script=short) as (_, client):
            messages = await client.run("job")
            assert messages[-1] == CUT
            assert set(kinds(messages)) == {"on_llm_stream", "on_state_update", "end"}
            assert kinds(messages)[-1] == "end"
            updates = [json.loads(message) for message in messages if message != CUT]
            files = [update["data"]["files"] for update in updates if "files" in update["data"]]
            assert {path: file["content"] for path, file in files[-1].items()} == FILES
            assert await client.state("job") == {
                "thread_id": "job",
                "status": "completed",
                "result": {"output": "Done: Do it. "},
                "generated_files": files[-1],
                "error": None,
            }

    async def test_who_comes_late_hears_how_it_ended(self) -> None:
        async with deepagents(script=short) as (_, client):
            await client.run("job")
            async with client.stream("job") as socket:
                messages = await heard(socket)
            assert kinds(messages) == ["on_state_update", "end"]

    async def test_an_agent_that_fails_says_so(self) -> None:
        async with deepagents(script=failing) as (_, client):
            assert kinds(await client.run("job"))[-1] == "error"
            state = await client.state("job")
            assert (state["status"], state["error"]) == ("failed", "The model refused.")
            async with client.stream("job") as socket:
                assert kinds(await heard(socket)) == ["error"]

    async def test_the_files_of_the_request_are_where_the_agent_begins(self) -> None:
        async with deepagents() as (_, client), client.stream("job") as socket:
            await client.invoke("job", "Add a Greeter.", files={"/THE_SPEC/notes.md": {"content": ["Mind", "this."]}})
            await heard(socket)
            files = await files_of(client, "job")
            assert files["/THE_SPEC/notes.md"] == ["Mind", "this."]
            assert {"/definition.json", "/THE_CAST/Greeter.md"} < files.keys()

    async def test_a_job_that_runs_is_not_started_again(self) -> None:
        async with deepagents(faults=[Fault.SILENT]) as (fake, client):
            for _ in range(2):
                assert (await client.invoke("job")).json() == {"thread_id": "job", "status": "started"}
            assert fake.threads["job"].starts == 2

    async def test_a_job_that_is_over_goes_on_in_its_thread(self) -> None:
        async with deepagents(script=short) as (fake, client):
            await client.run("job")
            await client.invoke("job")
            assert (await client.state("job"))["status"] == "running"
            assert fake.threads["job"].starts == 2

    async def test_an_unknown_thread_looks_as_if_it_ran(self) -> None:
        async with deepagents() as (_, client), client.stream("nobody") as socket:
            assert json.loads(await socket.recv())["data"]["status"] == "running"
            assert (await client.state("nobody")) == {"detail": "Thread nobody not found"}

    async def test_empty_fields_are_refused(self) -> None:
        async with deepagents() as (_, client):
            answer = await client.http.post("/deepagents-runtime/invoke", json={"job_id": " ", "trace_id": "t"})
            assert answer.status_code == 422
            assert [problem["loc"][1] for problem in answer.json()["detail"]] == [
                "agent_definition",
                "input_payload",
                "job_id",
            ]

    async def test_there_is_no_way_to_drop_a_thread(self) -> None:
        async with deepagents() as (_, client):
            assert (await client.http.delete("/deepagents-runtime/state/job")).status_code == 405
            assert (await client.http.get("/health")).json() == {"status": "healthy"}


class TestFaults:
    @pytest.mark.parametrize("fault", [Fault.DROP_MID_FRAME, Fault.DROPS_ALWAYS, Fault.CLOSES_EARLY, Fault.RESTARTS])
    async def test_a_stream_can_break_off(self, fault: Fault) -> None:
        async with deepagents(script=short) as (_, client):
            messages = await client.run("job", f"[fault:{fault.value}] Do it.")
            assert "end" not in kinds(messages)
            assert len(messages) > 3
            assert (messages[-1] == CUT) is (fault is not Fault.CLOSES_EARLY)
            assert ("detail" in await client.state("job")) is (fault is Fault.RESTARTS)

    async def test_a_fault_is_that_of_one_thread(self) -> None:
        async with deepagents(script=short) as (_, client):
            await client.run("job", "[fault:no-files] Do it.")
            await client.run("other")
            assert (await files_of(client, "job"), await files_of(client, "other")) == ({}, FILES)

    async def test_frames_come_twice(self) -> None:
        async with deepagents(script=short) as (_, client):
            messages = (await client.run("job", "[fault:duplicates]"))[1:-2]
            assert messages[::2] == messages[1::2]

    async def test_frames_change_places(self) -> None:
        async with deepagents(script=short) as (_, client):
            swapped = kinds(await client.run("job", "[fault:reorders]"))
            straight = kinds(await client.run("other"))
            assert swapped[:2] == straight[1::-1] != straight[:2]
            assert swapped[-1] == "end"

    async def test_garbage_is_sent(self) -> None:
        async with deepagents(script=short) as (_, client):
            messages = await client.run("job", "[fault:garbage]")
            assert "this is no JSON {" in messages
            assert b"\x00\x01\x02\xff" in messages

    async def test_a_frame_is_no_utf8(self) -> None:
        async with deepagents(script=short) as (_, client), client.stream("job") as socket:
            await client.invoke("job", "[fault:invalid-utf8]")
            await heard(socket)
            sent = socket.protocol.close_sent
            assert sent is not None
            assert sent.code == 1007

    async def test_a_frame_is_huge(self) -> None:
        async with deepagents(script=short, huge=3_000_000) as (_, client):
            assert max(map(len, await client.run("job", "[fault:huge-frames]"))) > 3_000_000

    @pytest.mark.parametrize("fault", [Fault.SILENT, Fault.NEVER_ENDS])
    async def test_a_run_goes_on_for_ever(self, fault: Fault) -> None:
        async with deepagents(script=short, faults=[fault]) as (fake, client):
            async with client.stream("job") as socket:
                await client.invoke("job")
                for _ in range(1 + len(fake.threads["job"].cues)):
                    await socket.recv()
                assert (await client.state("job"))["status"] == "running"
            assert not fake.threads["job"].is_over

    async def test_the_end_comes_twice(self) -> None:
        async with deepagents(script=short) as (_, client):
            assert kinds(await client.run("job", "[fault:ends-twice]"))[-2:] == ["end", "end"]

    async def test_an_error_comes_before_the_end(self) -> None:
        async with deepagents(script=short) as (_, client):
            assert kinds(await client.run("job", "[fault:error-then-end]"))[-2:] == ["error", "end"]

    async def test_more_comes_after_the_end(self) -> None:
        async with deepagents(script=short) as (_, client):
            messages = await client.run("job", "[fault:events-after-end]")
            after = messages[[json.loads(message)["event_type"] for message in messages[:-1]].index("end") :]
            assert "/LATE.md" in str(after[1])
            assert await files_of(client, "job") == FILES

    async def test_files_are_in_the_state_only(self) -> None:
        async with deepagents(script=short) as (_, client):
            messages = await client.run("job", "[fault:files-in-state-only]")
            assert not any('"files"' in str(message) for message in messages)
            assert await files_of(client, "job") == FILES

    async def test_the_state_lies(self) -> None:
        async with deepagents(faults=[Fault.SILENT]) as (_, client):
            await client.invoke("job", "[fault:state-lies]")
            state = await client.state("job")
            assert (state["status"], state["generated_files"]) == ("completed", {})

    async def test_a_thread_gets_another_id(self) -> None:
        async with deepagents(script=short) as (_, client):
            thread_id = (await client.invoke("job", "[fault:changes-thread-id]")).json()["thread_id"]
            assert thread_id != "job"
            assert (await client.state(thread_id))["status"] == "running"

    async def test_starts_are_refused(self) -> None:
        async with deepagents(script=short) as (fake, client):
            for prompt, answers in {
                "[fault:refuses]": [503, 503],
                "[fault:refuses-once]": [503, 200],
                "[fault:500]": [500, 500],
                "[fault:500-after-start]": [500, 200],
            }.items():
                assert [(await client.invoke(prompt, prompt)).status_code for _ in range(2)] == answers
                assert fake.tries[prompt] == 2
            assert [*fake.threads] == ["[fault:refuses-once]", "[fault:500-after-start]"]
            assert fake.threads["[fault:500-after-start]"].starts == 2

    async def test_a_server_refuses_everything(self) -> None:
        async with deepagents(faults=[Fault.REFUSES, Fault.SLOW], slow_seconds=0.001) as (_, client):
            assert (await client.http.get("/ready")).status_code == 503

    async def test_a_slow_run_ends_too(self) -> None:
        async with deepagents(script=short, faults=[Fault.SLOW], slow_seconds=0.001, speed=1) as (_, client):
            assert kinds(await client.run("job"))[-1] == "end"


class TestRecordings:
    async def test_a_recording_is_played_as_it_was(self) -> None:
        recorded = take("deepagents-forwarding", "ws-early")
        async with deepagents(take=recorded) as (_, client):
            messages = await client.run("job")
            assert messages[-1] != CUT
            assert kinds(messages) == [cue.event for cue in (*recorded.play.cues, *recorded.play.ending)]
            assert str(recorded.thread_id) not in str(messages)
            assert (await client.state("job"))["result"] == {
                "output": "Done. Wrote 3 files for: [slow=0.3] Create a hello world agent"
            }
            assert [*await files_of(client, "job")] == ["/user_request.md", "/THE_SPEC/plan.md", "/definition.json"]

    async def test_one_without_files_and_without_a_close_frame(self) -> None:
        async with deepagents(take=take("deepagents-unmodified", "ws-early")) as (_, client):
            messages = await client.run("job")
            assert messages[-1] == CUT
            assert (await client.state("job"))["generated_files"] == {}
