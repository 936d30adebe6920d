"""Refusals: errors as data, and an audit entry for each refused access to something that the caller may see."""

from typing import Any

from strawberry.extensions.field_extension import AsyncExtensionResolver

from graphql_api.authoring import journal
from graphql_api.authoring.journal import Entry
from graphql_api.authoring.types.info import Info
from graphql_api.kit.conflicts import tried_again
from graphql_api.kit.errors import DomainError, Forbidden
from graphql_api.kit.mutations import ErrorsAsData


class ErrorsAsRecord(ErrorsAsData):
    """Gives a payload with errors where a use case refuses, and records who was refused what."""

    async def resolve_async(
        self,
        next_: AsyncExtensionResolver,
        source: Any,  # noqa: ANN401 - Strawberry's signature
        info: Info,
        **arguments: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Run the resolver for somebody who is signed in; nobody else is told what is wrong with an input."""
        info.context.actor  # noqa: B018 - refuses anonymous callers
        return await super().resolve_async(next_, source, info, **arguments)

    @tried_again
    async def note(self, info: Info, error: DomainError) -> None:
        """Write the audit entry of a refused access, in a transaction of its own: the change's was rolled back."""
        if not isinstance(error, Forbidden) or error.subject_id is None:
            return
        context = info.context
        details = {"operation": info.field_name, "requiredRole": error.required_role}
        entry = Entry(context, "access.refuse", ("Workflow", error.subject_id), details)
        async with context.database.plain_transaction() as transaction:
            await journal.audit(transaction, error.subject_id, entry)
