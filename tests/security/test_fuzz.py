"""Whatever a schema allows, with whatever values: nothing of it breaks the server, and nothing of it is masked.

A long run: `scripts/fuzz --seconds 600`.
"""

import json
import os
import re
import time
from collections import Counter
from collections.abc import Iterator, MutableMapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import httpx
import pytest
from anyio.from_thread import start_blocking_portal
from graphql import build_schema
from hypothesis import HealthCheck, Phase, given, seed, settings
from structlog.testing import capture_logs
from support.databases import Server
from support.fuzzing import Operation, operations, resolved
from support.server import Site, engines_for, site
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from graphql_api.kit.database import Database, parse_url
from graphql_api.kit.errors import BROKEN
from graphql_api.kit.rates import Budget, Rate
from graphql_api.schema import sdl

SECONDS = float(os.environ.get("FUZZ_SECONDS", "0"))
EXAMPLES = 250
"""Of the suite: about twenty seconds. In a long run, of each round."""

LEAKS = re.compile(r"Traceback|asyncpg|sqlalchemy|site-packages|\.py\b|statement timeout|" + re.escape(BROKEN))
CREATE = """mutation($n: String!) { createWorkflow(input: { name: $n, templateSlug: "multi-agent" }) {
  workflow { id owner: members { user { id } } draft { id eventHead: revision } eventHead } } }"""
REFINE = 'mutation($id: ID!) { refineWorkflow(input: { workflowId: $id, prompt: "Add a tester" }) { proposal { id } } }'
PUBLISH = "mutation($id: ID!) { publishDraft(input: { workflowId: $id }) { version { id } } }"
ID = re.compile(r'"([A-Za-z0-9+/]{40,80}={0,2})"')


@dataclass
class Target:
    """A server, and who attacks it.

    Attributes:
        known: Ids and cursors that it gave.
        logs: What it logged.
        codes: How often each code came back.
    """

    site: Site
    client: httpx.Client
    logs: list[MutableMapping[str, Any]]
    known: dict[str, list[str]] = field(default_factory=lambda: {"ID": [], "EventCursor": []})
    codes: Counter[str] = field(default_factory=Counter)

    def ask(self, document: str, variables: dict[str, Any]) -> Any:  # noqa: ANN401 - any JSON
        """Send a query or a mutation; check what comes back whatever it was."""
        body = json.dumps({"query": document, "variables": variables})
        answer = self.client.post("/graphql", content=body, headers={"content-type": "application/json"})
        assert answer.status_code < 500, answer.text
        self.learn(answer.text)
        return answer.json()

    def watch(self, operation: Operation, variables: dict[str, Any]) -> None:
        """Subscribe for a moment."""
        url = self.site.socket_url
        with connect(url, subprotocols=[Subprotocol("graphql-transport-ws")], proxy=None) as socket:
            token = self.client.headers["authorization"]
            socket.send(json.dumps({"type": "connection_init", "payload": {"authorization": token}}))
            assert json.loads(socket.recv(timeout=10)) == {"type": "connection_ack"}
            payload = {"query": operation.document, "variables": variables}
            socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": payload}))
            self.read(socket)

    def read(self, socket: ClientConnection) -> None:
        """Read some messages; the connection outlives the subscription, unless what was sent was no JSON."""
        try:
            for _ in range(3):
                message = socket.recv(timeout=0.2)
                self.learn(str(message))
                if json.loads(message)["type"] != "next":
                    break
        except TimeoutError:
            pass  # nothing happens there now
        except ConnectionClosed:
            pass
        if socket.close_code is not None:
            assert socket.close_code in {4400, 1009}, socket.close_reason
            return
        socket.send(json.dumps({"type": "complete", "id": "1"}))
        socket.send(json.dumps({"type": "ping"}))
        while json.loads(socket.recv(timeout=10))["type"] != "pong":
            pass

    def learn(self, text: str) -> None:
        """Keep the ids in an answer, count its codes, and check that it tells no more than it should."""
        codes = re.findall(r'"code":\s*"([A-Z_]+)"', text)
        self.codes.update(codes or ["fine"])
        assert "INTERNAL_ERROR" not in codes, text
        for error in json.loads(text).get("errors") or []:
            assert not LEAKS.search(error["message"]), error
        self.known["ID"] = [*self.known["ID"], *ID.findall(text)][-300:]
        self.known["EventCursor"] = [*self.known["EventCursor"], *re.findall(r'ursor":\s*"([^"]+)"', text)][-50:]


@pytest.fixture(scope="module")
def target(server_url: str) -> Iterator[Target]:
    """A server on an event loop of its own; hypothesis drives it from outside."""
    with ExitStack() as stack, capture_logs() as logs:
        portal = stack.enter_context(start_blocking_portal())
        server = Server(parse_url(server_url))
        database: Database = portal.call(server.create)
        stack.callback(portal.call, server.close)
        stack.callback(portal.call, server.drop, database)
        engines = engines_for(database)
        free = {name: Rate(name, "1000000/minute") for name in ("mutations", "refinements", "subscriptions")}
        limits = replace(engines.limits, concurrent_refinements=5, **free)  # type: ignore[arg-type] # they are rates
        engines = replace(engines, limits=limits, budget=Budget(Rate("cost", "1000000000/minute")))
        served = portal.wrap_async_context_manager(site(database, engines=engines, with_worker=True))
        running = stack.enter_context(served)
        person = portal.call(running.person)
        headers = {"authorization": f"Bearer {person.token}"}
        client = stack.enter_context(httpx.Client(base_url=running.url, headers=headers, timeout=60))
        target = Target(running, client, logs)
        prepare(target)
        yield target
        print(f"\n{sum(target.codes.values())} answers: {dict(target.codes.most_common())}")  # noqa: T201 - the summary


def prepare(target: Target) -> None:
    """Make something of each kind, so that there is something to break."""
    target.known["EventCursor"].append("none")
    for number in range(3):
        created = target.ask(CREATE, {"n": f"Support {number}"})["data"]["createWorkflow"]["workflow"]
        for document in (PUBLISH, REFINE):
            target.ask(document, {"id": created["id"]})


def rounds() -> Iterator[int]:
    """Number the rounds: one, or as many as the time of a long run holds."""
    yield 0
    ends_at = time.monotonic() + SECONDS
    for number in count(1):
        if time.monotonic() >= ends_at:
            return
        yield number


# The server runs in another thread, and what it draws of `random` meanwhile is none of the strategy's business.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module:hypothesis.errors.HypothesisDeprecationWarning")
@pytest.mark.timeout(SECONDS + 120)
def test_nothing_that_the_schema_allows_breaks_the_server(target: Target) -> None:
    for number in rounds():

        @seed(number)
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
            print_blob=False,
        )
        @given(operations(build_schema(sdl())))
        def attack(operation: Operation) -> None:
            variables = resolved(operation.variables, target.known)
            logged = len(target.logs)
            if operation.kind == "subscription":
                target.watch(operation, variables)
            else:
                target.ask(operation.document, variables)
            broken = [log for log in target.logs[logged:] if log["log_level"] in {"error", "critical"}]
            assert not broken, broken

        attack()
