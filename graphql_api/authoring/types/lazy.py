"""Types that know each other: named here, loaded when the schema is made."""

from typing import TYPE_CHECKING, Annotated

import strawberry

if TYPE_CHECKING:
    from graphql_api.authoring.types.drafts import Draft
    from graphql_api.authoring.types.proposal_events import ProposalEvent
    from graphql_api.authoring.types.proposals import Proposal
    from graphql_api.authoring.types.versions import Version
    from graphql_api.authoring.types.workflow_events import WorkflowEvent
    from graphql_api.authoring.types.workflows import Workflow

_HERE = "graphql_api.authoring.types"

LazyDraft = Annotated["Draft", strawberry.lazy(f"{_HERE}.drafts")]
LazyProposal = Annotated["Proposal", strawberry.lazy(f"{_HERE}.proposals")]
LazyVersion = Annotated["Version", strawberry.lazy(f"{_HERE}.versions")]
LazyWorkflow = Annotated["Workflow", strawberry.lazy(f"{_HERE}.workflows")]
LazyProposalEvent = Annotated["ProposalEvent", strawberry.lazy(f"{_HERE}.proposal_events")]
LazyWorkflowEvent = Annotated["WorkflowEvent", strawberry.lazy(f"{_HERE}.workflow_events")]
