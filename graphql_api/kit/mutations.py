"""Mutations: the one place that turns domain errors into a payload's errors."""

from typing import Any

from strawberry.extensions.field_extension import AsyncExtensionResolver, FieldExtension, SyncExtensionResolver
from strawberry.types import Info

from graphql_api.kit.errors import DomainError
from graphql_api.kit.operations import note_refusal
from graphql_api.kit.types import user_error


class ErrorsAsData(FieldExtension):
    """Gives a payload with errors where a use case refuses.

    Args:
        payload: The payload's type; its results have defaults, and `errors` takes a list.
    """

    def __init__(self, payload: type[Any]) -> None:
        self._payload = payload

    def resolve(self, next_: SyncExtensionResolver, source: Any, info: Info, **arguments: Any) -> Any:  # noqa: ANN401 - Strawberry's signature
        """Refuse a synchronous resolver: use cases are coroutines."""
        raise NotImplementedError

    async def resolve_async(
        self,
        next_: AsyncExtensionResolver,
        source: Any,  # noqa: ANN401 - Strawberry's signature
        info: Info,
        **arguments: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Run the resolver; a domain error becomes data, unless it is one for the top level."""
        try:
            return await next_(source, info, **arguments)
        except DomainError as error:
            note_refusal()
            await self.note(info, error)
            return self._payload(errors=[user_error(error)])

    async def note(self, info: Info, error: DomainError) -> None:
        """Take note of a refusal; rooms that keep a record override it."""
