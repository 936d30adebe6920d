"""Fields whose value is found by a key: written once, and read for one object or for all objects of a list."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Any, Generic, TypeVar

from sqlalchemy import Select
from strawberry.dataloader import DataLoader
from strawberry.types import Info

from graphql_api.kit.statements import Rows

Source = TypeVar("Source")
Key = TypeVar("Key")
Found = TypeVar("Found")
Shown = TypeVar("Shown")

_LOADED = "_loaded"


@dataclass(frozen=True, slots=True)
class Loaded(Generic[Source, Key, Found, Shown]):
    """How the value of a field is found.

    Attributes:
        loader: Of a request's context.
        by: Gives the key of an object; None for an object that has none, and whose value is None.
        show: Makes the field's value of the object and of what was found.
    """

    loader: Callable[[Any], DataLoader[Key, Found]]
    by: Callable[[Source], Key | None]
    show: Callable[[Source, Found], Shown]

    async def one(self, context: Any, source: Source) -> Shown | None:  # noqa: ANN401 - as `loader` takes it
        """Find the value of one object; those that ask at the same time are read together."""
        key = self.by(source)
        return None if key is None else self.show(source, await self.loader(context).load(key))

    def shown(self, source: Source, found: Found | Exception) -> Shown | Exception:
        """Make the value of one object; an exception stands for what was raised, here or by the loader."""
        if isinstance(found, Exception):
            return found
        try:
            return self.show(source, found)
        except Exception as error:  # noqa: BLE001 - it is the result
            return error


class RowLoader(DataLoader[Key, Any]):
    """Reads rows by their keys. It remembers nothing.

    Args:
        reader: Where they are.
        statement: Of columns, with the keys as its parameter `ids`; always the same object.
        read: Gives what is found by each key of the rows.
        values: Gives the values of its other parameters, each time anew; may raise.
    """

    def __init__(
        self,
        reader: Rows,
        statement: Select[Any],
        read: Callable[[Sequence[Any]], Mapping[Key, Any]],
        values: Callable[[], Mapping[str, object]] = dict,
    ) -> None:
        super().__init__(self._load, cache=False)
        self._reader = reader
        self._statement = statement
        self._read = read
        self._values = values

    async def _load(self, keys: list[Key]) -> list[Any]:
        found = self._read(await self._reader.rows(self._statement, **self._values(), ids=list(dict.fromkeys(keys))))
        return [found.get(key) for key in keys]


class Reads:
    """Reads for several fields at once: each loader once, whoever asks it.

    Args:
        context: Of the request.
    """

    def __init__(self, context: Any) -> None:  # noqa: ANN401 - as `Loaded.loader` takes it
        self._context = context
        self._asked: dict[DataLoader[Any, Any], dict[Any, Any]] = {}

    def ask(self, loaded: Loaded[Source, Key, Found, Shown], sources: Sequence[Source]) -> "Answer":
        """Ask for the values of a field of several objects; they are there once `run` is over."""
        loader, keys = loaded.loader(self._context), [loaded.by(source) for source in sources]
        found = self._asked.setdefault(loader, {})
        found.update((key, None) for key in keys if key is not None)
        return Answer(loaded, sources, keys, found)

    def run(self) -> list[Coroutine[Any, Any, None]]:
        """Give what reads, to be awaited at the same time; none of it raises what a loader raises."""
        return [_read(loader, found) for loader, found in self._asked.items() if found]


async def _read(loader: DataLoader[Any, Any], found: dict[Any, Any]) -> None:
    keys = list(found)
    try:
        found.update(zip(keys, await loader.load_fn(keys), strict=True))
    except Exception as error:  # noqa: BLE001 - it is the result of everybody who asked
        found.update(dict.fromkeys(keys, error))


@dataclass(frozen=True, slots=True)
class Answer:
    """The values of a field of several objects, once they are read."""

    loaded: Loaded[Any, Any, Any, Any]
    sources: Sequence[Any]
    keys: Sequence[Any]
    found: Mapping[Any, Any]

    def values(self) -> list[Any]:
        """Give the values; an exception stands where one was raised."""
        shown, found = self.loaded.shown, self.found
        return [
            None if key is None else shown(source, found[key])
            for source, key in zip(self.sources, self.keys, strict=True)
        ]


def loaded_by(
    loader: Callable[[Any], DataLoader[Key, Found]], *, by: Callable[[Any], Key | None]
) -> Callable[[Callable[[Any, Found], Shown]], Callable[..., Any]]:
    """Make a resolver of a method that shows what is found by a key.

    Args:
        loader: Gives the loader of a request's context.
        by: Gives the key of an object; where it is None, nothing is read and the field is null.

    Returns:
        A decorator for the method, which takes the object and what was found.
    """

    def decorate(show: Callable[[Any, Found], Shown]) -> Callable[..., Any]:
        how = Loaded(loader, by, show)

        @wraps(show)
        async def resolve(self: Any, info: Info) -> Any:  # noqa: ANN401 - what `show` gives
            return await how.one(info.context, self)

        parameters = [
            Parameter("self", Parameter.POSITIONAL_OR_KEYWORD),
            Parameter("info", Parameter.POSITIONAL_OR_KEYWORD, annotation=Info),
        ]
        returned = signature(show).return_annotation
        resolve.__signature__ = Signature(parameters, return_annotation=returned)  # type: ignore[attr-defined]  # functions may have one
        resolve.__annotations__ = {"info": Info, "return": returned}
        del resolve.__wrapped__
        setattr(resolve, _LOADED, how)
        return resolve

    return decorate


def how_loaded(resolver: object) -> Loaded[Any, Any, Any, Any] | None:
    """Tell how a resolver finds its value; None for one that was written by hand."""
    found = getattr(resolver, _LOADED, None)
    return found if isinstance(found, Loaded) else None
