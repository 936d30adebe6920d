from collections.abc import Collection, Mapping
from datetime import timedelta
from uuid import uuid4

import pytest
from support.waiting import until

from graphql_api.events.watches import Claim, Watches
from graphql_api.identity.actor import Actor
from graphql_api.kit.columns import now
from graphql_api.kit.errors import Forbidden, Unauthenticated

pytestmark = pytest.mark.anyio


def claim() -> Claim:
    return Claim(Actor(uuid4()), uuid4())


class Checks:
    def __init__(self) -> None:
        self.lost: dict[Claim, Exception] = {}
        self.asked: list[list[Claim]] = []

    async def __call__(self, claims: Collection[Claim]) -> Mapping[Claim, Exception]:
        self.asked.append(list(claims))
        return {claim: self.lost[claim] for claim in claims if claim in self.lost}


class TestWatches:
    async def test_who_lost_access_ends_and_nobody_else(self) -> None:
        checks, lost, kept = Checks(), claim(), claim()
        watches = Watches(checks)
        checks.lost[lost] = Forbidden("Not any more.")
        with (
            watches.watching(lost, None) as one,
            watches.watching(lost, None) as same,
            watches.watching(kept, None) as other,
        ):
            await watches.check()

            for ending in (one, same):
                with pytest.raises(Forbidden):
                    ending.check()
            other.check()
        assert sorted(checks.asked[0], key=hash) == sorted([lost, kept], key=hash)

    async def test_who_went_is_not_asked_about(self) -> None:
        checks = Checks()
        watches = Watches(checks)
        with watches.watching(claim(), None):
            pass

        await watches.check()

        assert checks.asked == []

    async def test_expired_credentials_end_it(self) -> None:
        with Watches(Checks()).watching(claim(), now() - timedelta(seconds=1)) as ending:
            await until(lambda: ending._error is not None)

            with pytest.raises(Unauthenticated, match="expired"):
                ending.check()
