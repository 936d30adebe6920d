import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.types import Message
from strawberry.types.execution import ExecutionResult
from support.server import Person, Site
from support.streams import MULTIPART, SSE, events, parts
from support.waiting import until

from graphql_api.kit.ids import key_of
from graphql_api.schema import schema
from graphql_api.transport.delivery.delivery import Delivery
from graphql_api.transport.streams import Multipart, ServerSentEvents, Stream, StreamTransport

pytestmark = pytest.mark.anyio

URQL_QUERY = (
    "application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed"
)
WATCH = "subscription($id: ID!) { proposalEvents(proposalId: $id, deltas: NONE) { __typename sequence cursor } }"
CREATE = """mutation { createWorkflow(input: { name: "Streams", templateSlug: "single-agent" }) {
    workflow { id } errors { message } } }"""
REFINE = """mutation($id: ID!) { refineWorkflow(input: { workflowId: $id, prompt: "Add a tester agent" }) {
    proposal { id } errors { message } } }"""


@pytest.fixture(scope="module")
async def proposal(running_site: Site, ada: Person) -> str:
    """Order a refinement; give the proposal's global id."""
    workflow = (await ask(running_site, ada, CREATE))["createWorkflow"]["workflow"]["id"]
    refined = await ask(running_site, ada, REFINE, id=workflow)
    return str(refined["refineWorkflow"]["proposal"]["id"])


async def ask(site: Site, person: Person, query: str, **variables: object) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {person.token}"}
    async with httpx.AsyncClient() as client:
        body = {"query": query, "variables": variables}
        answer = await client.post(f"{site.url}/graphql", json=body, headers=headers)
    data: dict[str, Any] = answer.json()["data"]
    return data


async def streamed(
    site: Site, person: Person | None, accept: str, query: str, **variables: object
) -> tuple[httpx.Response, str]:
    """Read a whole stream."""
    headers = {"accept": accept} | ({"authorization": f"Bearer {person.token}"} if person else {})
    async with httpx.AsyncClient(timeout=30) as client:
        body = {"query": query, "variables": variables}
        response = await client.post(f"{site.url}/graphql", json=body, headers=headers)
    return response, response.text


def is_whole(log: list[dict[str, Any]]) -> bool:
    sequences = [event["sequence"] for event in log]
    return sequences == list(range(1, len(log) + 1)) and log[-1]["__typename"] == "ProposalCompleted"


class TestServerSentEvents:
    async def test_carry_the_whole_log_and_say_that_it_is_complete(
        self, running_site: Site, ada: Person, proposal: str
    ) -> None:
        response, text = await streamed(running_site, ada, SSE, WATCH, id=proposal)

        assert response.headers["content-type"].startswith("text/event-stream")
        assert "\r" not in text
        *told, last = events(text)
        assert last == ("complete", None)
        assert is_whole([payload["data"]["proposalEvents"] for _, payload in told])

    async def test_come_to_a_browser_that_sends_the_operation_in_the_address(
        self, running_site: Site, ada: Person, proposal: str
    ) -> None:
        parameters = {"query": WATCH, "variables": json.dumps({"id": proposal})}
        headers = {"accept": "text/event-stream", "authorization": f"Bearer {ada.token}"}
        async with httpx.AsyncClient(timeout=30) as client:
            response = await client.get(f"{running_site.url}/graphql", params=parameters, headers=headers)

        assert is_whole(
            [payload["data"]["proposalEvents"] for name, payload in events(response.text) if name == "next"]
        )

    async def test_are_not_sent_to_a_client_that_takes_json_as_well(self, running_site: Site, ada: Person) -> None:
        response, _ = await streamed(running_site, ada, URQL_QUERY, "{ viewer { name } }")

        assert response.headers["content-type"] == "application/graphql-response+json"
        assert response.json() == {"data": {"viewer": {"name": "Ada"}}}

    async def test_carry_a_refusal_with_its_code(self, running_site: Site, proposal: str) -> None:
        _, text = await streamed(running_site, None, SSE, WATCH, id=proposal)

        (name, payload), end = events(text)
        assert (name, end) == ("next", ("complete", None))
        assert payload["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"

    @pytest.mark.parametrize(
        ("accept", "is_chosen"),
        [
            ("text/event-stream", True),
            ("Text/Event-Stream", True),
            ("text/event-stream, */*;q=0.1", True),
            ("text/event-stream, application/json;q=0.5", True),
            ("application/json;q=0.5, text/event-stream;q=0.4", False),
            ("text/event-stream, application/json", False),
            ("text/event-stream;q=0", False),
            ("text/event-stream;q=nonsense", False),
            ("*/*", False),
            ("", False),
        ],
    )
    def test_are_chosen_only_when_they_are_preferred_to_json(self, accept: str, *, is_chosen: bool) -> None:
        assert ServerSentEvents().accepts(accept) is is_chosen

    def test_keep_the_connection_open_with_comments(self) -> None:
        assert ServerSentEvents().heartbeat_message(json.dumps) == ": ping\n\n"


class TestMultipart:
    async def test_carries_the_whole_log(self, running_site: Site, ada: Person, proposal: str) -> None:
        response, text = await streamed(running_site, ada, MULTIPART, WATCH, id=proposal)

        assert response.headers["content-type"].startswith("multipart/mixed")
        payloads = [part["payload"] for part in parts(text) if part.get("payload")]
        assert is_whole([payload["data"]["proposalEvents"] for payload in payloads])
        assert text.endswith("--graphql--\r\n")

    async def test_stops_the_work_when_the_client_goes(self, running_site: Site, ada: Person) -> None:
        workflow = (await ask(running_site, ada, CREATE))["createWorkflow"]["workflow"]["id"]
        query = "subscription($id: ID!) { workflowEvents(workflowId: $id) { __typename } }"

        async def first() -> AsyncIterator[str]:
            headers = {"accept": MULTIPART, "authorization": f"Bearer {ada.token}"}
            body = {"query": query, "variables": {"id": workflow}}
            async with (
                httpx.AsyncClient(timeout=30) as client,
                client.stream("POST", f"{running_site.url}/graphql", json=body, headers=headers) as response,
            ):
                async for chunk in response.aiter_text():
                    yield chunk

        received = ""
        async for chunk in first():
            received += chunk
            if "WorkflowCreated" in received:
                break

        subject = key_of(workflow, "Workflow")
        assert "WorkflowCreated" in received
        assert subject is not None
        await until(lambda: not running_site.engines.log._hub.follows(subject))
        assert (await ask(running_site, ada, "{ viewer { name } }"))["viewer"]["name"] == "Ada"


class TestKeepingOpen:
    @pytest.mark.parametrize(("transport", "sign"), [(ServerSentEvents(), b": ping\n\n"), (Multipart(), b"\r\n\r\n{}")])
    async def test_a_stream_of_which_nothing_comes_is_kept_open(self, transport: StreamTransport, sign: bytes) -> None:
        transport.heartbeat_interval = 0
        is_over, sent = asyncio.Event(), list[Message]()

        async def results() -> AsyncGenerator[ExecutionResult]:
            await is_over.wait()
            yield ExecutionResult(data={}, errors=None)

        async def send(message: Message) -> None:
            sent.append(message)
            if len(sent) > 6:
                is_over.set()

        stream = Stream(transport, results(), Delivery(schema))
        await stream.stream_response(send)

        bodies = [message["body"] for message in sent if message.get("body")]
        assert all(sign in body for body in bodies[:5])
        assert bodies[-1] == transport.encode_complete().encode()
        assert [message.get("more_body") for message in sent[-2:]] == [True, False]
