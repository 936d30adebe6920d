"""One subscription on its way to one client."""

import asyncio
from collections.abc import Sequence
from functools import lru_cache

import orjson
from strawberry import Schema
from strawberry.extensions import SchemaExtension
from strawberry.schema.base import BaseSchema

from graphql_api.kit.batches import Batched
from graphql_api.kit.execution import Takeover
from graphql_api.transport.delivery.outlets import Outlet
from graphql_api.transport.delivery.plans import Plan, Plans

TURN_EVENTS = 32
"""After this many events, others get their turn on the event loop; a source that never waits would keep it."""


class Delivery:
    """Delivers the events of one operation, if it is a subscription that can be taken over.

    It changes nothing about what is sent: what the plan does not write goes back to the executor.

    Args:
        schema: What the operation runs on.
        plans: Of all operations on this schema.
        outlet: Where messages leave.
        operation_id: The client's id of the operation.
    """

    def __init__(self, schema: BaseSchema, plans: Plans, outlet: Outlet, operation_id: str) -> None:
        self.takeover = Takeover()
        self._is_plannable = isinstance(schema, Schema) and _is_plannable(schema)
        self._plans = plans
        self._plan: Plan | None = None
        self._outlet = outlet
        self._prefix = b'{"id":' + orjson.dumps(operation_id) + b',"type":"next","payload":'
        self._has_begun = False
        self._waiting: Sequence[object] = ()
        self._taken = 0
        self._turn_ends_at = TURN_EVENTS

    @property
    def delivered(self) -> int:
        """How many events it has taken from their source and passed on."""
        return self._taken - len(self._waiting)

    def begins(self) -> bool:
        """Tell, of the stream's first result, whether it is only the sign that the takeover is offered."""
        if self._has_begun or not self.takeover.is_offered:
            return False
        self._has_begun = True
        if self._is_plannable and self.takeover.executor is not None:
            self._plan = self._plans.plan(self.takeover.executor)
        return True

    async def advance(self) -> None:
        """Deliver events until there is none any more, or one that the executor has to run.

        Raises:
            WebSocketDisconnected: When the client is gone.
        """
        if not self._has_begun or self.takeover.source is None:
            return
        while self._waiting or await self._gather():
            written = self._write()
            while written:
                taken = self._outlet.put(self._prefix, written, b"}")
                if not self._outlet.is_open:
                    await self._outlet.wait_open()
                del written[:taken]
            if self._waiting:
                surprise, *self._waiting = self._waiting
                self.takeover.hand_back(surprise)
                return

    def _write(self) -> list[bytes]:
        """Write events until there is none any more, or one that the plan does not know how to write."""
        written: list[bytes] = []
        if self._plan is not None:
            write = self._plan.write
            for event in self._waiting:
                message = write(event)
                if message is None:
                    break
                written.append(message)
        self._waiting = self._waiting[len(written) :]
        return written

    async def _gather(self) -> bool:
        """Wait for events, and take all that are there; False when the executor has to go on."""
        if self._taken >= self._turn_ends_at:
            self._turn_ends_at = self._taken + TURN_EVENTS
            await asyncio.sleep(0)
        source = self.takeover.source
        try:
            if isinstance(source, Batched):
                self._waiting = await source.batch()
            elif source is not None:
                self._waiting = [await anext(source)]
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
