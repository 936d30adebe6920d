import asyncio
import re
import signal
import socket
from io import StringIO
from pathlib import Path
from typing import Any

import orjson
import pytest
from rich.console import Console
from support.commands import Invoke, Running, assert_one_line, running
from support.demo_author import DemoAuthor
from support.scripted_api import Json, Line, ScriptedApi, event
from support.server import serving, site
from support.terminals import on_terminal

from graphql_api.cli.event_lines import WorkflowLines
from graphql_api.kit.columns import now

pytestmark = pytest.mark.anyio

READY = "Ctrl-C stops it"
RENAME = "mutation($input: UpdateWorkflowInput!) { updateWorkflow(input: $input) { errors { message } } }"


@pytest.fixture
def author(dev: Running) -> DemoAuthor:
    return DemoAuthor(dev.url)


def sequences(lines: str) -> list[int]:
    return [orjson.loads(line)["sequence"] for line in lines.splitlines()]


class TestWatch:
    def test_a_pipe_gets_the_work_to_its_end_as_lines(self, invoke: Invoke, dev: Running, author: DemoAuthor) -> None:
        proposal = author.proposal("Add an agent\nTester")

        code, out, err = invoke("watch", proposal, "--url", dev.url)

        assert (code, err) == (0, "")
        lines = out.splitlines()
        assert lines[0] == "Ask the agent      Watched: Add an agent Tester"
        assert "  file    ~ THE_SPEC/requirements.md  +" in out
        assert re.fullmatch(r"Watch it work      completed, \d+ events", lines[-2])
        assert lines[-1].startswith("It waits for a decision")

    async def test_json_is_an_event_a_line_without_pieces_over_a_cut_connection(
        self, invoke: Invoke, dev: Running, author: DemoAuthor
    ) -> None:
        proposal = author.proposal("Add an agent Tester")
        line = Line(dev.url)
        async with line.open(cut_after=4096) as url:
            code, out, err = await invoke.off_loop("watch", proposal, "--url", url, "--json")

        assert (code, line.cuts) == (0, 1)
        assert err.startswith("The connection was lost (")
        assert sequences(out) == list(range(1, len(out.splitlines()) + 1))
        assert orjson.loads(out.splitlines()[-1])["__typename"] == "ProposalCompleted"

    def test_after_a_cursor_the_rest_is_shown(self, invoke: Invoke, dev: Running, author: DemoAuthor) -> None:
        proposal = author.proposal("Add an agent Tester")
        options = (proposal, "--url", dev.url, "--json")
        whole = invoke("watch", *options).out.splitlines()
        cursor = orjson.loads(whole[2])["cursor"]

        assert invoke("watch", *options, "--after", cursor) == (0, "\n".join([*whole[3:], ""]), "")

    def test_after_the_last_event_it_ends_as_the_work_did(
        self, invoke: Invoke, dev: Running, author: DemoAuthor
    ) -> None:
        ends = []
        for prompt in ("Add an agent Tester", "Add an agent Tester [fail]"):
            options = (author.proposal(prompt), "--url", dev.url, "--json")
            last = orjson.loads(invoke("watch", *options).out.splitlines()[-1])["cursor"]
            ends.append(invoke("watch", *options, "--after", last))

        assert [(end.code, end.out) for end in ends] == [(0, ""), (3, "")]

    def test_the_newest_is_watched_unless_told(self, invoke: Invoke, dev: Running, author: DemoAuthor) -> None:
        author.proposal("Add an agent Newest Of All")
        invoke.set(ORCHESTRATOR_URL=dev.url)
        assert "Watched: Add an agent Newest Of All\n" in invoke("watch").out

    def test_a_failure_is_code_3_and_says_what_to_do(self, invoke: Invoke, dev: Running, author: DemoAuthor) -> None:
        code, _, err = invoke("watch", author.proposal("Add an agent Tester [fail]"), "--url", dev.url)
        assert code == 3
        assert err == "Error: The agent failed: The embedded author was asked to fail; ask again with retryProposal\n"

    @pytest.mark.parametrize(
        ("last", "reason"), [({"reason": "Enough."}, "Enough."), ({"reason": None}, "they did not say why")]
    )
    async def test_somebodys_stop_is_code_4(self, invoke: Invoke, last: Json, reason: str) -> None:
        async with serving(ScriptedApi(event("ProposalCancelled", **last)).app) as url:
            code, _, err = await invoke.off_loop("watch", "p", "--url", url)
        assert (code, err) == (4, f"Error: Somebody stopped the agent: {reason}\n")

    async def test_without_an_event_the_status_tells(self, invoke: Invoke) -> None:
        rejected = {"prompt": "P", "status": "REJECTED", "failure": None, "workflow": {"name": "W"}}
        async with serving(ScriptedApi(proposal_field=rejected).app) as url:
            assert (await invoke.off_loop("watch", "p", "--url", url)).code == 4

    def test_a_terminal_gets_a_picture(self, dev: Running, author: DemoAuthor, tmp_path: Path) -> None:
        proposal = author.proposal("Add an agent Tester")
        code, drawn = on_terminal("watch", proposal, "--url", dev.url, home=tmp_path)
        assert code == 0
        assert "orchestrator watch" in drawn
        assert "\x1b[32m" in drawn
        assert re.search(r"completed, \d+ events", drawn)

    def test_a_picture_without_color_has_none(self, dev: Running, author: DemoAuthor, tmp_path: Path) -> None:
        proposal = author.proposal("Add an agent Tester [fail]")
        code, drawn = on_terminal("watch", proposal, "--url", dev.url, home=tmp_path, NO_COLOR="1")
        assert code == 3
        assert "✗" in drawn
        assert not re.search(r"\x1b\[(\d+;)*3[0-7]", drawn)


