"""GraphQL types that every room shares: nodes, pages, errors as data, scalars."""

from collections.abc import Callable, Mapping
from datetime import datetime
from enum import Enum
from functools import singledispatch
from typing import Any, Generic, NewType, TypeVar

import strawberry
from graphql import GraphQLError
from strawberry.scalars import JSON
from strawberry.types.enum import StrawberryEnumDefinition
from strawberry.types.scalar import ScalarDefinition

from graphql_api.kit.errors import AlreadyExists, DomainError, ErrorCode, Invalid, NotFound
from graphql_api.kit.pagination import Page
from graphql_api.kit.showing import show, shows_row

Item = TypeVar("Item")
EnumType = TypeVar("EnumType", bound=type[Enum])


def described_enum(enum: EnumType, description: str, values: Mapping[str, str]) -> EnumType:
    """Make a GraphQL enum of an enumeration, with a description for clients on each value."""
    strawberry.enum(enum, description=description)
    definition = getattr(enum, "__strawberry_definition__")  # noqa: B009 - an attribute that Strawberry puts there
    if not isinstance(definition, StrawberryEnumDefinition):
        raise TypeError(f"{enum.__name__} is not a GraphQL enum.")
    for value in definition.values:
        value.description = values[value.name]
    return enum


described_enum(
    ErrorCode,
    "What went wrong, for programs. Messages are for people and may change; codes stay.",
    {
        "VALIDATION_FAILED": "An argument breaks a rule. The message names it, `path` leads to it.",
        "UNAUTHENTICATED": "Nobody is signed in, or the access token is not valid any more: refresh the session.",
        "FORBIDDEN": "You may see this, but your role does not allow the change.",
        "NOT_FOUND": "There is no such thing, or it is not yours to see.",
        "ALREADY_EXISTS": "A name that must be unique is taken.",
        "INVALID_CREDENTIALS": "The e-mail address, password or refresh token is not right.",
        "INVALID_TRANSITION": "The thing is in a state in which this can't be done.",
        "STALE_REVISION": "Somebody else's change came first: read again, then repeat.",
        "LOCKED": "Somebody else holds the lock of the workflow.",
        "MERGE_CONFLICT": "Both sides changed the same lines: give resolutions.",
        "DEFINITION_INVALID": "The draft's definition.json has errors.",
        "IDEMPOTENCY_MISMATCH": "The idempotency key was used for another input.",
        "RUNTIME_UNAVAILABLE": "The agent runtime takes no work now: try again later.",
        "RUNTIME_FAILED": "The agent runtime failed at the work.",
        "RUNTIME_TIMEOUT": "The agent runtime did not finish in time.",
        "QUOTA_EXCEEDED": "You have as many of these as you may at once.",
        "RATE_LIMITED": "Too many calls: wait for `extensions.retryAfter` seconds.",
        "QUERY_TOO_COMPLEX": "The operation asks for too much at once: ask for less, or in pages.",
        "DOCUMENT_NOT_TRUSTED": "Only operations that were registered beforehand run here.",
        "PERSISTED_QUERY_NOT_FOUND": "No operation is known by this hash: send its text along with the hash, once.",
        "CURSOR_INVALID": "The cursor is not one of this log or list.",
        "OVERLOADED": "The server has too much to do, or its database is away or too slow: try again after "
        "`extensions.retryAfter` seconds, or as HTTP's `Retry-After` says.",
        "INTERNAL_ERROR": "Something broke on our side; `extensions.requestId` finds it in the logs.",
    },
)


@strawberry.interface(description="Anything that has a global id and can be read again with `node(id:)`.")
class Node:
    """An object with a global id."""

    id: strawberry.ID = strawberry.field(description="Opaque and globally unique. Hand it back unchanged.")


@strawberry.type(description="Where a page lies in its list.")
class PageInfo:
    """Where a page lies in its list."""

    has_next_page: bool = strawberry.field(description="Whether there are items after this page.")
    has_previous_page: bool = strawberry.field(description="Whether there are items before this page.")
    start_cursor: str | None = strawberry.field(description="Cursor of the first item; null for an empty page.")
    end_cursor: str | None = strawberry.field(description="Cursor of the last item; null for an empty page.")


@strawberry.type(description="One item of a page, with its position.")
class Edge(Generic[Item]):
    """One item of a page."""

    cursor: str = strawberry.field(description="Position of the item: hand it back in `after` or `before`.")
    node: Item = strawberry.field(description="The item.")


