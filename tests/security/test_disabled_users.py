"""Somebody who was shown the door, and holds on to what they have."""

import httpx
import pytest
from support.people import PASSWORD
from support.server import Person, Site
from support.sockets import connected
from support.waiting import WAIT_SECONDS

from graphql_api.identity import users

pytestmark = pytest.mark.anyio

CREATE = 'mutation { createWorkflow(input: { name: "Mine" }) { workflow { id } } }'
WATCH = "subscription($id: ID!) { workflowEvents(workflowId: $id) { sequence } }"
VIEWER = "{ viewer { email } }"
LOGIN = "mutation($input: LoginInput!) { login(input: $input) { session { refreshToken } errors { code } } }"
REFRESH = """mutation($input: RefreshSessionInput!) {
  refreshSession(input: $input) { session { expiresAt } errors { code } } }"""


async def disable(target: Site, person: Person) -> None:
    await users.disable(target.engines.database, person.user.email)


async def own_workflow(target: Site, person: Person) -> str:
    answer = await target.ask(CREATE, token=person.token)
    return str(answer["data"]["createWorkflow"]["workflow"]["id"])


async def code(target: Site, person: Person) -> str | None:
    answer = await target.ask(VIEWER, token=person.token)
    return answer["errors"][0]["extensions"]["code"] if "errors" in answer else None


class TestAccessToken:
    async def test_is_refused_at_once(self, target: Site, ada: Person) -> None:
        eve = await target.person()
        assert await code(target, eve) is None
        await disable(target, eve)

        assert await code(target, eve) == "UNAUTHENTICATED"
        assert await code(target, ada) is None

    async def test_is_good_again_once_its_user_is_enabled(self, target: Site) -> None:
        eve = await target.person()
        await disable(target, eve)
        await users.enable(target.engines.database, eve.user.email)

        assert await code(target, eve) is None


class TestSignIn:
    async def test_neither_password_nor_refresh_token_open_the_door(self, target: Site) -> None:
        eve = await target.person()
        credentials = {"input": {"email": eve.user.email, "password": PASSWORD}}
        session = (await target.ask(LOGIN, credentials))["data"]["login"]["session"]
        await disable(target, eve)

        refreshed = (await target.ask(REFRESH, {"input": session}))["data"]["refreshSession"]
        signed_in = (await target.ask(LOGIN, credentials))["data"]["login"]

        refusal = {"session": None, "errors": [{"code": "INVALID_CREDENTIALS"}]}
        assert (refreshed, signed_in) == (refusal, refusal)

    async def test_an_old_refresh_token_stays_dead_after_the_user_is_enabled(self, target: Site) -> None:
        eve = await target.person()
        credentials = {"input": {"email": eve.user.email, "password": PASSWORD}}
        session = (await target.ask(LOGIN, credentials))["data"]["login"]["session"]
        await disable(target, eve)
        await users.enable(target.engines.database, eve.user.email)

        refreshed = (await target.ask(REFRESH, {"input": session}))["data"]["refreshSession"]
        signed_in = (await target.ask(LOGIN, credentials))["data"]["login"]

        assert refreshed["errors"] == [{"code": "INVALID_CREDENTIALS"}]
        assert signed_in["errors"] == []


class TestOpenSocket:
    async def test_an_operation_on_it_is_refused_and_then_it_closes(self, target: Site, ada: Person) -> None:
        eve = await target.person()
        async with connected(target.socket_url, eve.token) as socket, connected(target.socket_url, ada.token) as hers:
            assert (await socket.run(VIEWER))[0]["payload"]["data"]["viewer"] == {"email": eve.user.email}
            await disable(target, eve)

            assert await socket.close_code() == 4401
            assert (await hers.run(VIEWER))[0]["payload"]["data"]["viewer"] == {"email": ada.user.email}

    async def test_its_subscriptions_are_told_why(self, target: Site, ada: Person, workflow: str) -> None:
        eve = await target.person()
        own = await own_workflow(target, eve)
        async with connected(target.socket_url, eve.token) as socket, connected(target.socket_url, ada.token) as hers:
            await hers.subscribe(WATCH, {"id": workflow})
            await socket.subscribe(WATCH, {"id": own})
            assert (await socket.next())["data"]["workflowEvents"]["sequence"] == 1
            await disable(target, eve)

            message = await socket.receive()
            errors = message["payload"] if message["type"] == "error" else message["payload"]["errors"]
            assert [error["extensions"]["code"] for error in errors] == ["UNAUTHENTICATED"]
            assert await socket.close_code() == 4401
            assert await hers.next()


class TestOpenStream:
    async def test_it_ends_and_says_why(self, target: Site) -> None:
        eve = await target.person()
        own = await own_workflow(target, eve)
        headers = {"authorization": f"Bearer {eve.token}", "accept": "text/event-stream"}
        body = {"query": WATCH, "variables": {"id": own}}
        async with (
            httpx.AsyncClient(timeout=WAIT_SECONDS) as client,
            client.stream("POST", f"{target.url}/graphql", json=body, headers=headers) as answer,
        ):
            lines = answer.aiter_lines()
            while '"sequence":1' not in await anext(lines):
                pass
            await disable(target, eve)
            rest = [line async for line in lines]

        assert "UNAUTHENTICATED" in "".join(rest)
