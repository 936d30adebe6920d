"""The application on a port of its own, as clients see it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import uvicorn
from starlette.types import ASGIApp

from graphql_api.app import make_app, make_engines
from graphql_api.context import Engines
from graphql_api.identity.models import User, UserRole
from graphql_api.identity.tokens import ACCESS_TOKEN_LIFETIME
from graphql_api.kit.columns import now
from graphql_api.kit.database import Database
from graphql_api.settings import Settings
from graphql_api.transport.delivery.batching import BatchingProtocol
from graphql_api.transport.joining import JoiningProtocol
from support.people import PASSWORD_HASH
from support.waiting import WAIT_SECONDS, until

SECRET = "a secret of tests, long enough to sign with"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with an access token."""

    user: User
    token: str


@dataclass(frozen=True, slots=True)
class Site:
    """A server that runs, and what its process has one of."""

    url: str
    engines: Engines

    @property
    def socket_url(self) -> str:
        """Where WebSockets are opened."""
        return self.url.replace("http", "ws", 1) + "/graphql"

    def token(self, user: User, *, expires_at: datetime | None = None) -> str:
        """Sign an access token; the moment of its end has whole seconds."""
        issued_at = now() if expires_at is None else expires_at - ACCESS_TOKEN_LIFETIME
        return self.engines.keys.issue(user.id, issued_at)[0]

    async def person(self, *, name: str = "Ada", is_admin: bool = False) -> Person:
        """Make somebody who is signed in."""
        roles = [UserRole.USER.value, *([UserRole.ADMIN.value] if is_admin else [])]
        user = User(email=f"{uuid4().hex}@example.com", name=name, password_hash=PASSWORD_HASH, roles=roles)
        async with self.engines.database.transaction() as session:
            session.add(user)
        return Person(user, self.token(user))

    async def request(self, method: str, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401 - httpx's own
        """Send one request on a connection of its own."""
        async with httpx.AsyncClient(base_url=self.url, timeout=WAIT_SECONDS) as client:
            return await client.request(method, path, **options)

    async def ask(
        self, query: str, variables: Mapping[str, Any] | None = None, *, token: str | None = None, **body: object
    ) -> dict[str, Any]:
        """Run an operation by POST; give the whole answer."""
        headers = {"authorization": f"Bearer {token}"} if token else {}
        json = {"query": query, "variables": variables or {}, **body}
        answer: dict[str, Any] = (await self.request("POST", "/graphql", json=json, headers=headers)).json()
        return answer


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[str]:
    """Serve an application in this event loop; give its address."""
    config = uvicorn.Config(
        app,
        port=0,
        http=JoiningProtocol,
        ws=BatchingProtocol,
        ws_per_message_deflate=False,
        log_config=None,
        timeout_graceful_shutdown=5,
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve())
    await until(lambda: server.started or task.done())
    if task.done():
        task.result()
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task


def engines_for(
    database: Database, settings: Settings | None = None, *, unchecked_access: timedelta | None = None
) -> Engines:
    """Make the engines of one process, on a pool of its own; the runtime takes no time."""
    engines = make_engines(settings or quick_settings(), database.url, (SECRET,))
    if unchecked_access is None:
        return engines
    return replace(engines, limits=replace(engines.limits, unchecked_access=unchecked_access))


def quick_settings(**values: Any) -> Settings:  # noqa: ANN401 - the settings' own
    """Make settings that no environment and no file has a part in."""
    options: dict[str, Any] = {"embedded_runtime_pace_ms": 0, **values}
    return Settings.model_construct(**{**Settings.model_construct().model_dump(), **options})


@asynccontextmanager
async def site(
    database: Database,
    *,
    settings: Settings | None = None,
    engines: Engines | None = None,
    with_worker: bool = False,
    authorization: Callable[[], str] | None = None,
) -> AsyncIterator[Site]:
    """Serve the whole application on a database."""
    settings = settings or quick_settings()
    engines = engines or engines_for(database, settings)
    app = make_app(settings, engines, with_worker=with_worker, authorization=authorization)
    async with serving(app) as url:
        await engines.log.notifier.listening.wait()
        yield Site(url, engines)
