"""A client of the public API: queries over HTTP, subscriptions over `graphql-transport-ws`."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx
from gql import Client, gql
from gql.transport.exceptions import TransportError, TransportQueryError
from gql.transport.websockets import WebsocketsTransport
from websockets.exceptions import ConnectionClosed

from graphql_api.cli import documents
from graphql_api.cli.problems import Problem, one_line

Answer = dict[str, Any]

_TIMEOUT_SECONDS = 30.0
_RENEW_BEFORE = timedelta(minutes=1)
_PAUSES = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0)
"""Seconds before each attempt to get a lost stream back; who is patient goes on with the last."""

_SIGN_IN_AGAIN = "(--email, or a new token in ORCHESTRATOR_TOKEN)"


class Unreachable(Problem):
    """Nobody answers, which may pass."""


class Refused(Problem):
    """A mutation returned errors."""


class ApiClient:
    """One signed-in session.

    Args:
        url: From `checked_url`.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        is_local = _is_local(self.url)
        # What listens on this machine is not asked for through a proxy.
        self._http = httpx.AsyncClient(timeout=_TIMEOUT_SECONDS, trust_env=not is_local)
        self._socket_options = {"proxy": None} if is_local else {}
        self._session: Answer = {}

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def sign_in(self, email: str, password: str) -> Answer:
        """Sign in; answer who it is.

        Raises:
            Problem: When that is refused.
        """
        answer = await self.mutate(documents.SIGN_IN, email=email, password=password)
        self._session = answer["session"]
        user: Answer = self._session["user"]
        return user

    async def take(self, token: str) -> Answer:
        """Go on with somebody's access token; answer who it is.

        Raises:
            Problem: When the token is refused.
        """
        self._session = {"accessToken": token, "expiresAt": None}
        return await self._viewer()

    async def mutate(self, document: str, **fields: Any) -> Answer:  # noqa: ANN401 - what the input takes
        """Run a mutation with one input; answer its payload.

        Raises:
            Refused: With the errors of the payload, which are written for people.
            Problem: When there is no payload.
        """
        return _payload(await self.ask(document, input=fields))

    async def ask(self, document: str, **variables: Any) -> Answer:  # noqa: ANN401 - whatever GraphQL takes
        """Run an operation; answer its data.

        Raises:
            Unreachable: When nobody answers.
            Problem: With an error.
        """
        headers = {"authorization": await self._authorization()} if self._session else {}
        return await self._post(document, variables, headers)

    async def events(
        self,
        document: str,
        variables: Mapping[str, Any],
        lost: Callable[[str], None],
        *,
        is_patient: bool = False,
    ) -> AsyncGenerator[Answer, None]:
        """Follow a log to its end; a lost connection is taken up after the last cursor.

        Args:
            document: A subscription to events, which selects their `cursor`.
            variables: Of it; `after` is the cursor to begin after.
            lost: Told why the connection is lost, once until it is back.
            is_patient: Whether to wait for a server for as long as it takes.

        Raises:
            Problem: When the subscription is refused, or the connection stays away.
        """
        after: str | None = variables.get("after")
        losses = 0
        while True:
            try:
                if losses:
                    # A socket only closes where a request is told what is wrong with its token.
                    await self._viewer()
                async with aclosing(self._subscribe(document, {**variables, "after": after})) as events:
                    async for event in events:
                        losses, after = 0, event["cursor"]
                        yield event
            except TransportQueryError as error:
                raise Problem(one_line_of(error.errors or [])) from error
            except (Unreachable, TransportError, OSError, TimeoutError) as error:
                if losses >= len(_PAUSES) and not is_patient:
                    raise Problem(f"The connection to {self.url} was lost: {_reason(error)}") from error
                if not losses:
                    lost(_reason(error))
                await asyncio.sleep(_PAUSES[min(losses, len(_PAUSES) - 1)])
                losses += 1
            else:
                return

    async def _viewer(self) -> Answer:
        viewer: Answer = (await self.ask(documents.VIEWER))["viewer"]
        return viewer

    async def _post(self, document: str, variables: Mapping[str, Any], headers: Mapping[str, str]) -> Answer:
        try:
            response = await self._http.post(
                self.url, json={"query": document, "variables": variables}, headers=headers
            )
        except httpx.HTTPError as error:
            raise Unreachable(
                f"Nothing answers at {self.url}: {one_line(error)}; start a server with: orchestrator dev"
            ) from error
        body = _read(response)
        if not body.get("data") and not body.get("errors"):
            raise Problem(f"{self.url} is no GraphQL endpoint: it answered HTTP {response.status_code}")
        if body.get("errors"):
            raise Problem(one_line_of(body["errors"]))
        data: Answer = body["data"]
        return data

    async def _subscribe(self, document: str, variables: Answer) -> AsyncGenerator[Answer, None]:
        transport = WebsocketsTransport(
            f"ws{self.url.removeprefix('http')}",
            init_payload={"Authorization": await self._authorization()},
            subprotocols=[WebsocketsTransport.GRAPHQLWS_SUBPROTOCOL],
            connect_args=self._socket_options,
        )
        request = gql(document)
        request.variable_values = variables
        async with Client(transport=transport) as session:
            async for data in session.subscribe(request):
                (event,) = data.values()
                yield event

    async def _authorization(self) -> str:
        """Give the header; a token that is about to expire is exchanged first."""
        session = self._session
        if session["expiresAt"] is not None and _is_about_to_expire(session["expiresAt"]):
            answer = _payload(
                await self._post(documents.REFRESH, {"input": {"refreshToken": session["refreshToken"]}}, {})
            )
            self._session = answer["session"]
        return f"Bearer {self._session['accessToken']}"


def checked_url(text: str) -> str:
    """Read the address of an endpoint; `/graphql` is added to one without a path.

    Raises:
        Problem: When it is none.
    """
    refusal = Problem(f"{text} is no address of an API; give one such as http://127.0.0.1:8080/graphql")
    try:
        parts = urlsplit(text)
        has_port = parts.port != 0
    except ValueError as error:
        raise refusal from error
    if parts.scheme not in {"http", "https"} or not parts.hostname or not has_port:
        raise refusal
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") or "/graphql", fragment=""))


def one_line_of(errors: list[Any]) -> str:
    """Say what GraphQL errors say, on one line, and what to do where they do not."""
    known = [error for error in errors if isinstance(error, dict)]
    messages = [error["message"] for error in known if error.get("message")]
    text = one_line(Problem(" ".join(messages) or "The server refused without a reason"))
    is_stranger = any((error.get("extensions") or {}).get("code") == "UNAUTHENTICATED" for error in known)
    return f"{text} {_SIGN_IN_AGAIN}" if is_stranger else text


def _payload(data: Answer) -> Answer:
    (payload,) = data.values()
    if payload["errors"]:
        raise Refused(one_line_of(payload["errors"]))
    answer: Answer = payload
    return answer


def _reason(error: Exception) -> str:
    """Say why a connection is lost, as the part that knows most says it."""
    cause = error.__cause__ or error
    if isinstance(cause, ConnectionClosed) and cause.rcvd is not None:
        return f"{cause.rcvd.code} {cause.rcvd.reason}".rstrip()
    return one_line(cause)


def _is_about_to_expire(moment: str) -> bool:
    return datetime.fromisoformat(moment) - datetime.now(UTC) < _RENEW_BEFORE


def _read(response: httpx.Response) -> Answer:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
