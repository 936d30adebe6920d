"""A client that knows the API from outside only: HTTP, and `graphql-transport-ws` by hand."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
from websockets.asyncio.client import connect

Json = dict[str, Any]


class GraphQLClient:
    """Somebody who uses an API process.

    Args:
        address: Of the process, such as `http://127.0.0.1:8080`.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.token: str | None = None

    async def sign_in(self, email: str, password: str) -> None:
        """Sign in, and act as this user from now on."""
        document = (
            "mutation($input: LoginInput!) { login(input: $input) { session { accessToken } errors { message } } }"
        )
        answer = await self.run(document, {"input": {"email": email, "password": password}})
        self.token = answer["login"]["session"]["accessToken"]

    async def run(self, document: str, variables: Mapping[str, Any] | None = None) -> Json:
        """Run a query or mutation; give its data.

        Raises:
            AssertionError: With the errors, when there are any at the top level.
        """
        headers = {"authorization": f"Bearer {self.token}"} if self.token else {}
        async with httpx.AsyncClient(timeout=30) as client:
            body = {"query": document, "variables": dict(variables or {})}
            response = await client.post(f"{self.address}/graphql", json=body, headers=headers)
        answer: Json = response.json()
        assert "errors" not in answer, answer["errors"]
        data: Json = answer["data"]
        return data

    async def change(self, document: str, variables: Mapping[str, Any]) -> Json:
        """Run a mutation; give its payload, which must have no errors."""
        (payload,) = (await self.run(document, variables)).values()
        assert payload["errors"] == [], payload["errors"]
        result: Json = payload
        return result

    async def subscribe(self, document: str, variables: Mapping[str, Any]) -> AsyncIterator[Json]:
        """Give the payload of each event until the subscription completes."""
        url = self.address.replace("http", "ws", 1) + "/graphql"
        async with connect(url, subprotocols=["graphql-transport-ws"]) as socket:  # type: ignore[list-item] # a NewType
            init = {"type": "connection_init", "payload": {"Authorization": f"Bearer {self.token}"}}
            await socket.send(json.dumps(init))
            assert json.loads(await socket.recv())["type"] == "connection_ack"
            payload = {"query": document, "variables": dict(variables)}
            await socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": payload}))
            while (message := json.loads(await socket.recv()))["type"] == "next":
                yield message["payload"]
            assert message["type"] == "complete", message