@shows_row(
    edges=lambda connection: [
        Edge(cursor=cursor, node=node) for cursor, node in zip(connection.row.cursors, connection.nodes, strict=True)
    ],
    nodes=lambda connection: [connection.make(row) for row in connection.row.rows],
    page_info=lambda connection: _page_info(connection.row),
)
@strawberry.type(description="A page of a list that grows. Cursors stay valid while items come and go.")
class Connection(Generic[Item]):
    """A page of a list."""

    edges: list[Edge[Item]] = strawberry.field(description="The items with their positions.")
    nodes: list[Item] = strawberry.field(description="The items alone.")
    page_info: PageInfo = strawberry.field(description="Where the page lies.")
    row: strawberry.Private[Page[Any]]
    make: strawberry.Private[Callable[[Any], Item]]

    @strawberry.field(description="Items in the whole list. Counted only when it is selected.")
    async def total_count(self) -> int:
        """Count the whole list."""
        return await self.row.count()


def connection_of(page: Page[Any], make: Callable[[Any], Item]) -> Connection[Item]:
    """Make a connection of a page of rows."""
    return show(Connection, page, make=make)


def _page_info(page: Page[Any]) -> PageInfo:
    cursors = [page.cursor(row) for row in page.rows[:1] + page.rows[-1:]]
    return page_info(cursors, has_next=page.has_next, has_previous=page.has_previous)


def page_info(cursors: list[str], *, has_next: bool, has_previous: bool) -> PageInfo:
    """Tell where a page with these cursors lies."""
    return PageInfo(
        has_next_page=has_next,
        has_previous_page=has_previous,
        start_cursor=cursors[0] if cursors else None,
        end_cursor=cursors[-1] if cursors else None,
    )


@strawberry.interface(
    description="Something that the caller can act on. A payload's result is null exactly when `errors` is not empty, "
    "and a mutation that returns errors has changed nothing."
)
class UserError:
    """An error as data."""

    code: ErrorCode = strawberry.field(description="What went wrong, for programs.")
    message: str = strawberry.field(description="What went wrong and how to mend it, for people.")
    path: list[str] | None = strawberry.field(
        description='Leads to the argument at fault, such as `["input", "files", "0", "path"]`.'
    )


@strawberry.type(description="An argument breaks a rule; the message names the rule.")
class ValidationError(UserError):
    """An argument breaks a rule."""


@strawberry.type(description="There is no such thing, or it is not yours to see: both read the same.")
class NotFoundError(UserError):
    """Nothing to be seen."""


@strawberry.type(description="A name that must be unique is taken.")
class AlreadyExistsError(UserError):
    """A unique name is taken."""


def base_fields(error: DomainError) -> dict[str, Any]:
    """Give the fields that all errors have."""
    return {"code": error.code, "message": error.message, "path": error.path}


@singledispatch
def user_error(error: DomainError) -> UserError:
    """Turn a domain error into the GraphQL type of it; rooms register their own.

    Raises:
        DomainError: The error itself, when it is none that a payload carries.
    """
    raise error


@user_error.register
def _(error: Invalid) -> UserError:
    return ValidationError(**base_fields(error))


@user_error.register
def _(error: NotFound) -> UserError:
    return NotFoundError(**base_fields(error))


@user_error.register
def _(error: AlreadyExists) -> UserError:
    return AlreadyExistsError(**base_fields(error))


EventCursor = NewType("EventCursor", str)


def _identity(value: object) -> object:
    return value


def _moment(value: object) -> datetime:
    try:
        return datetime.fromisoformat(str(value))
    except ValueError as error:
        raise GraphQLError("A moment is written in ISO 8601, such as 2026-01-31T12:00:00Z.") from error


SCALARS: dict[object, ScalarDefinition] = {
    EventCursor: strawberry.scalar(
        name="EventCursor",
        specified_by_url="https://relay.dev/graphql/connections.htm#sec-Cursor",
        description="Opaque position in an event log. Valid for ever: across reconnects, replicas, restarts and "
        "upgrades. Hand it back unchanged in `after`.",
        serialize=str,
        parse_value=str,
    ),
    JSON: strawberry.scalar(
        name="JSON",
        description="Any JSON value.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc8259",
        serialize=_identity,
        parse_value=_identity,
    ),
    datetime: strawberry.scalar(
        name="DateTime",
        description="A moment in time in ISO 8601, with its zone.",
        specified_by_url="https://scalars.graphql.org/andimarek/date-time.html",
        serialize=datetime.isoformat,
        parse_value=_moment,
    ),
}
"""Scalars of this API, by the Python type that stands for them."""
