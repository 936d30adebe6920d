import httpx
import pytest

from graphql_api.runtimes.addresses import RuntimeAddress, parse_runtime_url
from graphql_api.runtimes.http import calling, make_client
from graphql_api.runtimes.protocol import RuntimeFailure

pytestmark = pytest.mark.anyio

URLS = [
    ("embedded:", RuntimeAddress("embedded")),
    ("deepagents+http://agents:8000", RuntimeAddress("deepagents", "http://agents:8000")),
    ("http://agents:8000/", RuntimeAddress("deepagents", "http://agents:8000")),
    ("HTTPS://agents/deepagents-runtime/", RuntimeAddress("deepagents", "https://agents/deepagents-runtime")),
    (
        "langgraph+http://[::1]:2024?assistant=agent",
        RuntimeAddress("langgraph", "http://[::1]:2024", {"assistant": "agent"}),
    ),
    (
        "langgraph+https://ada:p%40ss@agents/a?b=#c",
        RuntimeAddress("langgraph", "https://agents/a", {"b": ""}, ("ada", "p@ss")),
    ),
    ("http://key@agents", RuntimeAddress("deepagents", "http://agents", {}, ("key", ""))),
]


class TestParseRuntimeUrl:
    @pytest.mark.parametrize(("url", "address"), URLS)
    def test_each_form_is_read(self, url: str, address: RuntimeAddress) -> None:
        assert parse_runtime_url(url) == address

    @pytest.mark.parametrize(
        ("url", "reason"),
        [
            ("", "names no runtime"),
            ("agents:8000", "names no runtime"),
            ("embedded:x", "names no runtime"),
            ("+http://agents", "names no runtime"),
            ("deepagents+ftp://hunter2@agents", "names no runtime"),
            ("deepagents+http:", "names no host"),
            ("http://:hunter2@/", "names no host"),
            ("http://agents:hunter2", "not a URL"),
            ("http://[hunter2", "not a URL"),
        ],
    )
    def test_anything_else_is_refused_without_showing_it(self, url: str, reason: str) -> None:
        with pytest.raises(ValueError, match=reason) as refusal:
            parse_runtime_url(url)

        assert "hunter2" not in str(refusal.value)
        assert refusal.value.__cause__ is None


class TestKnownOptions:
    def test_those_of_the_adapter_are_given(self) -> None:
        assert RuntimeAddress("a", options={"b": "c"}).known_options({"b", "d"}) == {"b": "c"}

    def test_another_is_refused(self) -> None:
        with pytest.raises(ValueError, match="'assitant' is no option of langgraph; it has assistant"):
            RuntimeAddress("langgraph", options={"assitant": "x"}).known_options({"assistant"})
        with pytest.raises(ValueError, match="it has none"):
            RuntimeAddress("a", options={"b": "c"}).known_options(())


class TestCalling:
    async def test_a_refusal_is_final_when_it_is_about_what_was_asked(self) -> None:
        assert not (await failure_of(400)).is_retryable
        assert not (await failure_of(404)).is_retryable

    async def test_a_refusal_may_be_tried_again_when_the_runtime_is_busy_or_broken(self) -> None:
        assert all([(await failure_of(status)).is_retryable for status in (408, 429, 500, 503)])

    async def test_a_runtime_that_is_not_there_may_be_tried_again(self) -> None:
        async with make_client(RuntimeAddress("a", "http://127.0.0.1:1")) as client:
            with pytest.raises(RuntimeFailure, match="can't be reached: ConnectError") as failure:
                async with calling():
                    await client.get("/health")

        assert failure.value.is_retryable


async def failure_of(status: int) -> RuntimeFailure:
    response = httpx.Response(status, request=httpx.Request("GET", "http://agents"))
    with pytest.raises(RuntimeFailure, match=f"answered {status}") as failure:
        async with calling():
            response.raise_for_status()
    return failure.value
