"""What is kept for how long, and what becomes of it then."""

from collections.abc import Iterator
from functools import partial

from graphql_api.authoring import idempotency, journal
from graphql_api.authoring.expiry import expire_undecided
from graphql_api.context import Engines
from graphql_api.events import archive
from graphql_api.identity import sessions
from graphql_api.kit.duties import Duty, alone

EXPIRY_SECONDS = 30
"""Between two looks for proposals that nobody decided about in time."""

CLEARING_SECONDS = 600
"""Between two looks for what has had its time."""


def duties(engines: Engines) -> Iterator[tuple[str, Duty, float]]:
    """Give what workers do again and again: a name, a round of it, and the seconds between two rounds."""
    database, limits = engines.database, engines.limits
    yield (
        "expire_proposals",
        partial(expire_undecided, database, engines.log, lifetime=limits.proposal_lifetime),
        EXPIRY_SECONDS,
    )
    clearing: dict[str, Duty] = {
        "compact_logs": partial(archive.compact, database, ended_for=limits.uncompacted_lifetime),
        "forget_idempotency_keys": partial(idempotency.forget_expired, database),
        "forget_refresh_tokens": partial(sessions.forget_expired, database),
        "forget_rates": engines.rates.forget_expired,
    }
    if limits.audit_lifetime is not None:
        clearing["prune_audit"] = partial(journal.prune_audit, database, lifetime=limits.audit_lifetime)
    for name, duty in clearing.items():
        yield name, partial(alone, database, name, duty), CLEARING_SECONDS
