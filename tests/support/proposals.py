"""Reading a proposal as tests compare it."""

from typing import Any

from graphql_api.kit.errors import ErrorCode
from graphql_api.runtimes.executions import Failure
from support.api import Api, key
from support.studio import Studio

PROPOSAL = """query ($id: ID!) { proposal(id: $id) {
  id status prompt contextFilePath contextSelection threadId baseRevision impactAnalysis
  workflow { id } draft { revision } generatedFiles { path content } changes { path kind unifiedDiff }
  mergePreview { status } failure { code message retryable } usage { inputTokens outputTokens totalTokens }
  retryOf { id } decision { by { id } at comment draftRevision appliedPaths } createdBy { id } createdAt startedAt
  completedAt
  eventHead events(first: 100) { nodes { __typename cursor sequence
    ... on ProposalStarted { threadId runtime } ... on ProposalCancelled { reason by { id } }
    ... on ProposalFailed { failure { code message retryable } } ... on ProposalCompleted { generatedFiles { path } }
  } }
} }"""

FAILURE = Failure(ErrorCode.RUNTIME_TIMEOUT, "It took too long.", is_retryable=True)


async def read_proposal(api: Api, proposal: str) -> dict[str, Any]:
    """Read a proposal that is there."""
    found: dict[str, Any] = (await api(PROPOSAL, id=proposal))["proposal"]
    return found


async def types(api: Api, proposal: str) -> list[str]:
    """Name the types of a proposal's events, which have no hole."""
    nodes = (await read_proposal(api, proposal))["events"]["nodes"]
    assert [node["sequence"] for node in nodes] == list(range(1, len(nodes) + 1))
    return [node["__typename"] for node in nodes]


async def execution(studio: Studio, proposal: str) -> tuple[str, int]:
    """Read the state and the epoch of a proposal's execution."""
    ((state, epoch),) = await studio.rows(
        "SELECT state, epoch FROM executions WHERE id = :p", p=key(proposal, "Proposal")
    )
    return state, epoch