class TestTail:
    async def test_it_goes_on_over_the_death_of_the_server(self, home: Path, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = str(free.getsockname()[1])
        options = ("dev", "--no-demo-data", "--port", port)
        with running(*options, home=home, until=READY) as first:
            author = DemoAuthor(first.url)
            workflow = author.workflow("Support desk")
            with running("tail", "support", "--json", "--url", first.url, home=tmp_path, until="DraftChanged") as tail:
                first.stop(signal.SIGKILL)
                tail.says("The connection was lost (")
                with running(*options, home=home, until=READY) as second:
                    author = DemoAuthor(second.url)
                    author.change(RENAME, workflowId=workflow, name="Help desk")
                    tail.says("Help desk")
                    assert tail.stop() == 130
                    second.stop()
        lines = [line for line in tail.output.splitlines() if line.startswith("{")]
        assert sequences("\n".join(lines)) == [1, 2, 3]
        assert tail.output.endswith("Interrupted.\n")

    async def test_a_workflow_is_found_by_id_name_or_part(
        self, dev: Running, author: DemoAuthor, tmp_path: Path
    ) -> None:
        workflow = author.workflow("Atlas of names")
        author.workflow("Atlas of names, second")
        for words in (workflow, "ATLAS OF NAMES", "names, sec"):
            with running("tail", words, "--url", dev.url, home=tmp_path, until="draft at revision 1") as tail:
                assert tail.stop() == 130
            assert "Demo        workflow Atlas of names" in tail.output

    def test_what_several_could_be_is_not_guessed(self, invoke: Invoke, dev: Running, author: DemoAuthor) -> None:
        for name in ("Twin one", "Twin two"):
            author.workflow(name)
        assert_one_line(
            invoke("tail", "twin", "--url", dev.url), "2 workflows could be 'twin'", "Twin one (", "Twin two"
        )

    async def test_new_leaves_out_what_happened_before(self, dev: Running, author: DemoAuthor, tmp_path: Path) -> None:
        workflow = author.workflow("Only new")
        with running("tail", workflow, "--new", "--json", "--url", dev.url, home=tmp_path, until="") as tail:
            for number in range(1000):
                author.change(RENAME, workflowId=workflow, name=f"Only new {number}")
                await asyncio.sleep(0.05)
                if tail.output:
                    break
            tail.stop()
        first = orjson.loads(tail.output.splitlines()[0])
        assert first["__typename"] == "WorkflowUpdated"

    def test_two_beginnings_are_refused(self, invoke: Invoke) -> None:
        assert_one_line(invoke("tail", "w", "--new", "--after", "c"), "--new and --after")

    async def test_the_end_of_a_log_is_told(self, invoke: Invoke) -> None:
        found = {"id": "w", "name": "W", "eventHead": None}
        async with serving(ScriptedApi(workflow_field=found).app) as url:
            code, _, err = await invoke.off_loop("tail", "w", "--url", url)
        assert (code, err) == (1, "Error: The events of W came to an end; it may be deleted\n")


VERSION = {"version": {"number": 2, "notes": None}}
MEMBER = {"member": {"name": "B", "email": "b@c.de"}}
PROPOSAL = {"proposal": {"id": "p", "prompt": "Do\nit"}}
ASKED_FOR = "proposal pending: Do it\norchestrator watch p"


class TestWorkflowLines:
    def told(self, kind: str, **fields: Any) -> str:  # noqa: ANN401 - any JSON
        screen = StringIO()
        shared = {"__typename": kind, "occurredAt": "2026-01-01T00:00:00Z", "actor": None}
        WorkflowLines(Console(file=screen, width=80)).event({**shared, **fields})
        day, line, *more = screen.getvalue().splitlines()
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", day)
        return "\n".join([line.partition("system      ")[2], *(text.strip() for text in more)])

    @pytest.mark.parametrize(
        ("kind", "fields", "sentence"),
        [
            ("WorkflowCreated", {"workflow": {"name": "W"}}, "workflow W created"),
            ("DraftDiscarded", {}, "draft discarded"),
            ("DraftChanged", {"revision": 3, "changes": []}, "draft at revision 3"),
            ("VersionPublished", VERSION, "version 2 published"),
            ("VersionPublished", {"version": {"number": 2, "notes": "Two\nlines"}}, "version 2 published: Two lines"),
            ("VersionDeployed", {**VERSION, "previous": None}, "version 2 deployed"),
            ("VersionDeployed", {**VERSION, "previous": {"number": 1}}, "version 2 deployed, before it 1"),
            ("VersionDeprecated", VERSION, "version 2 deprecated"),
            ("WorkflowLockChanged", {"lock": None}, "unlocked"),
            ("WorkflowLockChanged", {"lock": {"expiresAt": "…"}}, "locked"),
            ("WorkflowMembersChanged", {**MEMBER, "role": "VIEWER"}, "B <b@c.de> is viewer"),
            ("WorkflowMembersChanged", {**MEMBER, "role": None}, "B <b@c.de> has no access any more"),
            ("ProposalStatusChanged", {"from": "PENDING", "to": "FAILED", **PROPOSAL}, "proposal failed: Do it"),
            ("ProposalStatusChanged", {"from": None, "to": "PENDING", **PROPOSAL}, ASKED_FOR),
            ("OfALaterRelease", {}, "OfALaterRelease"),
        ],
    )  # fmt: skip
    def test_each_event_is_a_sentence(self, kind: str, fields: Json, sentence: str) -> None:
        assert self.told(kind, **fields) == sentence

    def test_many_files_are_counted(self) -> None:
        changes = [{"path": f"{name}.md", "kind": "ADDED"} for name in "abcde"]
        told = self.told("DraftChanged", revision=1, changes=changes)
        assert told == "draft at revision 1: + a.md, + b.md, + c.md and 2 more"

    def test_a_terminal_shows_a_line_as_far_as_it_is_wide(self) -> None:
        screen = StringIO()
        lines = WorkflowLines(Console(file=screen, width=40, force_terminal=True, color_system=None))
        lines.event({"__typename": "X" * 80, "occurredAt": "2026-01-01T00:00:00Z", "actor": {"name": "Ada"}})
        lines.lost("gone")
        assert [len(line) for line in screen.getvalue().splitlines()][1:] == [40, 40]


class TestSigningIn:
    def test_an_access_token_of_the_environment_is_taken(
        self, invoke: Invoke, dev: Running, author: DemoAuthor
    ) -> None:
        invoke.set(ORCHESTRATOR_TOKEN=author.token)
        assert invoke("watch", author.proposal("Add an agent Tester"), "--url", dev.url).code == 0

    async def test_an_expired_one_says_what_to_do(self, invoke: Invoke, fresh_database: Any) -> None:  # noqa: ANN401
        async with site(await fresh_database()) as running_site:
            person = await running_site.person()
            invoke.set(ORCHESTRATOR_TOKEN=running_site.token(person.user, expires_at=now()))
            result = await invoke.off_loop("watch", "--url", running_site.url)
        assert_one_line(result._replace(out=""), "--email, or a new token in ORCHESTRATOR_TOKEN")

    async def test_a_server_without_the_demo_account_is_told(self, invoke: Invoke, fresh_database: Any) -> None:  # noqa: ANN401
        async with site(await fresh_database()) as running_site:
            result = await invoke.off_loop("tail", "w", "--url", running_site.url)
        assert_one_line(result._replace(out=""), "does not know the demo account", "ORCHESTRATOR_TOKEN")

    async def test_somebody_else_types_a_password(self, invoke: Invoke, dev: Running) -> None:
        invoke.type("not-to-be-shown\n")
        result = await invoke.off_loop("watch", "--url", dev.url, "--email", "eve@example.com")
        assert_one_line(result, "The e-mail address or the password is not right")

    @pytest.mark.parametrize(
        ("words", "texts"),
        [
            ("watch nosuch", ("no proposal nosuch", "orchestrator tail")),
            ("tail nosuch", ("no workflow 'nosuch'",)),
        ],
    )
    def test_what_is_not_there_is_told(self, invoke: Invoke, dev: Running, words: str, texts: tuple[str, ...]) -> None:
        assert_one_line(invoke(*words.split(), "--url", dev.url), *texts)

    async def test_where_nothing_was_proposed_the_way_is_told(self, invoke: Invoke, fresh_database: Any) -> None:  # noqa: ANN401
        async with site(await fresh_database()) as running_site:
            invoke.set(ORCHESTRATOR_TOKEN=(await running_site.person()).token)
            result = await invoke.off_loop("watch", "--url", running_site.url)
        assert_one_line(result._replace(out=""), "orchestrator demo")
