"""Operations level by level: each field with a resolver is resolved for all objects of its level at once.

Graphql-core executes object by object. Here what an operation selects is compiled into readers once; a reader notes
the objects whose fields have resolvers, and when a level was read, each of these fields is a step: one read of the
database for a whole list, where it has a key, and its resolver for each object otherwise. The next level begins with
what the steps gave.

Nothing is resolved twice. Where something is not as expected, graphql-core executes the operation, and is told what
was resolved already: so errors, and nulls in place of them, are its own.

Seams, checked with graphql-core 3.3.2: `Executor.build_resolve_info`, and `Executor.middleware_manager`, of which an
execution asks nothing but `get_field_resolver`.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphql import GraphQLField, GraphQLObjectType, GraphQLResolveInfo, OperationType
from graphql.execution import Executor
from graphql.execution.collect_fields import FieldDetailsList, collect_fields
from graphql.execution.values import get_argument_values
from graphql.pyutils import Path
from strawberry.types.field import StrawberryField

from graphql_api.kit.loading import Answer, Loaded, Reads, how_loaded
from graphql_api.kit.planning.code import Later, Reader, Shown, Surprise
from graphql_api.kit.planning.readers import Readers

Resolver = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Failed:
    """Stands for the value of a field whose resolver raised."""

    error: Exception


class Step:
    """A field with a resolver, at one place of an operation.

    Args:
        parent: The type that it belongs to.
        key: Of the field in the response.
        fields: How it is selected.
        field: What it is.
        loaded: How it is found by a key, if it is.
    """

    __slots__ = ("_field", "_fields", "_nodes", "_parent", "key", "loaded", "read")

    read: Reader
    """Reads the value."""

    def __init__(
        self,
        parent: GraphQLObjectType,
        key: str,
        fields: FieldDetailsList,
        field: GraphQLField,
        loaded: Loaded[Any, Any, Any, Any] | None,
    ) -> None:
        if fields[0].fragment_variable_values is not None:
            raise Surprise("A fragment has variables of its own.")
        self.key = key
        self._parent = parent
        self._fields = fields
        self._nodes = [each.node for each in fields]
        self._field = field
        self.loaded = loaded

    @property
    def node(self) -> object:
        """Where it stands in the document."""
        return self._nodes[0]

    def resolve(self, executor: Executor[Any], sources: Sequence[object]) -> list[object]:
        """Call the resolver for each object; gives what is to be awaited as it is, and never raises."""
        first, resolve = self._fields[0], self._field.resolve or executor.field_resolver
        path = Path(None, self.key, self._parent.name)
        info = executor.build_resolve_info(self._field, self._nodes, self._parent, path)
        values: list[object] = []
        for source in sources:
            try:
                # Anew for each, since resolvers may change what they are given.
                arguments = get_argument_values(
                    self._field, first.node, executor.variable_values, None, executor.hide_suggestions
                )
                values.append(resolve(source, info, **arguments))
            except Exception as error:  # noqa: BLE001 - graphql-core is told, and reports it
                values.append(Failed(error))
        return values


class Resolved:
    """What was resolved in one run of an operation."""

    def __init__(self) -> None:
        self._steps: list[tuple[Step, Sequence[object], Sequence[object]]] = []

    def note(self, step: Step, sources: Sequence[object], values: Sequence[object]) -> None:
        """Take note of the values of a step, each of one object."""
        self._steps.append((step, sources, values))

    def middleware(self) -> "Replay":
        """Give what answers with these values, and lets everything else be resolved."""
        known = {
            (id(source), id(step.node)): value
            for step, sources, values in self._steps
            for source, value in zip(sources, values, strict=True)
        }
        return Replay(known, self._steps)


class Replay:
    """Stands where graphql-core asks its middleware for a resolver.

    Args:
        known: Values by the identities of the object and of the field's place in the document.
        kept: What has these identities.
    """

    middlewares = ()

    def __init__(self, known: dict[tuple[int, int], object], kept: object) -> None:
        self._known = known
        self._kept = kept

    def get_field_resolver(self, resolve: Resolver) -> Resolver:
        """Give a resolver that gives what is known."""

        def replay(source: object, info: GraphQLResolveInfo[Any], **arguments: object) -> object:
            value = self._known.get((id(source), id(info.field_nodes[0])), self)
            if value is self:
                return resolve(source, info, **arguments)
            if isinstance(value, Failed):
                raise value.error
            return value

        return replay


class Levels:
    """The plan of an operation.

    Args:
        roots: Keys of the response in their order, with the step of each, or what it always is.
        is_serial: Whether a root field has to be finished before the next one begins.
    """

    __slots__ = ("_is_serial", "_roots")

    def __init__(self, roots: dict[str, object], *, is_serial: bool) -> None:
        self._roots = roots
        self._is_serial = is_serial

    @property
    def constant(self) -> dict[str, Any] | None:
        """What the operation always gives; None when it has to be run."""
        return None if any(isinstance(root, Step) for root in self._roots.values()) else dict(self._roots)

    async def run(self, executor: Executor[Any], root_value: object, resolved: Resolved) -> dict[str, Any]:
        """Give the operation's data.

        Args:
            executor: Of the operation.
            root_value: What its root fields are resolved on.
            resolved: Takes what was resolved, for graphql-core to go on with.

        Raises:
            Exception: When something failed, or is not as expected.
        """
        data: dict[str, Any] = {key: None if isinstance(root, Step) else root for key, root in self._roots.items()}
        steps = [root for root in self._roots.values() if isinstance(root, Step)]
        for together in [[step] for step in steps] if self._is_serial else [steps]:
            later: defaultdict[Step, list[tuple[object, dict[str, Any]]]] = defaultdict(list)
            for step in together:
                later[step].append((root_value, data))
            while later:
                level, later = later, defaultdict(list)
                await _advance(executor, level, later, resolved)
        return data


async def _advance(
    executor: Executor[Any],
    level: Mapping[Step, list[tuple[object, dict[str, Any]]]],
    later: Later,
    resolved: Resolved,
) -> None:
    """Resolve the fields of a level, all at the same time, and read what they gave.

    What can raise comes before the first resolver: each that was called is awaited, and its value noted.
    """
    reads, values, answers = Reads(executor.context_value), dict[Step, list[Any]](), dict[Step, Answer]()
    sources = {step: [source for source, _ in entries] for step, entries in level.items()}
    for step, own in sources.items():
        if step.loaded is not None:
            answers[step] = reads.ask(step.loaded, own)
    for step, own in sources.items():
        if step.loaded is None:
            values[step] = step.resolve(executor, own)
    await _settle(list(values.values()), reads.run(), executor.is_awaitable)
    for step, answer in answers.items():
        values[step] = [Failed(value) if isinstance(value, Exception) else value for value in answer.values()]
    for step, own in sources.items():
        resolved.note(step, own, values[step])
    for step, entries in level.items():
        read, key = step.read, step.key
        for (_, shown), value in zip(entries, values[step], strict=True):
            shown[key] = read(value, later)  # a failure is nothing that a reader knows


async def _settle(
    lists: Sequence[list[Any]], reads: Sequence[Awaitable[None]], is_awaitable: Callable[[Any], bool]
) -> None:
    """Await the reads and, in place, what is to be awaited in the lists."""
    waiting = [(own, index) for own in lists for index, value in enumerate(own) if is_awaitable(value)]
    if len(reads) == 1 and not waiting:
        await reads[0]
        return
    if not waiting and not reads:
        return
    settled = await asyncio.gather(*reads, *(own[index] for own, index in waiting), return_exceptions=True)
    for value in settled:
        if isinstance(value, BaseException) and not isinstance(value, Exception):
            raise value
    for (own, index), value in zip(waiting, settled[len(reads) :], strict=True):
        own[index] = Failed(value) if isinstance(value, Exception) else value


class _LevelReaders(Readers):
    """Makes readers that leave what has a resolver to steps."""

    moment = "{v}.isoformat()"

    def root(self, type_: GraphQLObjectType, key: str, fields: FieldDetailsList) -> object:
        """Give the step of a root field, or what it always is."""
        shown = self._field(type_, key, fields)
        if shown.attribute is not None:
            raise Surprise(f"{type_} is an object.")
        return shown.constant if shown.step is None else shown.step

    def _resolved(
        self,
        type_: GraphQLObjectType,
        key: str,
        fields: FieldDetailsList,
        field: GraphQLField,
        definition: StrawberryField,
    ) -> Shown:
        resolver = definition.base_resolver
        loaded = None if resolver is None or definition.extensions else how_loaded(resolver.wrapped_func)
        step = Step(type_, key, fields, field, loaded)
        step.read = self.reader(field.type, fields)
        return Shown(key, None, step=step)


def levels(executor: Executor[Any]) -> Levels | None:
    """Make the plan of an operation.

    Raises:
        Surprise: When there is something in it that only graphql-core knows how to execute.
    """
    root = executor.schema.get_root_type(executor.operation.operation)
    if root is None:
        return None
    selection = collect_fields(executor.schema, executor.fragments, executor.variable_values, root, executor.operation)
    if selection.new_defer_usages:
        return None
    readers = _LevelReaders(executor)
    roots = {key: readers.root(root, key, fields) for key, fields in selection.grouped_field_set.items()}
    return Levels(roots, is_serial=executor.operation.operation is OperationType.MUTATION)
