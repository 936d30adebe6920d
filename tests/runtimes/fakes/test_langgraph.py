"""The fake LangGraph Server, as its clients see it."""

import json
from uuid import UUID, uuid4

import httpx
import pytest
from support.fakes import langgraph, take
from support.waiting import until

from graphql_api.runtimes.fakes.faults import Fault
from graphql_api.runtimes.fakes.scripts import SHORT_FILES, asking, failing, short

pytestmark = pytest.mark.anyio

FILES = {f"/{path}": content for path, content in SHORT_FILES.items()}


def contents(files: dict[str, dict[str, str]]) -> dict[str, str]:
    return {path: file["content"] for path, file in files.items()}


class TestRun:
    async def test_its_stream_can_be_read_again_and_again(self) -> None:
        async with langgraph(script=short) as (_, client):
            run = await client.start(uuid4())
            events = await client.events(run)
            assert {event.event for event in events} == {"metadata", "updates", "messages"}
            assert await client.events(run) == events
            files: dict[str, dict[str, str]] = {}
            for event in events:
                content = json.loads(event.data)
                files |= content.get("tools", {}).get("files", {}) if event.event == "updates" else {}
            assert contents(files) == FILES

    async def test_resuming_after_an_id_loses_events(self) -> None:
        async with langgraph(script=short) as (_, client):
            run = await client.start(uuid4())
            events = await client.events(run)
            resumed = await client.events(run, last=events[0].id)
            assert events[-len(resumed) :] == resumed
            assert len(resumed) < len(events) - 1
            assert await client.events(run, last="nonsense") == events

    async def test_without_an_id_only_what_is_new_is_heard(self) -> None:
        async with langgraph(script=short) as (_, client):
            run = await client.start(uuid4())
            await client.events(run)
            assert await client.events(run, last=None) == []

    async def test_its_status_tells_how_it_ended(self) -> None:
        for script, status, word in (
            (short, "success", "idle"),
            (failing, "error", "error"),
            (asking, "interrupted", "interrupted"),
        ):
            async with langgraph(script=script) as (_, client):
                run = await client.start(uuid4())
                assert run["status"] == "running"
                await client.get(f"/threads/{run['thread_id']}/runs/{run['run_id']}/join")
                assert (await client.get(f"/threads/{run['thread_id']}/runs/{run['run_id']}"))["status"] == status
                assert (await client.get(f"/threads/{run['thread_id']}/runs"))[0]["status"] == status
                assert (await client.get(f"/threads/{run['thread_id']}"))["status"] == word

    async def test_its_state_has_files_and_the_last_message(self) -> None:
        async with langgraph(script=short) as (_, client):
            run = await client.start(uuid4(), files={"/notes.md": {"content": "Mind this."}})
            await client.events(run)
            values = (await client.get(f"/threads/{run['thread_id']}/state"))["values"]
            assert contents(values["files"]) == {"/notes.md": "Mind this.", **FILES}
            assert values["messages"][-1]["content"] == "Done: Do it. "

    async def test_one_that_asks_says_what(self) -> None:
        async with langgraph(script=asking) as (_, client):
            run = await client.start(uuid4())
            assert "__interrupt__" in (await client.events(run))[-1].data
            state = await client.get(f"/threads/{run['thread_id']}/state")
            assert state["interrupts"][0]["value"]["action_requests"][0]["name"] == "deploy"

    async def test_one_that_fails_says_why(self) -> None:
        async with langgraph(script=failing) as (_, client):
            run = await client.start(uuid4())
            assert (await client.events(run))[-1].event == "error"
            assert (await client.get(f"/threads/{run['thread_id']}"))["error"]["message"] == "The model refused."

    async def test_a_file_that_is_deleted_is_null(self) -> None:
        async with langgraph() as (_, client):
            given = {"/THE_CAST/Old.md": {"content": "# Old\n"}}
            run = await client.start(uuid4(), "Remove the Old agent.", files=given)
            updates = [json.loads(event.data) for event in await client.events(run) if event.event == "updates"]
            files = [update["tools"]["files"] for update in updates if "files" in update.get("tools", {})]
            assert {"/THE_CAST/Old.md": None} in files


