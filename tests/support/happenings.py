"""A schema with all that the plan of a subscription can meet, and random operations and events for it."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from functools import partial
from typing import Any, cast

import strawberry
from graphql import Undefined
from graphql.execution import Executor
from hypothesis import strategies as st
from strawberry.dataloader import DataLoader
from strawberry.scalars import JSON
from strawberry.schema.config import StrawberryConfig
from strawberry.types.execution import ExecutionResult

from graphql_api.kit.admission import Admission
from graphql_api.kit.bounds import Caller
from graphql_api.kit.documents import Documents
from graphql_api.kit.execution import EventExecutor
from graphql_api.kit.loading import loaded_by
from graphql_api.kit.types import SCALARS, EventCursor
from graphql_api.transport.delivery.json import to_json


class Upset(Exception):
    """What a resolver raises."""


@strawberry.enum
class Mood(Enum):
    HAPPY = "happy"
    SAD = "sad"


class OtherMood(Enum):
    HAPPY = "happy"


async def _friends(names: list[str]) -> "list[Item | Exception]":
    """Find the friends of several items, all but those of "friendless" ones."""
    return [
        Upset("no friends") if name == "friendless" else Item(name=f"{name}'s", mood=None, children=[])
        for name in names
    ]


@strawberry.type
class Item:
    name: str
    mood: Mood | None
    children: "list[Item]"

    @strawberry.field
    @loaded_by(lambda _: DataLoader(_friends, cache=False), by=lambda item: item.name if item.name != "a" else None)
    def friend(self, found: "Item") -> "Item | None":
        if self.name == "shy":
            raise Upset("not told")
        return found

    @strawberry.field
    def owner(self) -> "Item | None":
        return self.children[0] if self.children else None


@strawberry.interface
class Happening:
    sequence: int
    cursor: EventCursor
    at: datetime | None

    @strawberry.field
    def echo(self, text: str = "-") -> str:
        return f"{self.sequence}{text}"

    @strawberry.field
    async def later(self) -> int | None:
        await asyncio.sleep(0)
        return self.sequence

    @strawberry.field
    def broken(self) -> str:
        raise Upset("no")

    @strawberry.field
    def broken_or_null(self) -> str | None:
        raise Upset("no")


@strawberry.type
class Noted(Happening):
    text: str
    note: str | None
    id: strawberry.ID
    ratio: float
    is_done: bool
    mood: Mood
    extra: JSON | None
    item: Item
    maybe_item: Item | None
    items: list[Item]
    maybe_items: list[Item | None] | None
    words: list[list[str]]


@strawberry.type
class Ended(Happening):
    reason: str | None


@strawberry.type
class Stranger(Happening):
    """A happening that the schema does not know."""


class Source:
    """Where subscriptions get their events from.

    Args:
        events: What each subscriber gets; an exception is raised.
    """

    def __init__(self, events: Sequence[object] = ()) -> None:
        self.events = events
        self.closed = 0
        self.resolved = 0

    def all(self) -> list[Any]:
        """Give the events at once; raise the first exception among them."""
        self.resolved += 1
        for event in self.events:
            if isinstance(event, Upset):
                raise event
        return list(self.events)

    async def follow(self) -> AsyncGenerator[Any]:
        try:
            for event in self.events:
                if isinstance(event, Upset):
                    raise event
                yield event
        finally:
            self.closed += 1


def make_schema(
    source: Source,
    *,
    executor: type[Executor[Any]] | None = EventExecutor,
    **options: Any,  # noqa: ANN401 - Strawberry's own
) -> strawberry.Schema:
    """Make the schema, whose operations all get the events of one source."""

    @strawberry.type
    class Query:
        nothing: int | None = None

        @strawberry.field
        async def happenings(self) -> list[Happening | None]:
            return source.all()

        @strawberry.field
        def first(self) -> Happening | None:
            return next(iter(source.all()), None)

    @strawberry.type
    class Mutation:
        @strawberry.mutation
        async def happenings(self) -> list[Happening | None]:
            return source.all()

    @strawberry.type
    class Subscription:
        @strawberry.subscription
        async def happenings(self) -> AsyncGenerator[Happening]:
            async with aclosing(source.follow()) as events:
                async for event in events:
                    yield event

        @strawberry.subscription
        async def items(self) -> AsyncGenerator[list[Item] | None]:
            async with aclosing(source.follow()) as events:
                async for event in events:
                    yield event

    return strawberry.Schema(
        Query,
        mutation=Mutation,
        types=[Noted, Ended],
        execution_context_class=executor,
        **{
            "subscription": Subscription,
            "config": StrawberryConfig(scalar_map=SCALARS),
            "extensions": [partial(ForAnybody, Documents(), {})],
            **options,
        },
    )


class ForAnybody(Admission):
    """Admits operations whose contexts have no engines."""

    caller = Caller()


async def executed(schema: strawberry.Schema, query: str, variables: dict[str, Any] | None = None) -> list[bytes]:
    """Give the payloads that graphql-core alone gives."""
    payloads = []
    results = await schema.stream(query, variable_values=variables)
    async for each in results:
        result = cast("ExecutionResult", each)
        payload: dict[str, object] = {"data": result.data}
        if result.errors:
            payload["errors"] = [error.formatted for error in result.errors]
        payloads.append(to_json(payload))
    return payloads


def noted(**values: Any) -> Noted:  # noqa: ANN401 - right or wrong ones
    """Make an event; every value that is not given is right."""
    item = Item(name="a", mood=Mood.SAD, children=[Item(name="b", mood=None, children=[])])
    right: dict[str, Any] = {
        "sequence": 1,
        "cursor": EventCursor("c"),
        "at": datetime.fromisoformat("2026-01-02T03:04:05+00:00"),
        "text": "t",
        "note": None,
        "id": strawberry.ID("i"),
        "ratio": 0.5,
        "is_done": True,
        "mood": Mood.HAPPY,
        "extra": {"a": [1, None]},
        "item": item,
        "maybe_item": None,
        "items": [item],
        "maybe_items": [item, None],
        "words": [["x"], []],
    }
    return Noted(**{**right, **values})


EVERYTHING = """
    subscription { happenings {
        __typename sequence cursor at
        ... on Noted {
            text note id ratio isDone mood extra words
            item { ...I } maybeItem { ...I } items { ...I } maybeItems { ...I }
        }
    } }
    fragment I on Item { name mood children { name } }
