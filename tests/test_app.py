import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from jose import jwt
from sqlalchemy.exc import SQLAlchemyError
from support.server import SECRET, quick_settings, site
from support.waiting import until

from graphql_api.app import make_app, make_engines, make_runtime, running
from graphql_api.context import Context, Engines
from graphql_api.identity.actor import Actor
from graphql_api.identity.models import User
from graphql_api.identity.tokens import AUDIENCE, ISSUER
from graphql_api.kit.columns import now
from graphql_api.kit.database import Database
from graphql_api.kit.errors import Unauthenticated
from graphql_api.runtimes import executions
from graphql_api.schema import sdl
from graphql_api.settings import SettingsError

pytestmark = pytest.mark.anyio


@pytest.fixture
async def engines(fresh_database: Callable[..., Awaitable[Database]]) -> Engines:
    return make_engines(quick_settings(), (await fresh_database()).url, (SECRET,))


class TestMakeEngines:
    async def test_they_follow_the_settings(self, database: Database) -> None:
        settings = quick_settings(
            max_concurrent_refinements=3,
            proposal_ttl_hours=0.5,
            compact_logs_after_days=7,
            keep_audit_days=90,
            jwt_issuer="us",
            jwt_audience="them",
        )

        engines = make_engines(settings, database.url, (SECRET,))

        assert engines.limits.concurrent_refinements == 3
        assert engines.limits.proposal_lifetime == timedelta(minutes=30)
        assert engines.limits.uncompacted_lifetime == timedelta(days=7)
        assert engines.limits.audit_lifetime == timedelta(days=90)
        assert engines.limits.unchecked_access <= timedelta(seconds=30)
        token, _ = engines.keys.issue(User(email="a@example.com", name="A", password_hash="").id, now())
        with pytest.raises(Unauthenticated):
            make_engines(quick_settings(), database.url, (SECRET,)).keys.verify(token)

    async def test_an_outside_provider_has_its_own_issuer_and_audience(self, database: Database) -> None:
        settings = quick_settings(jwt_issuer="us", jwt_audience="them", jwt_jwks_url="https://id.example.com/keys")
        engines = make_engines(settings, database.url, (SECRET,))
        token, _ = engines.keys.issue(uuid4(), now())
        claims = jwt.get_unverified_claims(token)
        assert (claims["iss"], claims["aud"]) == (ISSUER, AUDIENCE)
        assert engines.provider is not None
        assert make_engines(quick_settings(), database.url, (SECRET,)).provider is None

    async def test_the_runtime_is_the_embedded_one(self) -> None:
        assert make_runtime(quick_settings()).name == "embedded-rules"

    def test_a_runtime_that_is_not_built_in_is_told_without_its_secrets(self) -> None:
        settings = quick_settings().model_copy(update={"runtime_url": "pigeon+https://ada:hunter2@loft"})

        with pytest.raises(SettingsError, match=r"^RUNTIME_URL: 'pigeon' names no runtime") as refusal:
            make_runtime(settings)

        assert "hunter2" not in str(refusal.value)


class TestMakeApp:
    async def test_the_schema_is_there_to_be_read(self, engines: Engines, database: Database) -> None:
        async with site(database) as running_site:
            answer = await running_site.request("GET", "/schema.graphql")

        assert (answer.status_code, answer.text) == (200, sdl())
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"

    async def test_what_is_not_there_is_not_found(self, database: Database) -> None:
        async with site(database) as running_site:
            assert (await running_site.request("GET", "/elsewhere")).status_code == 404

    async def test_making_it_starts_nothing(self, engines: Engines) -> None:
        before = asyncio.all_tasks()

        make_app(quick_settings(), engines, with_worker=True)

        # Workers of other sites begin and end short tasks meanwhile.
        await until(lambda: asyncio.all_tasks() <= before)


class TestRunning:
    @pytest.mark.parametrize("with_worker", [False, True])
    async def test_all_that_it_starts_ends_with_it(self, engines: Engines, *, with_worker: bool) -> None:
        before = asyncio.all_tasks()

        async with running(engines, with_worker=with_worker):
            await engines.log.notifier.listening.wait()

            async def is_as_wanted() -> bool:
                return (await executions.count_workers(engines.database) > 0) is with_worker

            await until(is_as_wanted)

        # Workers of other sites begin and end short tasks meanwhile.
        await until(lambda: asyncio.all_tasks() <= before)
        assert not engines.log.notifier.listening.is_set()

    async def test_it_starts_without_a_database_and_waits_for_it(self, database: Database) -> None:
        engines = make_engines(quick_settings(), database.url.set(database="there_is_none"), (SECRET,))

        async with running(engines, with_worker=True):
            with pytest.raises(SQLAlchemyError):
                await executions.count_workers(engines.database)


class TestContext:
    async def test_nobody_is_no_actor(self, engines: Engines) -> None:
        with pytest.raises(Unauthenticated, match="Sign in first"):
            Context(engines).actor  # noqa: B018 - the property refuses

    async def test_a_refusal_is_told_again(self, engines: Engines) -> None:
        refusal = Unauthenticated("That token is wrong.")

        with pytest.raises(Unauthenticated, match="That token is wrong"):
            Context(engines, refusal=refusal).actor  # noqa: B018 - the property refuses

    async def test_who_is_signed_in_acts_until_the_token_expires(self, engines: Engines) -> None:
        actor = Actor(User(email="a@example.com", name="A", password_hash="").id)
        later, earlier = now() + timedelta(minutes=1), now() - timedelta(seconds=1)

        assert Context(engines, signed_in=actor).actor is actor
        assert Context(engines, signed_in=actor, expires_at=later).actor is actor
        with pytest.raises(Unauthenticated, match="expired"):
            Context(engines, signed_in=actor, expires_at=earlier).actor  # noqa: B018 - the property refuses

    async def test_each_operation_has_its_own_id_and_loaders(self, engines: Engines) -> None:
        context = Context(engines, signed_in=Actor(User(email="a@example.com", name="A", password_hash="").id))
        first, second = context.for_operation(), context.for_operation()

        assert len({context.request_id, first.request_id, second.request_id}) == 3
        assert first.loader(_Loader) is first.loader(_Loader)
        assert first.loader(_Loader) is not second.loader(_Loader)
        assert first.actor is second.actor is context.actor


class _Loader:
    def __init__(self, context: Context) -> None:
        self.context = context
