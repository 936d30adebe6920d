import orjson
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from support.commands import Invoke, Running, assert_one_line
from support.scripted_api import SESSION, Json, Line, ScriptedApi, event
from support.server import serving

from graphql_api.cli import api_client

pytestmark = pytest.mark.anyio


class TestLostConnection:
    async def test_the_stream_goes_on_after_the_last_event(self, invoke: Invoke, dev: Running) -> None:
        line = Line(dev.url)
        async with line.open(cut_after=4096) as url:
            code, out, err = await invoke.off_loop("demo", "--url", url, "--json")

        lines = [orjson.loads(text) for text in out.splitlines()]
        events = [text["event"] for text in lines if "event" in text]
        stored = [event["sequence"] for event in events if event["__typename"] != "AgentMessageDelta"]
        assert (code, err, line.cuts) == (0, "", 1)
        assert [text for text in lines if "lost" in text] != []
        assert stored == list(range(1, len(stored) + 1))

    async def test_lines_tell_where_it_goes_on(self, invoke: Invoke, dev: Running) -> None:
        async with Line(dev.url).open(cut_after=4096) as url:
            result = await invoke.off_loop("demo", "--url", url)

        assert result.code == 0
        assert "  link    lost (" in result.out
        assert "going on after event " in result.out


class TestRefusals:
    def test_without_a_server_the_way_to_one_is_told(self, invoke: Invoke) -> None:
        assert_one_line(invoke("demo", "--url", "http://127.0.0.1:1"), "http://127.0.0.1:1/graphql", "orchestrator dev")

    @pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://host/graphql", "http://", "http://h:99999", "http://[x"])
    def test_an_address_that_is_none_is_told(self, invoke: Invoke, url: str) -> None:
        assert_one_line(invoke("demo", "--url", url), f"{url} is no address of an API")

    @pytest.mark.parametrize("body", ["not found", '["json"]', "{}"])
    async def test_a_server_of_something_else_is_told(self, invoke: Invoke, body: str) -> None:
        async def answer(_request: Request) -> Response:
            return PlainTextResponse(body, 404)

        async with serving(Starlette(routes=[Route("/graphql", answer, methods=["POST"])])) as url:
            assert_one_line(await invoke.off_loop("demo", "--url", url), "no GraphQL endpoint", "HTTP 404")

    async def test_a_wrong_password_is_told(self, invoke: Invoke, dev: Running) -> None:
        invoke.type("not-to-be-shown\n")
        result = await invoke.off_loop("demo", "--url", dev.url, "--email", "eve@example.com")
        assert_one_line(result, "The e-mail address or the password is not right")

    async def test_a_prompt_that_breaks_a_rule_is_told(self, invoke: Invoke, dev: Running) -> None:
        code, _, err = await invoke.off_loop("demo", "--url", dev.url, "--prompt", "x" * 100_001)
        assert (code, len(err.splitlines())) == (1, 1)

    async def test_an_error_of_the_whole_operation_is_told(self, invoke: Invoke) -> None:
        async def answer(_request: Request) -> Response:
            return JSONResponse({"data": None, "errors": [{"message": "Something\nbroke."}]})

        async with serving(Starlette(routes=[Route("/graphql", answer, methods=["POST"])])) as url:
            assert_one_line(await invoke.off_loop("demo", "--url", url), "Error: Something broke\n")


class TestPatience:
    async def test_a_server_that_stays_away_is_told_once_and_at_the_end(
        self, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(api_client, "_PAUSES", (0.0, 0.0))
        api = ScriptedApi(is_deaf=True)
        async with serving(api.app) as url:
            code, out, err = await invoke.off_loop("demo", "--url", url)

        assert (code, out.count("lost (4000 Enough)")) == (1, 1)
        assert err == f"Error: The connection to {url}/graphql was lost: 4000 Enough\n"
        assert api.asked.count("viewer") == 2


class TestEnds:
    @pytest.mark.parametrize(
        ("message", "reason"),
        [
            (event("ProposalFailed", failure={"code": "X", "message": "Out of luck."}), "failed: Out of luck"),
            (event("ProposalCancelled", reason=None), "stopped the agent: they did not say why"),
            (event("ProposalQueued"), "The subscription ended before the work did"),
            ({"type": "error", "payload": [{"message": "Not yours."}]}, "Not yours"),
        ],
    )
    async def test_an_end_without_a_result_is_a_problem(self, invoke: Invoke, message: Json, reason: str) -> None:
        async with serving(ScriptedApi(message).app) as url:
            code, _, err = await invoke.off_loop("demo", "--url", url)

        assert code == 1
        assert len(err.splitlines()) == 1
        assert reason in err

    async def test_a_token_that_is_about_to_expire_is_exchanged_first(self, invoke: Invoke) -> None:
        old: Json = {"session": {**SESSION, "expiresAt": "2020-01-01T00:00:00+00:00"}, "errors": []}
        api = ScriptedApi(event("ProposalQueued"), login=old)
        async with serving(api.app) as url:
            await invoke.off_loop("demo", "--url", url)

        assert api.asked == ["login", "refreshSession", "createWorkflow", "refineWorkflow"]
