"""Reading a workflow as tests compare it."""

from typing import Any

from support.api import Api

WORKFLOW = """query ($id: ID!) { workflow(id: $id) {
  name description isArchived updatedAt lock { holder { id } acquiredAt expiresAt } owner { id }
  members { role since user { id } } draft { id revision files { path type content size digest } }
} }"""


async def read(api: Api, workflow: str) -> dict[str, Any]:
    """Read a workflow that is there."""
    found: dict[str, Any] = (await api(WORKFLOW, id=workflow))["workflow"]
    return found


async def audited(api: Api, workflow: str) -> dict[str, Any]:
    """Read the newest audit entry."""
    document = """query ($id: ID!) { workflow(id: $id) {
      auditLog(first: 1) { nodes { action subject details actor { id } requestId } } } }"""
    (entry,) = (await api(document, id=workflow))["workflow"]["auditLog"]["nodes"]
    assert entry.pop("requestId")
    found: dict[str, Any] = entry
    return found
