"""Documents that read every field of every type, on every path from a node."""

FILE = "path type content size digest updatedAt"
CHANGE = f"path kind additions deletions before {{ {FILE} }} after {{ {FILE} }} unifiedDiff"
DEFINITION = """entryPoint raw
  nodes { key type name role systemPrompt tools llm { provider model temperature maxTokens } }
  edges { key source target type }"""
USER = "id name email roles createdAt"
DRAFT = f"""id name description status revision fileCount createdAt updatedAt workflow {{ id viewerRole }}
  basedOnVersion {{ id number }} files {{ {FILE} }} file(path: "definition.json") {{ {FILE} }} changes {{ {CHANGE} }}
  definition {{ {DEFINITION} }} diagnostics {{ severity code message path }} createdBy {{ {USER} }}"""
VERSION = f"""id number status notes isProduction fileCount publishedAt workflow {{ id }} files {{ {FILE} }}
  file(path: "definition.json") {{ {FILE} }} definition {{ {DEFINITION} }} changes {{ {CHANGE} }}
  publishedBy {{ {USER} }}"""
PROPOSAL = f"""id status prompt contextFilePath contextSelection threadId baseRevision impactAnalysis createdAt
  startedAt completedAt workflow {{ id }} draft {{ id revision }} generatedFiles {{ {FILE} }} changes {{ {CHANGE} }}
  mergePreview {{ status draftRevision digest changes {{ {CHANGE} }} conflicts {{ path merged base {{ {FILE} }} }} }}
  failure {{ code message retryable }} usage {{ inputTokens outputTokens totalTokens }} retryOf {{ id }}
  eventHead decision {{ at comment draftRevision appliedPaths by {{ {USER} }} }} createdBy {{ {USER} }}
  events(first: 100) {{ pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }} edges {{ cursor }} nodes {{
    __typename cursor sequence occurredAt proposal {{ id workflow {{ id }} }}
    ... on ProposalStarted {{ threadId runtime }} ... on FilesChanged {{ changes {{ {CHANGE} }} }}
    ... on ProposalCompleted {{ generatedFiles {{ {FILE} }} }}
  }} }}"""
WORKFLOW = f"""id name description isArchived viewerRole createdAt updatedAt eventHead owner {{ {USER} }}
  members {{ role since user {{ {USER} }} }} lock {{ acquiredAt expiresAt holder {{ {USER} }} }} draft {{ {DRAFT} }}
  versions {{ totalCount nodes {{ {VERSION} }} }} version(number: 1) {{ {VERSION} }} latestVersion {{ {VERSION} }}
  productionVersion {{ {VERSION} }} proposals {{ totalCount nodes {{ {PROPOSAL} }} }}
  auditLog {{ totalCount nodes {{ id at action subject details requestId actor {{ {USER} }} }} }}
  events(first: 100) {{ nodes {{
    __typename cursor sequence occurredAt workflow {{ id }} actor {{ {USER} }}
    ... on WorkflowLockChanged {{ lock {{ acquiredAt expiresAt holder {{ {USER} }} }} }}
    ... on WorkflowMembersChanged {{ role member {{ {USER} }} }}
    ... on DraftChanged {{ revision draft {{ {DRAFT} }} changes {{ {CHANGE} }} }}
    ... on DraftDiscarded {{ draftId }}
    ... on ProposalStatusChanged {{ from to proposal {{ {PROPOSAL} }} }}
    ... on VersionPublished {{ version {{ {VERSION} }} }}
    ... on VersionDeployed {{ version {{ {VERSION} }} previous {{ {VERSION} }} }}
    ... on VersionDeprecated {{ version {{ {VERSION} }} }}
  }} }}"""
DEEP = {
    type_name: f"query ($id: ID!) {{ node(id: $id) {{ id ... on {type_name} {{ {fields} }} }} }}"
    for type_name, fields in {
        "Workflow": WORKFLOW,
        "Draft": DRAFT,
        "Version": VERSION,
        "Proposal": PROPOSAL,
        "AuditEntry": f"actor {{ {USER} }}",
        "User": USER,
    }.items()
}
"""Every field of every type on every path from a node."""
