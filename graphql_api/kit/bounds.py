"""What operations may be and what they are charged with, in words that engines understand too."""

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class Bounds:
    """What an operation of a caller may be.

    Attributes:
        tokens: Lexical tokens of the document.
        depth: Fields below each other; introspection has a rule of its own.
        aliases: Fields with an alias, those of a fragment each time that it is spread.
        directives: Counted like aliases.
        fields: Counted like aliases.
        cost: About how many fields are resolved, from the sizes of lists and the weights of fields.
        variables: Values in the variables, each item and field counted.
        variable_depth: Lists and objects inside each other.
        introspection: Whether the schema may be asked for.
        suggestions: Whether errors tell which names come close to a wrong one.
    """

    tokens: int = 4000
    depth: int = 15
    aliases: int = 60
    directives: int = 60
    fields: int = 2000
    cost: int = 50_000
    variables: int = 20_000
    variable_depth: int = 32
    introspection: bool = True
    suggestions: bool = True


class Kind(Enum):
    """What an operation does."""

    QUERY = "query"
    MUTATION = "mutation"
    SUBSCRIPTION = "subscription"


@dataclass(frozen=True, slots=True)
class Charge:
    """What an operation is about to use.

    Attributes:
        kind: What it does.
        cost: See `Bounds.cost`.
        root_fields: Names of the fields at its root, as often as they are there.
    """

    kind: Kind
    cost: int
    root_fields: tuple[str, ...]


class Caller:
    """Who wants an operation to run; contexts of operations extend it."""

    __slots__ = ()

    @property
    def bounds(self) -> Bounds:
        """What their operations may be."""
        return _DEFAULT

    wants_cost: bool = False
    """Whether they asked to be told what the operation costs."""

    async def charge(self, charge: Charge) -> None:
        """Take note of an operation that is about to run.

        Raises:
            DomainError: When they used too much already.
        """

    def release(self) -> None:
        """Take note that the operation is over, however it ended."""


_DEFAULT = Bounds()
