"""`orchestrator dev`, `serve` and `worker`: what runs until it is told to stop."""

import asyncio
import secrets
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from socket import socket
from types import FrameType
from typing import Annotated, Any
from uuid import UUID

import structlog
import typer
from rich.console import Console
from sqlalchemy import URL
from starlette.applications import Starlette
from uvicorn.loops.auto import auto_loop_factory

from graphql_api import app
from graphql_api.cli import banner, demo_account, demo_data, listening, places
from graphql_api.cli.examples import Runnable, examples
from graphql_api.cli.problems import Problem
from graphql_api.context import Engines
from graphql_api.identity import users
from graphql_api.identity.models import User
from graphql_api.kit import collector, logs
from graphql_api.kit.columns import now
from graphql_api.kit.database import Database
from graphql_api.kit.duties import background
from graphql_api.kit.errors import AlreadyExists
from graphql_api.runtimes.addresses import EMBEDDED
from graphql_api.settings import Environment, LogFormat, Settings, SettingsError

Host = Annotated[str | None, typer.Option(help="Address to listen on; HOST, or 127.0.0.1, when not given.")]
Port = Annotated[int | None, typer.Option(help="Port, 0 for any free one; PORT, or 8080, when not given.")]

_LOCAL_HOSTS = {"127.0.0.1", "::1", "localhost"}
_log = structlog.get_logger()


def dev(
    *,
    host: Host = None,
    port: Port = None,
    with_demo_data: Annotated[
        bool, typer.Option("--demo-data/--no-demo-data", help="Fill a new embedded database with a few workflows.")
    ] = True,
) -> None:
    """Serve everything on this machine, in one process.

    Starts an embedded PostgreSQL in ORCHESTRATOR_HOME (.orchestrator), or uses DATABASE_URL; migrates it; makes the
    demo account, and at the first start workflows for it in every state that clients show; runs the API, a worker and
    the embedded runtime. Ctrl-C ends all of it; the data stays.
    """
    settings = _configured(LogFormat.CONSOLE)
    if settings.environment is Environment.PRODUCTION:
        raise Problem(
            "dev makes an account with a known password, so it does not run with ENVIRONMENT=production; "
            "run: orchestrator serve"
        )
    host = host or settings.host
    with listening.bound(host, settings.port if port is None else port) as sockets:
        keys = settings.jwt_secret or (places.kept_secret(settings.orchestrator_home),)
        with _started_database(settings) as url:
            _run(_serve_everything(settings, url, keys, host, sockets, with_demo_data=with_demo_data))


def serve(host: Host = None, port: Port = None) -> None:
    """Serve the API alone; run `orchestrator worker` beside it.

    Needs JWT_SECRET (openssl rand -base64 48), and DATABASE_URL for a database that `orchestrator db upgrade` has
    migrated. Any number may run at once. SIGTERM ends it once its requests are answered.
    """
    settings = _configured(LogFormat.JSON)
    if not settings.jwt_secret:
        raise Problem("JWT_SECRET is not set; set it to a secret of 32 bytes or more: openssl rand -base64 48")
    host = host or settings.host
    with (
        listening.bound(host, settings.port if port is None else port) as sockets,
        places.database_url(settings) as url,
    ):
        _run(_serve_api(settings, url, host, sockets))


def worker() -> None:
    """Run agents in the background, without serving anything.

    Needs DATABASE_URL, as `orchestrator serve` does. Any number may run at once. SIGTERM hands unfinished work to the
    others. With WORKER_PORT it answers /health, /ready and /metrics there.
    """
    settings = _configured(LogFormat.JSON)
    with ExitStack() as stack:
        sockets = (
            None
            if settings.worker_port is None
            else stack.enter_context(listening.bound(settings.host, settings.worker_port))
        )
        _run(_work(settings, stack.enter_context(places.database_url(settings)), sockets))


COMMANDS = {
    "dev": Runnable(
        dev,
        examples(
            "orchestrator dev",
            "orchestrator dev --port 9000 --no-demo-data",
            "ORCHESTRATOR_HOME=/tmp/second orchestrator dev --port 0",
        ),
    ),
    "serve": Runnable(serve, examples("orchestrator serve", "orchestrator serve --host 0.0.0.0 --port 80")),
    "worker": Runnable(worker, examples("orchestrator worker")),
}


def _engines(settings: Settings, url: URL, keys: tuple[str, ...]) -> Engines:
    try:
        app.start_tracing(settings)
        return app.make_engines(settings, url, keys)
    except SettingsError as error:
        raise places.wrong_setting(error) from error


