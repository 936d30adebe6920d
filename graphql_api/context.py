"""What resolvers and use cases are given."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast

from graphql_api.events.log import EventLog
from graphql_api.events.watches import Watches, expired
from graphql_api.identity.actor import Actor
from graphql_api.identity.outside_tokens import IdentityProvider
from graphql_api.identity.presence import Presence
from graphql_api.identity.tokens import TokenKeys
from graphql_api.kit.columns import now
from graphql_api.kit.correlation import begin_operation, current_request_id
from graphql_api.kit.database import Database
from graphql_api.kit.errors import Unauthenticated
from graphql_api.kit.rates import Rate, Rates
from graphql_api.runtimes.circuit import Circuit
from graphql_api.runtimes.protocol import AgentRuntime

MUTATIONS = Rate("mutations", "600/minute")
REFINEMENTS = Rate("refinements", "120/minute")
SUBSCRIPTIONS = Rate("subscriptions", "600/minute")

Loader = TypeVar("Loader")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one user may use, and for how long.

    Attributes:
        concurrent_refinements: Proposals that are pending or processing at once.
        proposal_lifetime: How long an ended proposal waits for a decision.
        unchecked_access: How long a subscription goes on before its access is checked again.
        mutations: How often a user, or an address that nobody is signed in from, may change something.
        refinements: How often a user may ask for a refinement.
        subscriptions: How often a user or an address may subscribe.
        uncompacted_lifetime: How long the log of what has ended stays as it was written.
        audit_lifetime: How long audit entries are kept; None for ever.
    """

    concurrent_refinements: int = 10
    proposal_lifetime: timedelta = timedelta(hours=24)
    unchecked_access: timedelta = timedelta(seconds=15)
    mutations: Rate = MUTATIONS
    refinements: Rate = REFINEMENTS
    subscriptions: Rate = SUBSCRIPTIONS
    uncompacted_lifetime: timedelta = timedelta(days=30)
    audit_lifetime: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Engines:
    """What a process has one of."""

    database: Database
    log: EventLog
    runtime: AgentRuntime
    circuit: Circuit
    keys: TokenKeys
    rates: Rates
    watches: Watches
    provider: IdentityProvider | None = None
    limits: Limits = field(default_factory=Limits)
    presence: Presence = field(default_factory=Presence)


@dataclass(slots=True)
class Context:
    """One request, or one operation of a WebSocket.

    Attributes:
        engines: What the process has one of.
        signed_in: Who asks; None for anonymous callers.
        expires_at: When the token that signed them in expires.
        address: Where the request comes from, as far as rates are concerned; empty when that is not known.
        request_id: Finds the request in the logs.
        refusal: Why the credentials of the request were refused; None when there were none, or they are right.
    """

    engines: Engines
    signed_in: Actor | None = None
    expires_at: datetime | None = None
    address: str = ""
    request_id: str = field(default_factory=current_request_id)
    refusal: Unauthenticated | None = None
    _loaders: dict[Callable[..., Any], Any] = field(default_factory=dict)

    @property
    def actor(self) -> Actor:
        """Who asks.

        Raises:
            Unauthenticated: When nobody is signed in, or no longer: a WebSocket may outlive its token.
        """
        if self.refusal is not None:
            raise self.refusal
        if self.signed_in is None:
            raise Unauthenticated("Sign in first: call the mutation login, and send its accessToken as a bearer token.")
        if self.expires_at is not None and self.expires_at <= now():
            raise expired()
        return self.signed_in

    @property
    def database(self) -> Database:
        """The database."""
        return self.engines.database

    @property
    def log(self) -> EventLog:
        """The event log."""
        return self.engines.log

    def for_operation(self) -> "Context":
        """Make the context of one operation on this connection."""
        return replace(self, request_id=begin_operation(), _loaders={})

    def loader(self, make: Callable[["Context"], Loader]) -> Loader:
        """Return this request's loader of a kind; it is made at its first use."""
        if make not in self._loaders:
            self._loaders[make] = make(self)
        return cast("Loader", self._loaders[make])
