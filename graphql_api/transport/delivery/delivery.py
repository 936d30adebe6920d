"""One subscription on its way to one client, over any transport."""

import asyncio
from functools import lru_cache
from typing import ClassVar

from strawberry import Schema
from strawberry.extensions import SchemaExtension
from strawberry.schema.base import BaseSchema

from graphql_api.kit.batches import Batch, Batched
from graphql_api.kit.execution import Takeover
from graphql_api.transport.delivery.plans import Plan, Plans

TURN_EVENTS = 64
"""After this many events, others get their turn on the event loop; a source that never waits would keep it."""


_NOTHING: Batch[object] = Batch()


class Delivery:
    """Takes the events of one operation and writes them, if it is a subscription that can be taken over.

    A transport starts the operation with `takeover`, and goes through the results of its stream:

        async for result in results:
            if not delivery.begins():
                ...  # send the result
            while written := await delivery.batch():
                ...  # send what was written

    It changes nothing about what is sent: what the plan does not write goes back to the executor, whose result is next.

    Args:
        schema: What the operation runs on.
    """

    __slots__ = ("_has_begun", "_is_plannable", "_next", "_plan", "_taken", "_turn_ends_at", "_waiting", "takeover")

    plans: ClassVar = Plans()
    """Of all operations of this process."""

    def __init__(self, schema: BaseSchema) -> None:
        self.takeover = Takeover()
        self._is_plannable = isinstance(schema, Schema) and _is_plannable(schema)
        self._plan: Plan | None = None
        self._has_begun = False
        self._waiting = _NOTHING
        self._next = 0
        self._taken = 0
        self._turn_ends_at = TURN_EVENTS

    @property
    def delivered(self) -> int:
        """How many events it has taken from their source and passed on."""
        return self._taken - len(self._waiting) + self._next

    def begins(self) -> bool:
        """Tell, of the stream's first result, whether it is only the sign that the takeover is offered."""
        if self._has_begun or not self.takeover.is_offered:
            return False
        self._has_begun = True
        if self._is_plannable and self.takeover.executor is not None:
            self._plan = self.plans.plan(self.takeover.executor)
        return True

    async def batch(self) -> Batch[bytes]:
        """Wait for events, and write as many as are to be sent at once.

        Returns:
            The JSON of each; none when the executor has to go on, whose next result comes after all that was given.
        """
        if not self._has_begun or (self._next == len(self._waiting) and not await self._gather()):
            return Batch()
        written = self._plan.write_from(self._waiting, self._next) if self._plan is not None else Batch()
        self._next += len(written)
        if not written:
            self.takeover.hand_back(self._waiting[self._next])
            self._next += 1
        return written

    async def _gather(self) -> bool:
        """Wait for events, and take all that are there; False when the executor has to go on."""
        if self._taken >= self._turn_ends_at:
            self._turn_ends_at = self._taken + TURN_EVENTS
            await asyncio.sleep(0)
        self._waiting, self._next = _NOTHING, 0
        source = self.takeover.source
        try:
            if isinstance(source, Batched):
                self._waiting = await source.batch()
            elif source is not None:
                self._waiting = Batch((await anext(source),))
        except StopAsyncIteration:
            return False
        except Exception as error:  # noqa: BLE001 - it is raised again where the executor reports it
            self.takeover.hand_back(error)
            return False
        self._taken += len(self._waiting)
        return bool(self._waiting)


@lru_cache(maxsize=16)
def _is_plannable(schema: Schema) -> bool:
    """Tell whether a result is what was executed: extensions may add to it, or look at each."""
    extensions = schema.get_extensions()
    return not any(
        type(extension).on_stream_result is not SchemaExtension.on_stream_result
        or type(extension).get_results is not SchemaExtension.get_results
        for extension in extensions
    )