def _application(settings: Settings, engines: Engines, **options: Any) -> Starlette:  # noqa: ANN401 - those of make_app
    try:
        return app.make_app(settings, engines, **options)
    except SettingsError as error:
        raise places.wrong_setting(error) from error


async def _serve_everything(
    settings: Settings, url: URL, keys: tuple[str, ...], host: str, sockets: list[socket], *, with_demo_data: bool
) -> None:
    home = settings.orchestrator_home
    async with places.connected(url) as database:
        await places.upgrade(database)
        if with_demo_data and _is_for_demo_data(settings) and await _demo_user(database) is None:
            demo_data.begin(home)
        demo_user = await _found_or_made_demo_user(database)
    engines = _engines(settings, url, keys)
    listens = asyncio.Event()

    def authorization() -> str:
        return f"Bearer {engines.keys.issue(demo_user, now())[0]}"

    def announce() -> None:
        listens.set()
        banner.show(
            Console(),
            url=_address(host, sockets),
            account=(demo_account.EMAIL, demo_account.PASSWORD),
            data=f"{home.resolve()} (PostgreSQL)"
            if settings.database_url is None
            else "in the database of DATABASE_URL",
            is_open=host not in _LOCAL_HOSTS,
        )

    application = _application(settings, engines, with_worker=True, authorization=authorization)
    server = listening.Server(application, announce, max_message_bytes=settings.max_body_bytes)
    wanted = with_demo_data and demo_data.is_wanted(home)
    making = [demo_data.make(engines.database, home, _address(host, sockets), listens)] if wanted else []
    async with background(*making):
        await server.serve(sockets)


async def _serve_api(settings: Settings, url: URL, host: str, sockets: list[socket]) -> None:
    async with places.connected(url) as database:
        await places.check_usable(database)
    engines = _engines(settings, url, settings.jwt_secret)

    def announce() -> None:
        _log.info("listening", url=_address(host, sockets), environment=settings.environment.value)

    application = _application(settings, engines)
    await listening.Server(application, announce, max_message_bytes=settings.max_body_bytes).serve(sockets)
    _log.info("stopped")


async def _work(settings: Settings, url: URL, sockets: list[socket] | None) -> None:
    async with places.connected(url) as database:
        await places.check_usable(database)
    # A worker signs nothing and verifies nothing.
    engines = _engines(settings, url, (secrets.token_urlsafe(48),))
    if sockets is not None:
        url_of_probes = _address(settings.host, sockets)
        probes = app.make_worker_app(settings, engines)
        await listening.Server(probes, lambda: _log.info("working", url=url_of_probes)).serve(sockets)
        _log.info("stopped")
        return
    loop, told_to_stop = asyncio.get_running_loop(), asyncio.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(told_to_stop.set)

    with listening.on_signals(stop):
        async with app.running(engines, with_worker=True):
            _log.info("working")
            await told_to_stop.wait()
    _log.info("stopped")


def _is_for_demo_data(settings: Settings) -> bool:
    """Tell whether a new database is ours alone, and agents cost nothing."""
    is_embedded = settings.runtime_address().adapter == EMBEDDED and settings.agent_model is None
    return is_embedded and settings.database_url is None


async def _demo_user(database: Database) -> User | None:
    async with database.transaction() as session:
        return await users.by_email(session, demo_account.EMAIL)


async def _found_or_made_demo_user(database: Database) -> UUID:
    """Find the demo account, or make it."""
    try:
        made = await users.create(
            database, email=demo_account.EMAIL, name=demo_account.NAME, password=demo_account.PASSWORD
        )
    except AlreadyExists:
        found = await _demo_user(database)
        if found is None:
            raise
        return found.id
    return made.id


def _configured(log_format: LogFormat) -> Settings:
    settings = places.settings()
    logs.configure(settings.log_level, is_json=(settings.log_format or log_format) is LogFormat.JSON)
    return settings


@contextmanager
def _started_database(settings: Settings) -> Iterator[URL]:
    """Give the database's address; the first start takes seconds, which a terminal is told."""
    status = Console(stderr=True).status("Starting …")
    status.start()
    try:
        with places.database_url(settings) as url:
            status.stop()
            yield url
    finally:
        status.stop()


def _address(host: str, sockets: list[socket]) -> str:
    return listening.base_url(host, sockets[0].getsockname()[1])


def _run(main: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
        runner.run(main)
    collector.retire()
