import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlmodel import col, select, update
from support.databases import taking_back
from support.people import PASSWORD, MakeUser
from support.waiting import until

from graphql_api.identity import passwords, sessions
from graphql_api.identity.actor import Actor
from graphql_api.identity.errors import InvalidCredentials
from graphql_api.identity.models import RefreshToken, User
from graphql_api.identity.sessions import SignedIn
from graphql_api.identity.tokens import TokenKeys
from graphql_api.kit.database import Database
from graphql_api.kit.errors import ErrorCode, Unauthenticated

pytestmark = pytest.mark.anyio

KEYS = TokenKeys(["a secret of this test, long enough to sign"])


async def login(database: Database, user: User) -> SignedIn:
    return await sessions.login(database, KEYS, email=user.email, password=PASSWORD)


async def refresh(database: Database, signed_in: SignedIn) -> SignedIn:
    return await sessions.refresh(database, KEYS, refresh_token=signed_in.refresh_token)


async def tokens_of(database: Database, user: User) -> list[RefreshToken]:
    query = select(RefreshToken).where(RefreshToken.user_id == user.id).order_by(col(RefreshToken.created_at))
    async with database.transaction() as session:
        return list(await session.exec(query))


async def change_tokens(database: Database, user: User, **values: object) -> None:
    async with database.transaction() as session:
        await session.execute(update(RefreshToken).where(col(RefreshToken.user_id) == user.id).values(**values))


async def disable(database: Database, user: User) -> None:
    async with database.transaction() as session:
        await session.execute(update(User).where(col(User.id) == user.id).values(disabled_at=datetime.now(UTC)))


async def is_alive(database: Database, signed_in: SignedIn) -> bool:
    """Tell whether a refresh token may still be used, by using it."""
    try:
        await refresh(database, signed_in)
    except InvalidCredentials:
        return False
    return True


