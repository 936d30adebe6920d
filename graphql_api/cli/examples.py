"""Examples at the end of a command's help."""

from collections.abc import Callable
from typing import NamedTuple


class Runnable(NamedTuple):
    """A command that belongs to no group.

    Attributes:
        run: What it does; the docstring is its help.
        examples: From `examples`.
    """

    run: Callable[..., None]
    examples: str


def examples(*lines: str) -> str:
    """Lay examples out for `epilog`; the first character keeps the help from joining the lines."""
    return "\n".join(("\b", "Examples:", *(f"  {line}" for line in lines)))
