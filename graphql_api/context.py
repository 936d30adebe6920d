"""What resolvers and use cases are given."""

from collections import Counter
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
from graphql_api.kit.bounds import Bounds, Caller, Charge, Kind
from graphql_api.kit.columns import now
from graphql_api.kit.correlation import begin_operation, current_request_id
from graphql_api.kit.database import Database
from graphql_api.kit.errors import QuotaExceeded, Unauthenticated
from graphql_api.kit.places import Places
from graphql_api.kit.rates import Budget, Rate, Rates
from graphql_api.kit.reader import Reader
from graphql_api.runtimes.circuit import Circuit
from graphql_api.runtimes.lines import DEFAULT_PATIENCE, Patience
from graphql_api.runtimes.protocol import AgentRuntime

MUTATIONS = Rate("mutations", "600/minute")
REFINEMENTS = Rate("refinements", "120/minute")
SUBSCRIPTIONS = Rate("subscriptions", "600/minute")
COST = Rate("cost", "1000000/minute")

ANONYMOUS = Bounds(tokens=1000)
"""What those may ask for who did not sign in: no more than signing in takes, and reading the schema."""

TRUSTED = Bounds(tokens=100_000, aliases=10_000, directives=10_000, fields=50_000, depth=50)
"""What an operation may be that was registered beforehand: whoever wrote it is no attacker."""

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
        cost: What all operations of a user or an address may cost in one process.
        anonymous: What an operation may be of those who did not sign in.
        signed_in: What an operation may be of those who did.
        open_subscriptions: How many a user or an address may have open at once in one process.
        refining: Names of the root fields that `refinements` is about.
        patience: How long a runtime is waited for.
    """

    concurrent_refinements: int = 10
    proposal_lifetime: timedelta = timedelta(hours=24)
    unchecked_access: timedelta = timedelta(seconds=15)
    mutations: Rate = MUTATIONS
    refinements: Rate = REFINEMENTS
    subscriptions: Rate = SUBSCRIPTIONS
    uncompacted_lifetime: timedelta = timedelta(days=30)
    audit_lifetime: timedelta | None = None
    cost: Rate = COST
    anonymous: Bounds = ANONYMOUS
    signed_in: Bounds = Bounds()  # noqa: RUF009 - it is frozen
    open_subscriptions: int = 500
    refining: frozenset[str] = frozenset({"refineWorkflow", "retryProposal"})
    patience: Patience = DEFAULT_PATIENCE


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
    budget: Budget = field(default_factory=lambda: Budget(COST))
    places: Places = field(default_factory=Places)
    subscriptions: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Context(Caller):
    """One request, or one operation of a WebSocket.

    Attributes:
        engines: What the process has one of.
        signed_in: Who asks; None for anonymous callers.
        expires_at: When the token that signed them in expires.
        address: Where the request comes from, as far as rates are concerned; empty when that is not known.
        request_id: Finds the request in the logs.
        refusal: Why the credentials of the request were refused; None when there were none, or they are right.
        wants_cost: Whether the answer shall tell what the operation costs.
        is_trusted: Whether the operation is one of those that were registered beforehand.
    """

    engines: Engines
    signed_in: Actor | None = None
    expires_at: datetime | None = None
    address: str = ""
    request_id: str = field(default_factory=current_request_id)
    refusal: Unauthenticated | None = None
    wants_cost: bool = False
    is_trusted: bool = False
    _is_subscribed: bool = False
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
    def bounds(self) -> Bounds:
        """What an operation of theirs may be."""
        limits = self.engines.limits
        if self.is_trusted:
            return TRUSTED
        return limits.anonymous if self.signed_in is None else limits.signed_in

    @property
    def who(self) -> str:
        """Whom rates count: the user, or else the address."""
        return f"address {self.address}" if self.signed_in is None else f"user {self.signed_in.user_id}"

    async def charge(self, charge: Charge) -> None:
        """Count what an operation is about to use.

        Raises:
            RateLimited: When its caller used too much already.
            QuotaExceeded: When it is one subscription too many.
        """
        rates, limits = self.engines.rates, self.engines.limits
        self.engines.budget.spend(self.who, charge.cost)
        if charge.kind is Kind.SUBSCRIPTION:
            self._take_place()
            await rates.spend(limits.subscriptions, self.who)
        elif charge.kind is Kind.MUTATION:
            await rates.spend(limits.mutations, self.who, len(charge.root_fields))
            refinements = sum(name in limits.refining for name in charge.root_fields)
            if refinements:
                await rates.spend(limits.refinements, self.who, refinements)

    def _take_place(self) -> None:
        limit = self.engines.limits.open_subscriptions
        if self.engines.subscriptions[self.who] >= limit:
            raise QuotaExceeded(f"At most {limit} subscriptions are open at once: end others first.", limit=limit)
        self.engines.subscriptions[self.who] += 1
        self._is_subscribed = True

    def release(self) -> None:
        """Give back the place of a subscription that is over."""
        if self._is_subscribed:
            self._is_subscribed = False
            self.engines.subscriptions[self.who] -= 1
            if not self.engines.subscriptions[self.who]:
                del self.engines.subscriptions[self.who]

    @property
    def database(self) -> Database:
        """The database."""
        return self.engines.database

    @property
    def log(self) -> EventLog:
        """The event log."""
        return self.engines.log

    @property
    def reader(self) -> Reader:
        """What resolvers read rows with."""
        return self.loader(_reader)

    def for_operation(self) -> "Context":
        """Make the context of one operation on this connection."""
        return replace(self, _is_subscribed=False, request_id=begin_operation(), _loaders={})

    def loader(self, make: Callable[["Context"], Loader]) -> Loader:
        """Return this request's loader of a kind; it is made at its first use."""
        if make not in self._loaders:
            self._loaders[make] = make(self)
        return cast("Loader", self._loaders[make])


def _reader(context: Context) -> Reader:
    return Reader(context.database)
