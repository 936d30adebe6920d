"""Clients of the API: they try again when it is away, and go on after the last cursor when a subscription breaks."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
from house import Member
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, WebSocketException
from websockets.typing import Subprotocol

Json = dict[str, Any]

CALL_SECONDS = 8
"""How long an answer is waited for."""

PING_SECONDS = 3
"""A connection that does not answer pings for so long is given up."""

_PASSING = {"INTERNAL_ERROR", "RATE_LIMITED", "RUNTIME_UNAVAILABLE", "UNAVAILABLE", "OVERLOADED"}
"""Errors that say: try again."""

WATCH = """
subscription($proposalId: ID!, $after: EventCursor) {
  proposalEvents(proposalId: $proposalId, after: $after, deltas: NONE) { __typename cursor sequence }
}
"""
TERMINAL = {"ProposalCompleted", "ProposalFailed", "ProposalCancelled"}


class Refused(Exception):
    """An answer that trying again would not change."""


@dataclass(slots=True)
class Tally:
    """What happened to all callers together.

    Attributes:
        counts: By name.
        violations: What must not have happened.
        codes: How subscriptions and connections ended before their time.
    """

    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    codes: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Seen:
    """An event as a subscriber got it."""

    sequence: int
    type: str
    cursor: str


@dataclass(slots=True)
class Watch:
    """One subscriber's view of one proposal.

    Attributes:
        after: The sequence that it began after.
        got: Events in the order of arrival, over all connections.
        connections: How many it took.
        is_over: Whether the server completed it.
    """

    proposal: str
    after: int
    cursor: str | None
    got: list[Seen] = field(default_factory=list)
    connections: int = 0
    is_over: bool = False


class Caller:
    """Somebody who is signed in.

    Args:
        members: API processes; any of them will do.
        tally: Shared with all.
    """

    def __init__(self, members: Sequence[Member], tally: Tally) -> None:
        self._members = members
        self._tally = tally
        self._token: str | None = None
        self._client = httpx.AsyncClient(timeout=CALL_SECONDS, trust_env=False, verify=False)  # noqa: S501 - no TLS here

    async def close(self) -> None:
        """Let go of connections."""
        await self._client.aclose()

    def address(self) -> str:
        """Choose an API process."""
        return random.choice(self._members).address  # noqa: S311 - which one does not matter

    async def sign_in(self, email: str, password: str) -> None:
        """Sign in."""
        document = "mutation($input: LoginInput!) { login(input: $input) { session { accessToken } errors { code } } }"
        self._token = (await self.call(document, email=email, password=password))["session"]["accessToken"]

    async def call(self, document: str, **given: object) -> Json:
        """Run a mutation until it is answered; give its payload.

        Raises:
            Refused: When the answer is an error of the caller's.
        """
        (payload,) = (await self.ask(document, {"input": given})).values()
        errors = {error["code"] for error in payload["errors"]}
        if errors & _PASSING:
            self._tally.counts["calls put off"] += 1
            await asyncio.sleep(0.5)
            return await self.call(document, **given)
        if errors:
            raise Refused(", ".join(sorted(errors)))
        return dict(payload)

    async def ask(self, document: str, variables: Mapping[str, object]) -> Json:
        """Run an operation until it is answered; give its data."""
        while True:
            answer = await self._try(document, variables)
            if answer is not None:
                return answer
            self._tally.counts["calls tried again"] += 1
            await asyncio.sleep(random.uniform(0.2, 1))  # noqa: S311 - spreads the callers

    async def _try(self, document: str, variables: Mapping[str, object]) -> Json | None:
        headers = {"authorization": f"Bearer {self._token}"} if self._token else {}
        try:
            body = {"query": document, "variables": dict(variables)}
            response = await self._client.post(f"{self.address()}/graphql", json=body, headers=headers)
            answer = response.json()
        except (httpx.HTTPError, ValueError):
            return None
        if "errors" not in answer and "data" in answer:
            return dict(answer["data"])
        codes = {error.get("extensions", {}).get("code", "?") for error in answer.get("errors", [])}
        for code in codes:
            self._tally.codes[f"call: {code}"] += 1
        if codes - _PASSING and response.status_code < httpx.codes.INTERNAL_SERVER_ERROR:
            raise Refused(f"{sorted(codes)} {answer['errors']}")
        return None

    async def watch(self, proposal: str, *, start: Seen | None = None) -> AsyncIterator[Watch]:
        """Follow a proposal to its end, over as many connections as it takes; give the state after each event."""
        watch = Watch(proposal, start.sequence if start else 0, start.cursor if start else None)
        while not watch.is_over:
            watch.connections += 1
            with suppress(OSError, TimeoutError, WebSocketException, InvalidHandshake):
                async for seen in self._follow(watch):
                    watch.got.append(seen)
                    watch.cursor = seen.cursor
                    self._tally.counts["events delivered"] += 1
                    yield watch
            if not watch.is_over:
                await asyncio.sleep(random.uniform(0.1, 1))  # noqa: S311 - spreads the callers
        yield watch

    async def _follow(self, watch: Watch) -> AsyncIterator[Seen]:
        url = self.address().replace("http", "ws", 1) + "/graphql"
        connection: ClientConnection | None = None
        try:
            async with connect(
                url,
                subprotocols=[Subprotocol("graphql-transport-ws")],
                proxy=None,
                open_timeout=CALL_SECONDS,
                close_timeout=1,
                ping_interval=PING_SECONDS,
                ping_timeout=PING_SECONDS,
            ) as connection:
                async for seen in self._subscribe(connection, watch):
                    yield seen
        finally:
            if connection is not None and not watch.is_over:
                self._tally.codes[f"connection: {connection.close_code}"] += 1

    async def _subscribe(self, connection: ClientConnection, watch: Watch) -> AsyncIterator[Seen]:
        init = {"type": "connection_init", "payload": {"Authorization": f"Bearer {self._token}"}}
        await connection.send(json.dumps(init))
        async with asyncio.timeout(CALL_SECONDS):
            await connection.recv()
        payload = {"query": WATCH, "variables": {"proposalId": watch.proposal, "after": watch.cursor}}
        await connection.send(json.dumps({"type": "subscribe", "id": "1", "payload": payload}))
        async for text in connection:
            message = json.loads(text)
            if message["type"] == "complete":
                watch.is_over = True
                return
            errors = message["payload"] if message["type"] == "error" else message["payload"].get("errors")
            if errors:
                self._refuse(watch, errors)
                return
            event = message["payload"]["data"]["proposalEvents"]
            yield Seen(event["sequence"], event["__typename"], event["cursor"])

    def _refuse(self, watch: Watch, errors: list[Json]) -> None:
        for error in errors:
            code = error.get("extensions", {}).get("code", "?")
            self._tally.codes[f"subscription: {code}"] += 1
            if code not in _PASSING:
                self._tally.violations.append(f"A subscription to {watch.proposal} was refused: {error}")
                watch.is_over = True
