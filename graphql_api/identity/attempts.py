"""How often somebody may try to sign in: the more often it fails, the longer they wait."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from graphql_api.identity.users import normal_email
from graphql_api.kit.rates import Rate, Rates

BY_BOTH = Rate("sign-ins to this account from here", "5/minute;20/hour;50/day")
"""Of one account from one address. A guess from elsewhere does not lock the owner out."""

BY_ACCOUNT = Rate("sign-ins to this account", "100/hour")
"""Of one account from everywhere, whether or not there is such an account."""

BY_ADDRESS = Rate("sign-ins from here", "60/minute;600/hour")
"""Of all accounts from one address, behind which there may be an office. A success does not empty it."""


@asynccontextmanager
async def attempt(rates: Rates, *, email: str, address: str) -> AsyncIterator[None]:
    """Count an attempt to sign in before anything is done for it; one that succeeds forgives those that failed.

    Args:
        rates: That count.
        email: Of the account, in any case.
        address: Where it comes from; empty when that is not known.

    Raises:
        RateLimited: When there were too many.
    """
    account = normal_email(email)
    spent = [(BY_ACCOUNT, account), (BY_BOTH, f"{account} {address}")]
    for rate, who in [*([(BY_ADDRESS, address)] if address else []), *spent]:
        await rates.spend(rate, who)
    yield
    for rate, who in spent:
        await rates.forgive(rate, who)
