"""Who follows what, looked at again and again: what was allowed once may not be allowed any more."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from graphql_api.events.hub import Ending
from graphql_api.identity.actor import Actor
from graphql_api.kit.columns import now
from graphql_api.kit.errors import Unauthenticated


@dataclass(frozen=True, slots=True)
class Claim:
    """Somebody follows something.

    Attributes:
        actor: Who.
        scope: What their access depends on.
    """

    actor: Actor
    scope: UUID


class Watches:
    """Everybody who follows something in this process. One look at the database serves all of them.

    Args:
        check: Gives, of some claims, those that do not hold any more, each with the error to end with.
    """

    def __init__(self, check: Callable[[Collection[Claim]], Awaitable[Mapping[Claim, Exception]]]) -> None:
        self._check = check
        self._endings: dict[Claim, set[Ending]] = {}

    @contextmanager
    def watching(self, claim: Claim, expires_at: datetime | None) -> Iterator[Ending]:
        """Watch a follower while the context lasts.

        Args:
            claim: What it was allowed by.
            expires_at: When the credentials expire that it was allowed by.

        Yields:
            What ends the follower.
        """
        ending = Ending()
        endings = self._endings.setdefault(claim, set())
        endings.add(ending)
        expiry = None
        if expires_at is not None:
            seconds = (expires_at - now()).total_seconds()
            expiry = asyncio.get_running_loop().call_later(seconds, ending.end, expired())
        try:
            yield ending
        finally:
            if expiry is not None:
                expiry.cancel()
            endings.discard(ending)
            if not endings:
                self._endings.pop(claim, None)

    async def check(self) -> None:
        """End all whose claim does not hold any more."""
        if not self._endings:
            return
        for claim, error in (await self._check(list(self._endings))).items():
            for ending in self._endings.get(claim, ()):
                ending.end(error)


def expired() -> Unauthenticated:
    """Make the error of credentials that have expired."""
    return Unauthenticated("The access token has expired. Refresh the session, and connect again with the new one.")
