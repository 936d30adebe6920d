"""Any object by its global id, under the same access rules as everywhere."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

from graphql_api.authoring import templates
from graphql_api.authoring.loaders import Loaders
from graphql_api.authoring.types.audit import AuditEntry
from graphql_api.authoring.types.drafts import Draft
from graphql_api.authoring.types.info import Info
from graphql_api.authoring.types.proposals import Proposal
from graphql_api.authoring.types.templates import Template
from graphql_api.authoring.types.versions import Version
from graphql_api.authoring.types.workflows import Workflow
from graphql_api.identity.types import User
from graphql_api.kit.errors import Invalid
from graphql_api.kit.ids import parse_global_id
from graphql_api.kit.pagination import MAX_PAGE
from graphql_api.kit.types import Node


async def find_node(info: Info, global_id: str) -> Node | None:
    """Read an object that the caller may see; None for what is not there and for what they may not see."""
    info.context.actor  # noqa: B018 - refuses anonymous callers
    type_name, key = parse_global_id(global_id) or (None, None)
    read = _READERS.get(type_name or "")
    return None if read is None or key is None else await read(info, key)


async def find_nodes(info: Info, global_ids: Sequence[str]) -> list[Node | None]:
    """Read several objects at once, in this order.

    Raises:
        Invalid: When more than 100 are asked for.
    """
    if len(global_ids) > MAX_PAGE:
        raise Invalid(f"nodes takes at most {MAX_PAGE} ids.", path=["ids"])
    return list(await asyncio.gather(*(find_node(info, global_id) for global_id in global_ids)))


async def _draft(info: Info, key: UUID) -> Draft | None:
    row = await info.context.loader(Loaders).draft.load(key)
    return Draft.of(row) if row is not None and await _sees(info, row.workflow_id) else None


async def _version(info: Info, key: UUID) -> Version | None:
    row = await info.context.loader(Loaders).version.load(key)
    return Version.of(row) if row is not None and await _sees(info, row.workflow_id) else None


async def _audit_entry(info: Info, key: UUID) -> AuditEntry | None:
    row = await info.context.loader(Loaders).audit_entry.load(key)
    return AuditEntry.of(row) if row is not None and await _sees(info, row.workflow_id) else None


async def _template(_info: Info, key: UUID) -> Template | None:
    template = templates.find_by_id(key)
    return None if template is None else Template.of(template)


async def _user(info: Info, key: UUID) -> User | None:
    row = await info.context.loader(Loaders).seen_user.load(key)
    return None if row is None else User.of(row)


async def _sees(info: Info, workflow_id: UUID) -> bool:
    return await info.context.loader(Loaders).workflow.load(workflow_id) is not None


_READERS: dict[str, Callable[[Info, UUID], Awaitable[Node | None]]] = {
    "Workflow": Workflow.load,
    "Draft": _draft,
    "Version": _version,
    "Proposal": Proposal.load,
    "AuditEntry": _audit_entry,
    "Template": _template,
    "User": _user,
}
