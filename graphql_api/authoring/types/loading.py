"""Fields that show what a loader of the product finds by a key."""

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from strawberry.dataloader import DataLoader

from graphql_api.authoring.loaders import Loaders
from graphql_api.kit.loading import loaded_by

Key = TypeVar("Key", bound=Hashable)
Found = TypeVar("Found")
Shown = TypeVar("Shown")


def loaded(
    pick: Callable[[Loaders], DataLoader[Key, Found]], *, by: Callable[[Any], Key | None]
) -> Callable[[Callable[[Any, Found], Shown]], Callable[..., Any]]:
    """Make a resolver of a method that shows what one of the loaders finds.

    Args:
        pick: Chooses the loader.
        by: Gives the key of an object; where it is None, nothing is read and the field is null.

    Returns:
        A decorator for the method, which takes the object and what was found.
    """
    return loaded_by(lambda context: pick(context.loader(Loaders)), by=by)