class TestThreads:
    async def test_creating_one_twice_gives_the_same(self) -> None:
        async with langgraph() as (_, client):
            body = {"thread_id": str(uuid4())}
            assert (await client.http.post("/threads", json=body)).json()["thread_id"] == body["thread_id"]
            assert (await client.http.post("/threads", json=body)).status_code == 409
            again = await client.http.post("/threads", json={**body, "if_exists": "do_nothing"})
            assert (again.status_code, again.json()["status"]) == (200, "idle")

    async def test_names_that_are_no_uuid_are_refused(self) -> None:
        async with langgraph() as (_, client):
            assert (await client.http.post("/threads", json={"thread_id": "mine"})).status_code == 422
            assert (await client.http.get("/threads/not-a-uuid/state")).status_code == 422

    async def test_unknown_ones_are_not_found(self) -> None:
        async with langgraph() as (_, client):
            thread_id = uuid4()
            path = f"/threads/{thread_id}"
            for method, url in (
                ("GET", path),
                ("DELETE", path),
                ("GET", f"{path}/state"),
                ("GET", f"{path}/runs"),
                ("GET", f"{path}/runs/{uuid4()}"),
                ("GET", f"{path}/runs/{uuid4()}/stream"),
                ("GET", f"{path}/runs/{uuid4()}/join"),
                ("POST", f"{path}/runs/{uuid4()}/cancel"),
            ):
                assert (await client.http.request(method, url)).status_code == 404
            assert (await client.start_run(thread_id)).status_code == 404

    async def test_one_has_no_second_run_while_it_is_busy(self) -> None:
        async with langgraph(faults=[Fault.SILENT]) as (_, client):
            run = await client.start(thread_id := uuid4())
            assert (await client.start_run(thread_id)).status_code == 409
            cancel = f"/threads/{thread_id}/runs/{run['run_id']}/cancel?wait=true&action=interrupt"
            assert (await client.http.post(cancel)).json() == {}
            assert (await client.get(f"/threads/{thread_id}/runs/{run['run_id']}"))["status"] == "interrupted"
            assert (await client.http.post(cancel)).status_code == 409
            assert (await client.start_run(thread_id)).status_code == 200

    async def test_one_that_is_deleted_is_gone(self) -> None:
        async with langgraph() as (fake, client):
            run = await client.start(uuid4())
            assert (await client.http.delete(f"/threads/{run['thread_id']}")).status_code == 204
            assert (await client.http.get(f"/threads/{run['thread_id']}")).status_code == 404
            assert not fake.threads

    async def test_the_server_tells_of_its_graph(self) -> None:
        async with langgraph() as (_, client):
            assert (await client.http.post("/assistants/search", json={})).json()[0]["graph_id"] == "agent"
            assert (await client.get("/ok")) == {"ok": True, "services": {}}