"""
"""A subscription to all plain fields."""

_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=3,
)
WRONG = [
    *(None, 5, 2**40, True, "x", "happy", 1.5, float("nan"), float("inf"), OtherMood.HAPPY, Mood.SAD),
    *(
        [],
        {},
        b"x",
        [None],
        [["x", None]],
        ("x",),
        {"y"},
        Upset("value"),
        Undefined,
        Item(name="w", mood=None, children=[]),
    ),
]
"""Values that most fields don't take; what they make of them is graphql-core's to say."""

_wrong = st.sampled_from(WRONG)
_item: st.SearchStrategy[Any] = st.recursive(
    st.builds(Item, name=st.text(max_size=3), mood=st.none() | st.sampled_from(Mood), children=st.just([])),
    lambda inner: st.builds(
        Item,
        name=st.text(max_size=3) | st.none(),
        mood=st.sampled_from(Mood) | _wrong,
        children=st.lists(inner, max_size=2),
    ),
    max_leaves=3,
)
_right = {
    "sequence": st.integers(-(2**31), 2**31 - 1),
    "at": st.none() | st.datetimes(),
    "text": st.text(max_size=5),
    "note": st.none() | st.text(max_size=5),
    "ratio": st.floats(allow_nan=False, allow_infinity=False),
    "mood": st.sampled_from(Mood),
    "extra": _json,
    "item": _item,
    "maybe_item": st.none() | _item,
    "items": st.lists(_item, max_size=2) | st.tuples(_item),
    "maybe_items": st.none() | st.lists(st.none() | _item, max_size=2),
    "words": st.lists(st.lists(st.text(max_size=2), max_size=2), max_size=2),
}


@st.composite
def happenings(draw: st.DrawFn) -> object:
    """Draw an event: mostly a right one, sometimes with a value that its type forbids, sometimes of a wrong class."""
    if draw(st.integers(0, 9)) == 0:
        base = {"sequence": 1, "cursor": EventCursor("c"), "at": None}
        return draw(st.sampled_from([Ended(**base, reason=None), Stranger(**base), None, 5, Upset("source")]))
    names = draw(st.sets(st.sampled_from(sorted(_right)), max_size=4))
    values = {name: draw(_right[name]) for name in sorted(names)}
    if draw(st.integers(0, 3)) == 0:
        values[draw(st.sampled_from([*sorted(_right), "id", "is_done", "cursor"]))] = draw(_wrong)
    return noted(**values)


_PLAIN = {
    "Happening": {"sequence": None, "cursor": None, "at": None, "__typename": None},
    "Ended": {"reason": None},
    "Noted": {
        "text": None,
        "note": None,
        "id": None,
        "ratio": None,
        "isDone": None,
        "mood": None,
        "extra": None,
        "words": None,
        "item": "Item",
        "maybeItem": "Item",
        "items": "Item",
        "maybeItems": "Item",
    },
    "Item": {"name": None, "mood": None, "children": "Item", "__typename": None},
}
_RESOLVED: dict[str, dict[str, str | None]] = {
    "Happening": {'echo(text: "!")': None, "later": None, "broken": None, "brokenOrNull": None},
    "Item": {"owner": "Item", "friend": "Item"},
}
_INSIDE = {
    "Happening": ["Happening", "Noted", "Ended"],
    "Noted": ["Noted", "Happening"],
    "Ended": ["Ended"],
    "Item": ["Item"],
}
_DIRECTIVES = ["", "", "", " @include(if: $yes)", " @skip(if: $yes)", " @include(if: $no)", " @skip(if: true)"]


@dataclass
class Operation:
    """An operation and its variables."""

    query: str
    variables: dict[str, bool]


@dataclass
class _Writer:
    draw: st.DrawFn
    has_resolvers: bool
    fragments: dict[str, str] = field(default_factory=dict)

    def pick(self, options: Sequence[Any]) -> Any:  # noqa: ANN401 - of any kind
        return self.draw(st.sampled_from(options))

    def selection(self, type_: str, depth: int) -> str:
        parts = [self.part(type_, depth) for _ in range(self.draw(st.integers(1, 4)))]
        return "{ " + " ".join(parts) + " }"

    def part(self, type_: str, depth: int) -> str:
        kind = self.pick(["field", "field", "field", "inline", "spread"]) if depth else "field"
        writers: dict[str, Callable[[str, int], str]] = {"inline": self.inline, "spread": self.spread}
        return writers.get(kind, self.field)(type_, depth)

    def inline(self, type_: str, depth: int) -> str:
        on = self.pick(_INSIDE[type_])
        return f"... on {on}{self.pick(_DIRECTIVES)} {self.selection(on, depth - 1)}"

    def spread(self, type_: str, depth: int) -> str:
        on = self.pick(_INSIDE[type_])
        name = f"F{len(self.fragments)}"
        self.fragments[name] = ""
        self.fragments[name] = f"fragment {name} on {on} {self.selection(on, depth - 1)}"
        return f"...{name}{self.pick(_DIRECTIVES)}"

    def field(self, type_: str, depth: int) -> str:
        fields = dict(_PLAIN[type_])
        if self.has_resolvers:
            fields |= _RESOLVED.get(type_, {})
        leaves = [name for name, of in fields.items() if of is None]
        name = self.pick(list(fields) if depth else leaves)
        of = fields[name]
        below = "" if of is None else f" {self.selection(of, depth - 1)}"
        # An alias tells its field, so that two fields never ask for the same key.
        alias = "" if name == "__typename" or self.draw(st.booleans()) else f"my_{name.partition('(')[0]}: "
        return f"{alias}{name}{self.pick(_DIRECTIVES)}{below}"


@st.composite
def operations(draw: st.DrawFn, kind: str = "subscription") -> Operation:
    """Draw an operation that asks for happenings, half of the time one without resolvers."""
    writer = _Writer(draw, has_resolvers=draw(st.booleans()))
    selection = writer.selection("Happening", 3)
    body = " ".join([f"{draw(st.sampled_from(['', 'it: ']))}happenings {selection} }}", *writer.fragments.values()])
    used = [name for name in ("yes", "no") if f"${name}" in body]
    declared = f"({', '.join(f'${name}: Boolean!' for name in used)})" if used else ""
    return Operation(f"{kind} S{declared} {{ {body}", {name: draw(st.booleans()) for name in used})
