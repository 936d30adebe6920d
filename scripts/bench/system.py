"""The whole system: a runtime, a worker, PostgreSQL, two API processes, and subscribers of both.

Three figures, each of the real thing with durable commits: how long an event takes from the runtime's frame to a
subscriber of another replica; what a delivery costs when a hundred follow one log, beside the delivery path alone; and
how many events a second are appended to eight logs in batches.
"""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack
from statistics import median
from typing import Any
from uuid import uuid4

import httpx
from report import Report, spread, table, verdict
from running import Peer, Running, Skips, all_started
from sites import Site, token_of
from source import BATCH, RATE
from subscriptions import PRODUCT, SAME, cost, delivering, following, subscribe
from websockets.asyncio.client import ClientConnection

THREADS = 8
CREATE = 'mutation { createWorkflow(input: {name: "Bench"}) { workflow { id } errors { message } } }'
REFINE = """mutation($id: ID!) {
    refineWorkflow(input: {workflowId: $id, prompt: "Tick"}) { proposal { id } errors { message } } }"""


class System:
    """Measures the whole system.

    Args:
        site: Where.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._token = token_of(site.editor)
        self._medians: list[float] = []
        self._p99s: list[float] = []
        self._costs: list[float] = []
        self._alone: list[float] = []
        self._rates: list[float] = []

    def measure(self, seconds: float) -> None:
        """Measure everything once."""
        with ExitStack() as stack:
            replicas = [Peer(f"replica {number}", self._site.serving) for number in (1, 2)]
            servers = [*all_started(stack, replicas, Skips()).values()]
            took = asyncio.run(self._end_to_end(servers, seconds))
            self._medians.append(median(took))
            self._p99s.append(took[len(took) * 99 // 100])
            delivered = subscribe(self._site, servers[1], SAME, seconds, is_whole=True, source="append")
            self._costs.append(cost(delivered))
            self._rates.append(self._appends(seconds))
        with delivering(self._site.servers, PRODUCT) as server:
            self._alone.append(cost(subscribe(self._site, server, SAME, seconds)))

    async def _ask(self, server: Running, document: str, **variables: object) -> dict[str, Any]:
        """Run an operation; stops on errors."""
        headers = {"authorization": f"Bearer {self._token}"}
        url = f"http://127.0.0.1:{server.port}/graphql"
        async with httpx.AsyncClient(timeout=30) as client:
            answer = await client.post(url, json={"query": document, "variables": variables}, headers=headers)
        (payload,) = (answer.json().get("data") or sys.exit(answer.text)).values()
        if payload.get("errors"):
            sys.exit(f"{document}: {payload['errors']}")
        result: dict[str, Any] = payload
        return result

    async def _end_to_end(self, servers: Sequence[Running], seconds: float) -> list[float]:
        """Measure from the runtime's frame to subscribers of both replicas; gives milliseconds, in order."""
        workflow = (await self._ask(servers[0], CREATE))["workflow"]["id"]
        # Nobody works on them yet.
        proposals = [(await self._ask(servers[0], REFINE, id=workflow))["proposal"]["id"] for _ in range(THREADS)]
        async with AsyncExitStack() as stack:
            opened = []
            for server in servers:
                for proposal in proposals:
                    connection = await stack.enter_async_context(following(server.port, proposal, self._token))
                    await connection.recv()
                    opened.append(connection)
            with self._site.clockwork("work", seconds):
                async with asyncio.timeout(seconds + 30):
                    took = await asyncio.gather(*map(latencies, opened))
        expected = int(seconds * RATE) * len(opened)
        if sum(map(len, took)) != expected:
            sys.exit(f"{sum(map(len, took))} events arrived instead of {expected}")
        return sorted(each for one in took for each in one)

    def _appends(self, seconds: float) -> float:
        """Measure how many events a second are appended to several logs in batches."""
        logs = [uuid4() for _ in range(THREADS)]
        self._site.logs(logs)
        with self._site.clockwork("flood", seconds, *logs):
            return float(self._site.product.read())

    def report(self) -> Report:
        """Write down what was measured."""
        ratios = [alone / whole for alone, whole in zip(self._alone, self._costs, strict=True)]
        journey = f"runtime's frame to {2 * THREADS} subscribers of two replicas, {THREADS * RATE} events/s"
        rows = [
            (f"{journey}, median", spread(self._medians, "ms"), verdict(median(self._medians), at_most=5)),
            ("the same, 99 of 100", spread(self._p99s, "ms"), verdict(median(self._p99s), at_most=25)),
            (f"CPU of a delivery when {SAME.connections} follow one log", spread(self._costs, "µs"), ""),
            (
                "the same, of the delivery path alone",
                f"{spread(self._alone, 'µs')}: {median(ratios):.2f} of the whole",
                verdict(median(ratios), at_least=0.7),
            ),
            (
                f"events appended to {THREADS} logs in batches of {BATCH}",
                spread(self._rates, "a second", digits=0),
                verdict(median(self._rates), at_least=10_000),
            ),
        ]
        return Report("system", [table(("what", "measured", "target"), rows)])


async def latencies(connection: ClientConnection) -> list[float]:
    """Collect, until the log's end, how many milliseconds events took since the runtime sent them."""
    took = []
    async for text in connection:
        arrived = time.time_ns()
        message = json.loads(text)
        if message["type"] != "next":
            break
        event = message["payload"]["data"]["proposalEvents"]
        sent = event.get("toolCallId") or event.get("messageId")
        if sent is not None:
            took.append((arrived - int(sent)) / 1e6)
    return took
