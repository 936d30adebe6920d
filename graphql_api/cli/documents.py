"""What the command line asks the API: the operations that a client of one's own would begin with."""

_ERRORS = "errors { __typename code message }"

SIGN_IN = f"""
mutation SignIn($input: LoginInput!) {{
  login(input: $input) {{ session {{ accessToken refreshToken expiresAt user {{ name email }} }} {_ERRORS} }}
}}
"""

REFRESH = f"""
mutation Refresh($input: RefreshSessionInput!) {{
  refreshSession(input: $input) {{ session {{ accessToken refreshToken expiresAt }} {_ERRORS} }}
}}
"""

VIEWER = "query Viewer { viewer { name email } }"

CREATE_WORKFLOW = f"""
mutation CreateWorkflow($input: CreateWorkflowInput!) {{
  createWorkflow(input: $input) {{ workflow {{ id name draft {{ fileCount revision }} }} {_ERRORS} }}
}}
"""

REFINE = f"""
mutation Refine($input: RefineWorkflowInput!) {{
  refineWorkflow(input: $input) {{ proposal {{ id status baseRevision }} {_ERRORS} }}
}}
"""

WATCH = """
subscription Watch($proposalId: ID!, $after: EventCursor, $deltas: DeltaMode! = COALESCED) {
  proposalEvents(proposalId: $proposalId, after: $after, deltas: $deltas) {
    __typename
    cursor
    sequence
    occurredAt
    ... on ProposalStarted { runtime threadId }
    ... on ProposalProgressed { message }
    ... on PlanUpdated { items { content status } }
    ... on AgentMessageDelta { messageId agent offset text }
    ... on AgentMessageCompleted { messageId agent role text }
    ... on ToolCallStarted { toolCallId agent name arguments }
    ... on ToolCallFinished { toolCallId name status output }
    ... on FilesChanged { changes { path kind additions deletions } }
    ... on UsageReported { model usage { totalTokens } }
    ... on RuntimeLinkChanged { state }
    ... on ProposalFailed { failure { code message retryable } }
    ... on ProposalCancelled { reason }
  }
}
"""

WATCHED = """
query Watched($id: ID!) {
  proposal(id: $id) { prompt status failure { message } workflow { name } }
}
"""

NEWEST = """
query Newest {
  proposals(first: 1) { nodes { id } }
}
"""

FIND_WORKFLOW = """
query FindWorkflow($id: ID!, $name: String!) {
  workflow(id: $id) { id name eventHead }
  workflows(filter: { search: $name }, first: 100) { nodes { id name eventHead } }
}
"""

TAIL = """
subscription Tail($workflowId: ID!, $after: EventCursor) {
  workflowEvents(workflowId: $workflowId, after: $after) {
    __typename
    cursor
    sequence
    occurredAt
    actor { name email }
    ... on WorkflowCreated { workflow { name } }
    ... on WorkflowUpdated { workflow { name isArchived } }
    ... on DraftChanged { revision changes { path kind additions deletions } }
    ... on ProposalStatusChanged { from to proposal { id prompt } }
    ... on VersionPublished { version { number notes } }
    ... on VersionDeployed { version { number } previous { number } }
    ... on VersionDeprecated { version { number } }
    ... on WorkflowMembersChanged { member { name email } role }
    ... on WorkflowLockChanged { lock { expiresAt } }
  }
}
"""

REVIEW = """
query Review($proposalId: ID!) {
  proposal(id: $proposalId) {
    status
    changes { path kind additions deletions }
    mergePreview { status digest }
    usage { totalTokens }
  }
}
"""

APPROVE = f"""
mutation Approve($input: ApproveProposalInput!) {{
  approveProposal(input: $input) {{
    proposal {{ status decision {{ appliedPaths }} }}
    draft {{ revision fileCount }}
    {_ERRORS}
  }}
}}
"""

PUBLISH = f"""
mutation Publish($input: PublishDraftInput!) {{
  publishDraft(input: $input) {{ version {{ number files {{ path size }} }} {_ERRORS} }}
}}
"""

DEPLOY = f"""
mutation Deploy($input: DeployVersionInput!) {{
  deployVersion(input: $input) {{ workflow {{ name productionVersion {{ number }} }} {_ERRORS} }}
}}
"""

SET_MEMBER = f"""
mutation SetMember($input: SetWorkflowMemberInput!) {{
  setWorkflowMember(input: $input) {{ workflow {{ id }} {_ERRORS} }}
}}
"""
