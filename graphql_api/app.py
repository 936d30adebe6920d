"""The composition root: settings become adapters, an application and a worker. The only place that knows them all."""

from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from importlib import import_module
from typing import Any

from pydantic import SecretStr
from sqlalchemy import URL
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute

from graphql_api.authoring import retention
from graphql_api.authoring.access import lost_access
from graphql_api.authoring.outcomes import ProposalOutcomes
from graphql_api.context import ANONYMOUS, Engines, Limits
from graphql_api.events.log import EventLog
from graphql_api.events.watches import Watches
from graphql_api.identity.jwks import KeySet
from graphql_api.identity.outside_tokens import IdentityProvider
from graphql_api.identity.tokens import AUDIENCE, ISSUER, TokenKeys
from graphql_api.kit import tracing
from graphql_api.kit.bounds import Bounds
from graphql_api.kit.database import Database
from graphql_api.kit.duties import background, repeat
from graphql_api.kit.errors import ErrorCode
from graphql_api.kit.places import Places
from graphql_api.kit.rates import Budget, Rate, Rates
from graphql_api.runtimes.addresses import RuntimeAddress
from graphql_api.runtimes.circuit import Circuit
from graphql_api.runtimes.deepagents.adapter import DeepAgentsRuntime
from graphql_api.runtimes.embedded.adapter import EmbeddedRuntime
from graphql_api.runtimes.embedded.agents import AgentsRuntime, ExtraMissing
from graphql_api.runtimes.guarded import GuardedRuntime
from graphql_api.runtimes.langgraph.adapter import LangGraphRuntime
from graphql_api.runtimes.lines import Patience
from graphql_api.runtimes.protocol import AgentRuntime
from graphql_api.runtimes.worker import Worker
from graphql_api.schema import schema, sdl
from graphql_api.settings import Environment, Settings, SettingsError
from graphql_api.transport.access import AccessLog
from graphql_api.transport.answers import RATE_HEADERS, failure
from graphql_api.transport.credentials import signed_in
from graphql_api.transport.graphiql_page import GraphiQL
from graphql_api.transport.graphql import COST_HEADER, GraphQLApp
from graphql_api.transport.headers import SecurityHeaders
from graphql_api.transport.health import Health
from graphql_api.transport.metrics import Metrics
from graphql_api.transport.persisted import ManifestError, PersistedOperations, read_manifest
from graphql_api.transport.requests import PREFLIGHT_HEADERS


def _embedded(settings: Settings, _address: RuntimeAddress) -> AgentRuntime:
    if settings.agent_model is None:
        return EmbeddedRuntime(pace_seconds=settings.embedded_runtime_pace_ms / 1000)
    try:
        return AgentsRuntime(settings.agent_model)
    except ExtraMissing as error:
        raise SettingsError(f"AGENT_MODEL: {error}") from error


RUNTIMES: Mapping[str, Callable[[Settings, RuntimeAddress], AgentRuntime]] = {
    "embedded": _embedded,
    "deepagents": lambda _, address: DeepAgentsRuntime(address),
    "langgraph": lambda _, address: LangGraphRuntime(address),
}
"""Makes an adapter, by the name that `RUNTIME_URL` begins with; an address that it can't use is a `ValueError`."""


def make_runtime(settings: Settings) -> AgentRuntime:
    """Make the adapter that `RUNTIME_URL` names.

    Raises:
        SettingsError: When there is none of that name, or it can't use the rest of the URL.
    """
    address = settings.runtime_address()
    variable = "DEEPAGENTS_RUNTIME_URL" if settings.runtime_url is None else "RUNTIME_URL"
    if address.adapter not in RUNTIMES:
        known = ", ".join(RUNTIMES)
        raise SettingsError(f"{variable}: {address.adapter!r} names no runtime that is built in; there is {known}.")
    try:
        return RUNTIMES[address.adapter](settings, address)
    except ValueError as error:
        raise SettingsError(f"{variable}: {error}") from error


def start_tracing(settings: Settings) -> None:
    """Record traces from now on, if the environment wants it; what records them is imported only then.

    Raises:
        SettingsError: When the packages for it are not installed.
    """
    endpoint = settings.otel_exporter_otlp_endpoint
    if endpoint is None:
        return
    try:
        tracing.install(import_module("graphql_api.kit.spans").Spans(endpoint))
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"OTEL_EXPORTER_OTLP_ENDPOINT: traces need {error.name}; install ide-orchestrator[otel]."
        ) from error


def make_engines(settings: Settings, database_url: URL, secrets: tuple[str, ...]) -> Engines:
    """Make what a process has one of.

    Args:
        settings: From the environment.
        database_url: Of the database, embedded or not.
        secrets: That sign and verify access tokens.

    Raises:
        SettingsError: When the runtime can't be made.
    """
    runtime = make_runtime(settings)
    database = Database(
        database_url, pool_size=settings.database_pool_size, pool_seconds=settings.database_pool_seconds
    )
    tracing.watch(database.engine)
    circuit = Circuit(database, runtime.name)
    limits = make_limits(settings)
    return Engines(
        database=database,
        log=EventLog(database),
        runtime=GuardedRuntime(runtime, circuit),
        circuit=circuit,
        watches=Watches(partial(lost_access, database)),
        rates=Rates(database),
        places=Places(settings.max_concurrent_operations),
        keys=_own_keys(settings, secrets),
        provider=_provider(settings),
        limits=limits,
        budget=Budget(limits.cost),
    )


