"""The hooks of extensions, run for a fraction of what Strawberry's own runner costs.

That looks for the hooks of each extension in each phase of each operation, and wraps each of them anew, which is up to
a tenth of what a small operation costs. Here it is found out once for each class which hooks it has, and hooks are the
generators that they are.

Seams, checked with strawberry-graphql 0.341: `Schema.create_extensions_runner`, and `SchemaExtensionsRunner`, of whose
phases nothing is asked but to be asynchronous context managers.
"""

from collections.abc import AsyncGenerator, Callable, Hashable, Sequence
from functools import cache
from types import GeneratorType, TracebackType
from typing import Any, TypeAlias, cast

from strawberry.extensions import SchemaExtension
from strawberry.extensions.context import (
    ExecutingContextManager,
    OperationContextManager,
    ParsingContextManager,
    ValidationContextManager,
)
from strawberry.extensions.runner import SchemaExtensionsRunner

Running: TypeAlias = "GeneratorType[None, None, None] | AsyncGenerator[None]"
Hook = Callable[[SchemaExtension], Running]


class HookRunner(SchemaExtensionsRunner):
    """Runs the hooks of extensions, each of which is a generator; what a phase raises, none of them takes back."""

    def operation(self) -> OperationContextManager:
        """Give the whole of an operation."""
        return cast("OperationContextManager", _Phase("on_operation", self.extensions))

    def parsing(self) -> ParsingContextManager:
        """Give the parsing of a document."""
        return cast("ParsingContextManager", _Phase("on_parse", self.extensions))

    def validation(self) -> ValidationContextManager:
        """Give the validation of a document."""
        return cast("ValidationContextManager", _Phase("on_validate", self.extensions))

    def executing(self) -> ExecutingContextManager:
        """Give the execution of an operation."""
        return cast("ExecutingContextManager", _Phase("on_execute", self.extensions))


class _Phase:
    """A part of an operation: hooks begin one after the other, and end in the opposite order.

    Args:
        name: Of the hook.
        extensions: Whose hooks.
    """

    __slots__ = ("_extensions", "_name", "_running")

    def __init__(self, name: str, extensions: Sequence[SchemaExtension]) -> None:
        self._name = name
        self._extensions = extensions
        self._running: list[Running] = []

    async def __aenter__(self) -> None:
        try:
            for extension in self._extensions:
                hook = _hook(cast("Hashable", type(extension)), self._name)
                if hook is not None:
                    running = hook(extension)
                    if isinstance(running, GeneratorType):
                        next(running)
                    else:
                        await anext(running)
                    self._running.append(running)
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise

    async def __aexit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        raised = error
        while self._running:
            running = self._running.pop()
            try:
                if isinstance(running, GeneratorType):
                    next(running) if raised is None else running.throw(raised)
                elif raised is None:
                    await anext(running)
                else:
                    await running.athrow(raised)
            except (StopIteration, StopAsyncIteration):
                continue
            except BaseException as other:  # noqa: BLE001 - the next hook is told, and then whoever waits for the phase
                raised = other
                continue
            raise RuntimeError(f"A hook of {self._name} goes on after the phase.")
        if raised is not error:
            raise cast("BaseException", raised)


@cache
def _hook(extension: Hashable, name: str) -> Hook | None:
    """Give the hook of an extension's class; None when it has none."""
    hook: Any = getattr(extension, name)
    return None if hook is getattr(SchemaExtension, name) else hook