@contextmanager
def counted_verifications(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """List the hashes that passwords are compared with; the comparison itself goes on."""
    verified: list[str] = []
    verify = type(passwords._hashing).verify

    def spy(self: object, password: str, hash_: str) -> bool:
        verified.append(hash_)
        return bool(verify(passwords._hashing, password, hash_))

    with monkeypatch.context() as patch:
        patch.setattr(type(passwords._hashing), "verify", spy)
        yield verified


class TestLogin:
    async def test_the_right_password_signs_in(self, database: Database, make_user: MakeUser) -> None:
        user = await make_user()
        signed_in = await login(database, user)
        actor, expires_at = await sessions.authenticate(database, KEYS, signed_in.access_token)
        assert actor == Actor(user.id)
        assert expires_at == signed_in.expires_at.replace(microsecond=0)
        assert signed_in.user == user

    async def test_an_admin_acts_as_one(self, database: Database, make_user: MakeUser) -> None:
        user = await make_user(is_admin=True)
        actor, _ = await sessions.authenticate(database, KEYS, (await login(database, user)).access_token)
        assert actor == Actor(user.id, is_admin=True)

    async def test_the_case_of_an_address_does_not_matter(self, database: Database, make_user: MakeUser) -> None:
        user = await make_user()
        signed_in = await sessions.login(database, KEYS, email=f" {user.email.upper()} ", password=PASSWORD)
        assert signed_in.user == user

    @pytest.mark.parametrize("password", ["wrong", "", PASSWORD + "\x00", "\ud800", "a" * 2000])
    async def test_a_wrong_password_is_refused_and_leaves_nothing(
        self, database: Database, make_user: MakeUser, password: str
    ) -> None:
        user = await make_user()
        with pytest.raises(InvalidCredentials) as refusal:
            await sessions.login(database, KEYS, email=user.email, password=password)
        assert (refusal.value.code, refusal.value.path) == (ErrorCode.INVALID_CREDENTIALS, ["input"])
        assert await tokens_of(database, user) == []

    async def test_a_disabled_user_is_refused_like_a_wrong_password(
        self, database: Database, make_user: MakeUser
    ) -> None:
        user = await make_user()
        with pytest.raises(InvalidCredentials) as wrong:
            await sessions.login(database, KEYS, email=user.email, password="wrong")
        await disable(database, user)
        with pytest.raises(InvalidCredentials) as disabled:
            await login(database, user)
        assert disabled.value.message == wrong.value.message
        assert await tokens_of(database, user) == []

    @pytest.mark.parametrize("email", ["nobody@example.com", "", "a\x00@example.com", "\ud800"])
    async def test_an_unknown_address_costs_a_comparison_and_reads_the_same(
        self, database: Database, make_user: MakeUser, monkeypatch: pytest.MonkeyPatch, email: str
    ) -> None:
        user = await make_user()
        with pytest.raises(InvalidCredentials) as wrong:
            await sessions.login(database, KEYS, email=user.email, password="wrong")
        with counted_verifications(monkeypatch) as verified, pytest.raises(InvalidCredentials) as unknown:
            await sessions.login(database, KEYS, email=email, password=PASSWORD)
        assert len(verified) == 1
        assert verified[0].startswith("$argon2id$v=19$m=65536,t=3,p=4$")
        assert (unknown.value.message, unknown.value.path) == (wrong.value.message, wrong.value.path)

    async def test_the_database_never_sees_a_refresh_token(self, database: Database, make_user: MakeUser) -> None:
        user = await make_user()
        signed_in = await login(database, user)
        (token,) = await tokens_of(database, user)
        assert len(token.token_hash) == 32
        assert signed_in.refresh_token.encode() not in token.token_hash
        assert token.expires_at - token.created_at == timedelta(days=30)


class TestRefresh:
    async def test_a_token_is_exchanged_for_a_new_session(self, database: Database, make_user: MakeUser) -> None:
        user = await make_user()
        first = await login(database, user)
        second = await refresh(database, first)
        assert second.refresh_token != first.refresh_token
        assert (await sessions.authenticate(database, KEYS, second.access_token))[0] == Actor(user.id)
        old, new = await tokens_of(database, user)
        assert old.family_id == new.family_id
        assert (old.used_at is None, new.used_at is None) == (False, True)
        assert await is_alive(database, second)

    async def test_a_second_use_revokes_all_that_came_of_the_sign_in(
        self, database: Database, make_user: MakeUser
    ) -> None:
        user = await make_user()
        first = await login(database, user)
        third = await refresh(database, await refresh(database, first))
        with pytest.raises(InvalidCredentials):
            await refresh(database, first)
        assert not await is_alive(database, third)
        assert all(token.revoked_at for token in await tokens_of(database, user))

    async def test_a_second_use_leaves_other_sign_ins_alone(self, database: Database, make_user: MakeUser) -> None:
        user = await make_user()
        stolen, elsewhere = await login(database, user), await login(database, user)
        await refresh(database, stolen)
        assert not await is_alive(database, stolen)
        assert await is_alive(database, elsewhere)

    async def test_of_two_uses_at_once_one_wins_and_the_other_is_a_second_use(
        self, database: Database, make_user: MakeUser
    ) -> None:
        user = await make_user()
        signed_in = await login(database, user)
        results = await asyncio.gather(*(refresh(database, signed_in) for _ in range(2)), return_exceptions=True)
        won = [result for result in results if isinstance(result, SignedIn)]
        assert [type(result) for result in results if not isinstance(result, SignedIn)] == [InvalidCredentials]
        assert len(won) == 1
        assert not await is_alive(database, won[0])

    async def test_a_session_that_is_just_going_on_is_revoked_with_its_family(
        self, database: Database, make_user: MakeUser
    ) -> None:
        user = await make_user()
        first = await login(database, user)
        second = await refresh(database, first)
        async with database.transaction() as going_on:
            found = await sessions._find(going_on, second.refresh_token)
            assert found is not None
            third = await sessions._issue(going_on, KEYS, user, family_id=found[0].family_id)
            await going_on.flush()
            stolen = asyncio.create_task(is_alive(database, first))
            await until(lambda: waits_for_a_lock(database))
        assert not await stolen
        assert not await is_alive(database, third)

    @pytest.mark.parametrize("token", ["", "unknown", "é", "\ud800", "\x00", "a" * 100_000])
    async def test_an_unknown_token_is_refused(self, database: Database, token: str) -> None:
        with pytest.raises(InvalidCredentials) as refusal:
            await sessions.refresh(database, KEYS, refresh_token=token)
        assert refusal.value.path == ["input"]

    async def test_an_expired_token_is_refused_and_revokes_nothing(
        self, database: Database, make_user: MakeUser
    ) -> None:
        user = await make_user()
        expired = await login(database, user)
        long_ago = datetime.now(UTC) - timedelta(days=31)
        await change_tokens(database, user, created_at=long_ago, expires_at=long_ago + timedelta(days=30))
        assert not await is_alive(database, expired)
        (token,) = await tokens_of(database, user)
        assert (token.used_at, token.revoked_at) == (None, None)

    async def test_a_disabled_user_is_refused(self, database: Database, make_user: MakeUser) -> None:
        user = await make_user()
        signed_in = await login(database, user)
        await disable(database, user)
        assert not await is_alive(database, signed_in)
        assert len(await tokens_of(database, user)) == 1


class TestLogout:
    async def test_it_ends_the_session_and_no_other(self, database: Database, make_user: MakeUser) -> None:
        user = await make_user()
        first, elsewhere = await login(database, user), await login(database, user)
        second = await refresh(database, first)
        await sessions.logout(database, refresh_token=second.refresh_token)
        assert not await is_alive(database, second)
        assert await is_alive(database, elsewhere)

    async def test_a_used_token_ends_its_session_too(self, database: Database, make_user: MakeUser) -> None:
        user = await make_user()
        first = await login(database, user)
        second = await refresh(database, first)
        await sessions.logout(database, refresh_token=first.refresh_token)
        assert not await is_alive(database, second)

    async def test_twice_or_with_an_unknown_token_is_no_error(self, database: Database, make_user: MakeUser) -> None:
        user = await make_user()
        signed_in = await login(database, user)
        await sessions.logout(database, refresh_token="unknown")
        await sessions.logout(database, refresh_token=signed_in.refresh_token)
        (revoked,) = await tokens_of(database, user)
        await sessions.logout(database, refresh_token=signed_in.refresh_token)
        assert await tokens_of(database, user) == [revoked]


class TestAuthenticate:
    async def test_a_disabled_user_is_refused_at_once(self, database: Database, make_user: MakeUser) -> None:
        user = await make_user()
        signed_in = await login(database, user)
        await disable(database, user)
        with pytest.raises(Unauthenticated):
            await sessions.authenticate(database, KEYS, signed_in.access_token)

    async def test_a_user_who_is_not_there_is_refused(self, database: Database) -> None:
        token, _ = KEYS.issue(uuid4(), datetime.now(UTC))
        with pytest.raises(Unauthenticated):
            await sessions.authenticate(database, KEYS, token)

    async def test_a_refresh_token_is_no_access_token(self, database: Database, make_user: MakeUser) -> None:
        signed_in = await login(database, await make_user())
        with pytest.raises(Unauthenticated):
            await sessions.authenticate(database, KEYS, signed_in.refresh_token)


class TestTakenBack:
    async def test_signing_in_going_on_and_signing_out_are_done_again(
        self, database: Database, make_user: MakeUser
    ) -> None:
        user = await make_user()
        async with taking_back(database, "refresh_tokens"):
            first = await login(database, user)
        async with taking_back(database, "refresh_tokens"):
            second = await refresh(database, first)
        assert [token.used_at is None for token in await tokens_of(database, user)] == [False, True]
        async with taking_back(database, "refresh_tokens"):
            await sessions.logout(database, refresh_token=second.refresh_token)
        assert not await is_alive(database, second)


async def waits_for_a_lock(database: Database) -> bool:
    connection = await database.connect()
    try:
        waiting: int | None = await connection.fetchval(
            "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
    finally:
        await connection.close()
    return waiting is not None


class TestForgetExpired:
    async def test_tokens_that_have_expired_go_and_the_others_work_on(
        self, database: Database, make_user: MakeUser
    ) -> None:
        ada, bob = await make_user(), await make_user()
        await login(database, ada)
        kept = await login(database, bob)
        moment = datetime.now(UTC) - timedelta(days=31)
        await change_tokens(database, ada, created_at=moment, expires_at=moment + timedelta(days=30))

        assert await sessions.forget_expired(database) >= 1  # other tests leave some too

        assert await tokens_of(database, ada) == []
        assert await is_alive(database, kept)
