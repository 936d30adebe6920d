"""The composition root: settings become adapters, an application and a worker. The only place that knows them all."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

from sqlalchemy import URL
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute

from graphql_api.authoring.outcomes import ProposalOutcomes
from graphql_api.context import Engines, Limits
from graphql_api.events.log import EventLog
from graphql_api.identity.tokens import TokenKeys
from graphql_api.kit.database import Database
from graphql_api.runtimes.embedded.adapter import EmbeddedRuntime
from graphql_api.runtimes.protocol import AgentRuntime
from graphql_api.runtimes.worker import Worker
from graphql_api.schema import schema, sdl
from graphql_api.settings import Environment, Settings
from graphql_api.transport.graphiql_page import GraphiQL
from graphql_api.transport.graphql import GraphQLApp
from graphql_api.transport.health import Health


def make_runtime(settings: Settings) -> AgentRuntime:
    """Make the adapter that `RUNTIME_URL` names."""
    return EmbeddedRuntime(pace_seconds=settings.embedded_runtime_pace_ms / 1000)


def make_engines(settings: Settings, database_url: URL, secrets: tuple[str, ...]) -> Engines:
    """Make what a process has one of.

    Args:
        settings: From the environment.
        database_url: Of the database, embedded or not.
        secrets: That sign and verify access tokens.
    """
    database = Database(database_url)
    return Engines(
        database=database,
        log=EventLog(database),
        runtime=make_runtime(settings),
        keys=TokenKeys(secrets, issuer=settings.jwt_issuer, audience=settings.jwt_audience),
        limits=Limits(
            concurrent_refinements=settings.max_concurrent_refinements,
            proposal_lifetime=timedelta(hours=settings.proposal_ttl_hours),
        ),
    )


def make_app(
    settings: Settings, engines: Engines, *, with_worker: bool = False, authorization: Callable[[], str] | None = None
) -> Starlette:
    """Make the application.

    Args:
        settings: From the environment.
        engines: What the process has one of.
        with_worker: Whether executions run in this process too.
        authorization: Makes the header that GraphiQL starts with, in development.
    """
    graphiql = None if settings.environment is Environment.PRODUCTION else GraphiQL(authorization)
    graphql = GraphQLApp(schema, engines, graphiql=graphiql, allowed_origins=settings.cors_origins)
    description = sdl()

    async def show_sdl(_request: Request) -> PlainTextResponse:
        return PlainTextResponse(description, media_type="text/plain; charset=utf-8")

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with running(engines, with_worker=with_worker):
            yield

    return Starlette(
        routes=[
            Route("/graphql", graphql),
            WebSocketRoute("/graphql", graphql),
            Route("/schema.graphql", show_sdl),
            *Health(engines).routes(),
            *(graphiql.routes() if graphiql else ()),
        ],
        middleware=[
            Middleware(
                CORSMiddleware,
                allow_origins=settings.cors_origins,
                allow_methods=["GET", "POST"],
                allow_headers=["authorization", "content-type", "traceparent"],
                max_age=600,
            )
        ],
        lifespan=lifespan,
    )


@asynccontextmanager
async def running(engines: Engines, *, with_worker: bool) -> AsyncIterator[None]:
    """Run what works in the background, and let go of everything at the end."""
    async with AsyncExitStack() as stack:
        stack.push_async_callback(engines.database.close)
        stack.push_async_callback(engines.runtime.close)
        await stack.enter_async_context(engines.log.running())
        if with_worker:
            await stack.enter_async_context(_working(make_worker(engines)))
        yield


def make_worker(engines: Engines) -> Worker:
    """Make a worker whose executions are proposals."""
    return Worker(engines.database, engines.log, engines.runtime, ProposalOutcomes(engines.log))


@asynccontextmanager
async def _working(worker: Worker) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(worker.run())
        try:
            yield
        finally:
            task.cancel()
