import asyncio
import time
from uuid import uuid4

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs
from support.databases import another

from graphql_api.kit.database import Database
from graphql_api.kit.errors import RateLimited
from graphql_api.kit.rates import Budget, Rate, Rates

pytestmark = pytest.mark.anyio

THREE = Rate("knocking", "3/hour")


async def is_refused(rates: Rates, rate: Rate, who: str, amount: int = 1) -> bool:
    try:
        await rates.spend(rate, who, amount)
    except RateLimited:
        return True
    return False


@pytest.fixture
def rates(database: Database) -> Rates:
    return Rates(database)


@pytest.fixture
def who() -> str:
    return uuid4().hex


class TestSpend:
    async def test_a_window_holds_as_much_as_it_says(self, rates: Rates, who: str) -> None:
        assert [await is_refused(rates, THREE, who) for _ in range(5)] == [False, False, False, True, True]

    async def test_callers_and_rates_are_counted_apart(self, rates: Rates, who: str) -> None:
        await rates.spend(THREE, who, 3)

        assert not await is_refused(rates, THREE, f"{who}-other")
        assert not await is_refused(rates, Rate("ringing", "3/hour"), who)
        assert await is_refused(rates, THREE, who)

    async def test_all_windows_have_to_hold(self, rates: Rates, who: str) -> None:
        rate = Rate("knocking", "100/second;2/hour")

        assert [await is_refused(rates, rate, who) for _ in range(3)] == [False, False, True]

    async def test_a_refusal_says_when_to_come_back(self, rates: Rates, who: str) -> None:
        await rates.spend(THREE, who, 3)

        with pytest.raises(RateLimited) as refusal:
            await rates.spend(THREE, who)

        assert 3590 <= refusal.value.retry_after <= 3600
        assert refusal.value.extensions == {"retryAfter": refusal.value.retry_after}
        assert refusal.value.message.startswith("The limit of 3 per 1 hour for knocking is reached")

    async def test_a_new_window_begins_with_nothing(self, rates: Rates, database: Database, who: str) -> None:
        await rates.spend(THREE, who, 3)
        async with database.transaction() as session:
            await session.execute(text("UPDATE rate_counters SET expires_at = now() - interval '1 s'"))

        assert [await is_refused(rates, THREE, who) for _ in range(4)] == [False, False, False, True]

    async def test_processes_count_together(self, rates: Rates, database: Database, who: str) -> None:
        async with another(database) as second:
            both = [rates, Rates(second)]
            answers = await asyncio.gather(*(is_refused(both[n % 2], THREE, who) for n in range(10)))

        assert sorted(answers) == [False] * 3 + [True] * 7

    async def test_a_database_that_is_gone_limits_nobody(self, database: Database, who: str) -> None:
        nowhere = Rates(Database(database.url.set(database="there_is_none")))

        with capture_logs() as logs:
            assert [await is_refused(nowhere, THREE, who, 9), await nowhere.forgive(THREE, who)] == [False, None]

        assert [line["event"] for line in logs] == ["rate_not_counted", "rate_not_forgiven"]

    async def test_no_address_is_stored(self, rates: Rates, database: Database) -> None:
        await rates.spend(THREE, "198.51.100.77")

        async with database.transaction() as session:
            keys = (await session.execute(text("SELECT key FROM rate_counters"))).scalars().all()
        assert keys
        assert not [key for key in keys if "198.51" in key or "knocking" in key]


class TestForgive:
    async def test_what_was_done_is_forgotten(self, rates: Rates, who: str) -> None:
        await rates.spend(THREE, who, 3)

        await rates.forgive(THREE, who)

        assert not await is_refused(rates, THREE, who, 3)


class TestForgetExpired:
    async def test_only_windows_that_are_over_are_deleted(self, rates: Rates, database: Database, who: str) -> None:
        await rates.spend(THREE, who, 3)
        async with database.transaction() as session:
            await session.execute(text("UPDATE rate_counters SET expires_at = now() - interval '1 s'"))
        await rates.spend(THREE, f"{who}-other")

        await rates.forget_expired()

        async with database.transaction() as session:
            assert (await session.execute(text("SELECT hits FROM rate_counters"))).scalars().all() == [1]


class TestRate:
    @pytest.mark.parametrize("windows", ["", "often", "3", "3/fortnight"])
    def test_windows_have_a_form(self, windows: str) -> None:
        with pytest.raises(ValueError, match=r".+"):
            Rate("knocking", windows)


class TestBudget:
    def test_it_holds_as_much_as_it_says(self) -> None:
        budget = Budget(Rate("cost", "10/hour"))
        budget.spend("ada", 7)

        with pytest.raises(RateLimited, match="for cost is reached"):
            budget.spend("ada", 4)

        budget.spend("ada", 3)
        budget.spend("bob", 10)
        assert (budget.left("ada")[0], budget.left("cleo")[0], budget.amount) == (0, 10, 10)

    def test_a_new_window_begins_with_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        budget = Budget(Rate("cost", "10/minute"))
        budget.spend("ada", 10)
        later = time.monotonic() + 61
        monkeypatch.setattr(time, "monotonic", lambda: later)

        assert budget.left("ada") == (10, 60)
        budget.spend("ada", 10)
        assert budget.left("ada") == (0, 60)