class TestFaults:
    @pytest.mark.parametrize("fault", [Fault.DROP_MID_FRAME, Fault.DROPS_ALWAYS, Fault.RESTARTS])
    async def test_a_stream_can_be_cut(self, fault: Fault) -> None:
        async with langgraph(script=short) as (_, client):
            run = await client.start(uuid4(), f"[fault:{fault.value}]")
            with pytest.raises(httpx.RemoteProtocolError):
                await client.events(run)
            path = f"/threads/{run['thread_id']}"
            gone = (await client.http.get(path)).status_code == 404
            assert gone is (fault is Fault.RESTARTS)

    async def test_one_that_closed_early_can_be_read_again(self) -> None:
        async with langgraph(script=short) as (_, client):
            run = await client.start(uuid4(), "[fault:closes-early]")
            first = await client.events(run)
            again = await client.events(run)
            assert again[: len(first)] == first
            assert len(again) > len(first)

    async def test_more_than_the_end_comes(self) -> None:
        async with langgraph(script=short) as (_, client):
            run = await client.start(uuid4(), "[fault:events-after-end]")
            events = await client.events(run)
            after = events[[event.event for event in events].index("end") + 1 :]
            assert "/LATE.md" in after[0].data
            values = (await client.get(f"/threads/{run['thread_id']}/state"))["values"]
            assert contents(values["files"]) == FILES

    async def test_garbage_and_what_is_no_utf8(self) -> None:
        async with langgraph(script=short) as (_, client):
            run = await client.start(uuid4(), "[fault:garbage]")
            assert "this is no JSON {" in [event.data for event in await client.events(run)]
            run = await client.start(uuid4(), "[fault:invalid-utf8]")
            with pytest.raises(UnicodeDecodeError):
                await client.events(run)

    async def test_a_thread_gets_another_id(self) -> None:
        async with langgraph(faults=[Fault.CHANGES_THREAD_ID]) as (_, client):
            body = {"thread_id": str(uuid4()), "if_exists": "do_nothing"}
            ids = {(await client.http.post("/threads", json=body)).json()["thread_id"] for _ in range(2)}
            assert len(ids) == 1
            assert body["thread_id"] not in ids

    async def test_a_run_is_on_another_thread(self) -> None:
        async with langgraph(script=short) as (fake, client):
            await client.http.post("/threads", json={"thread_id": str(asked_for := uuid4())})
            run = (await client.start_run(asked_for, "[fault:changes-thread-id]")).json()
            assert [*fake.threads] == [run["thread_id"]] != [str(asked_for)]
            assert (await client.http.get(f"/threads/{asked_for}")).status_code == 404
            body = {"thread_id": str(asked_for), "if_exists": "do_nothing"}
            assert (await client.http.post("/threads", json=body)).json()["thread_id"] == run["thread_id"]

    async def test_starts_are_refused(self) -> None:
        async with langgraph(script=short) as (fake, client):
            for prompt, answers in {
                "[fault:refuses]": [503, 503],
                "[fault:refuses-once]": [503, 200],
                "[fault:500-after-start] [fault:silent]": [500, 409],
            }.items():
                await client.http.post("/threads", json={"thread_id": str(thread_id := uuid4())})
                assert [(await client.start_run(thread_id, prompt)).status_code for _ in range(2)] == answers
                assert fake.tries[str(thread_id)] == 2

    async def test_a_server_refuses_everything(self) -> None:
        async with langgraph(faults=[Fault.REFUSES]) as (_, client):
            assert (await client.http.get("/ok")).status_code == 503

    async def test_the_state_lies(self) -> None:
        async with langgraph(faults=[Fault.SILENT, Fault.STATE_LIES]) as (_, client):
            run = await client.start(uuid4())
            assert (await client.get(f"/threads/{run['thread_id']}/runs/{run['run_id']}"))["status"] == "success"

    async def test_who_goes_away_is_not_waited_for(self) -> None:
        async with langgraph(faults=[Fault.SILENT]) as (fake, client):
            run = await client.start(uuid4())
            path = f"/threads/{run['thread_id']}/runs/{run['run_id']}/stream"
            thread = fake.threads[run["thread_id"]]
            async with client.http.stream("GET", path):
                await until(lambda: thread._listeners == 1)
            await until(lambda: thread._listeners == 0)


class TestRecordings:
    async def test_a_recording_is_played_as_it_was(self) -> None:
        recorded = take("langgraph-server-v1", "multi+subgraphs")
        async with langgraph(take=recorded) as (_, client):
            run = await client.start(UUID(int=7))
            events = await client.events(run)
            assert [(event.event, json.loads(event.data)) for event in events] == [
                (cue.event, cue.data) for cue in recorded.play.cues
            ]
            values = (await client.get(f"/threads/{UUID(int=7)}/state"))["values"]
            assert set(values["files"]) == {"/THE_SPEC/requirements.md", "/definition.json"}

    async def test_one_of_a_failure_fails(self) -> None:
        async with langgraph(take=take("langgraph-server-v1", "error")) as (_, client):
            run = await client.start(uuid4())
            assert [event.event for event in await client.events(run)] == ["metadata", "updates", "error"]
            assert (await client.get(f"/threads/{run['thread_id']}"))["status"] == "error"