def make_limits(settings: Settings) -> Limits:
    """Make what users and strangers may use; in production, strangers learn nothing of the schema."""
    known = Bounds(
        tokens=settings.max_operation_tokens, depth=settings.max_operation_depth, cost=settings.max_operation_cost
    )
    is_open = settings.environment is not Environment.PRODUCTION
    anonymous = replace(known, tokens=min(ANONYMOUS.tokens, known.tokens), introspection=is_open, suggestions=is_open)
    return Limits(
        patience=Patience(total=settings.runtime_timeout, idle=settings.runtime_idle_timeout),
        concurrent_refinements=settings.max_concurrent_refinements,
        proposal_lifetime=timedelta(hours=settings.proposal_ttl_hours),
        mutations=Rate("mutations", settings.rate_limit_mutations),
        refinements=Rate("refinements", settings.rate_limit_refinements),
        subscriptions=Rate("subscriptions", settings.rate_limit_subscriptions),
        cost=Rate("cost", settings.rate_limit_cost),
        open_subscriptions=settings.max_open_subscriptions,
        anonymous=anonymous,
        signed_in=known,
        uncompacted_lifetime=timedelta(days=settings.compact_logs_after_days),
        audit_lifetime=None if settings.keep_audit_days is None else timedelta(days=settings.keep_audit_days),
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
    graphql = GraphQLApp(
        schema,
        engines,
        graphiql=graphiql,
        allowed_origins=settings.cors_origins,
        max_body_bytes=settings.max_body_bytes,
        persisted=_persisted(settings),
    )
    description = sdl()

    async def show_sdl(request: Request) -> Response:
        if not engines.limits.anonymous.introspection:
            caller = await signed_in(engines, request.headers.get("authorization"))
            if caller.signed_in is None:
                return failure(401, "Sign in to read the schema.", ErrorCode.UNAUTHENTICATED)
        return PlainTextResponse(description, media_type="text/plain; charset=utf-8")

    return Starlette(
        routes=[
            Route("/graphql", graphql),
            WebSocketRoute("/graphql", graphql),
            Route("/schema.graphql", show_sdl),
            *_probes(settings, engines),
            *(graphiql.routes() if graphiql else ()),
        ],
        middleware=[
            Middleware(tracing.wrap),
            Middleware(AccessLog),
            Middleware(SecurityHeaders),
            Middleware(
                CORSMiddleware,
                allow_origins=settings.cors_origins,
                allow_methods=["GET", "POST"],
                allow_headers=["authorization", "content-type", "traceparent", COST_HEADER, *PREFLIGHT_HEADERS],
                expose_headers=["x-request-id", "retry-after", *RATE_HEADERS],
                max_age=600,
            ),
        ],
        lifespan=lambda _app: running(engines, with_worker=with_worker),
    )


def make_worker_app(settings: Settings, engines: Engines) -> Starlette:
    """Make what a worker answers: probes and metrics, and nothing else."""
    return Starlette(
        routes=_probes(settings, engines),
        middleware=[Middleware(AccessLog)],
        lifespan=lambda _app: running(engines, with_worker=True),
    )


def _probes(settings: Settings, engines: Engines) -> list[Route]:
    return [*Health(engines).routes(), *Metrics(engines, token=_secret(settings.metrics_token)).routes()]


def _own_keys(settings: Settings, secrets: tuple[str, ...]) -> TokenKeys:
    """Make the keys of our own tokens; beside an outside provider, issuer and audience are the provider's."""
    if settings.jwt_jwks_url is not None:
        return TokenKeys(secrets)
    return TokenKeys(secrets, issuer=settings.jwt_issuer or ISSUER, audience=settings.jwt_audience or AUDIENCE)


def _provider(settings: Settings) -> IdentityProvider | None:
    if settings.jwt_jwks_url is None or settings.jwt_issuer is None or settings.jwt_audience is None:
        return None
    keys = KeySet(settings.jwt_jwks_url)
    return IdentityProvider(keys, issuer=settings.jwt_issuer, audience=settings.jwt_audience)


def _persisted(settings: Settings) -> PersistedOperations:
    if settings.trusted_documents is None:
        return PersistedOperations()
    try:
        manifest = read_manifest(settings.trusted_documents)
    except ManifestError as error:
        raise SettingsError(f"TRUSTED_DOCUMENTS: {error}.") from error
    return PersistedOperations(manifest, is_exclusive=settings.environment is Environment.PRODUCTION)


def _secret(value: SecretStr | None) -> str | None:
    return None if value is None else value.get_secret_value()


@asynccontextmanager
async def running(engines: Engines, *, with_worker: bool) -> AsyncIterator[None]:
    """Run what works in the background, and let go of everything at the end."""
    async with AsyncExitStack() as stack:
        stack.push_async_callback(engines.database.close)
        stack.push_async_callback(engines.runtime.close)
        await stack.enter_async_context(engines.log.running())
        period = engines.limits.unchecked_access.total_seconds()
        duties = [
            repeat("end_connections", partial(engines.presence.look, engines.database), seconds=period),
            repeat("check_access", engines.watches.check, seconds=period),
        ]
        if with_worker:
            duties += _workers_duties(engines)
        await stack.enter_async_context(background(*duties))
        yield


def make_worker(engines: Engines) -> Worker:
    """Make a worker whose executions are proposals."""
    outcomes = ProposalOutcomes(engines.log)
    return Worker(engines.database, engines.log, engines.runtime, outcomes, patience=engines.limits.patience)


def _workers_duties(engines: Engines) -> list[Coroutine[Any, Any, None]]:
    """Run executions, and do what has to be done now and then."""
    return [
        make_worker(engines).run(),
        *(repeat(name, duty, seconds=seconds) for name, duty, seconds in retention.duties(engines)),
    ]
