// The operations of the examples; graphql-codegen makes their types from these texts.
import { graphql } from "./gql";

export const SignIn = graphql(`
  mutation SignInMutation($email: String!, $password: String!) {
    login(input: { email: $email, password: $password }) {
      session { accessToken refreshToken expiresAt user { id name } }
      errors { code message }
    }
  }
`);

export const RefreshSession = graphql(`
  mutation RefreshSessionMutation($refreshToken: String!) {
    refreshSession(input: { refreshToken: $refreshToken }) {
      session { accessToken refreshToken expiresAt }
      errors { code message }
    }
  }
`);

export const CreateWorkflow = graphql(`
  mutation CreateWorkflowMutation($name: String!, $templateSlug: String) {
    createWorkflow(input: { name: $name, templateSlug: $templateSlug }) {
      workflow { id name draft { id revision } }
      errors { code message path }
    }
  }
`);

export const Workflows = graphql(`
  query WorkflowsQuery($first: Int!, $after: String, $search: String) {
    workflows(first: $first, after: $after, filter: { search: $search }) {
      edges { cursor node { id name updatedAt } }
      pageInfo { endCursor hasNextPage }
    }
  }
`);

export const OneWorkflow = graphql(`
  query OneWorkflowQuery($id: ID!) {
    workflow(id: $id) { id name eventHead draft { id revision files { path content } } }
  }
`);

export const EditDraft = graphql(`
  mutation EditDraftMutation($workflowId: ID!, $expectedRevision: Int!, $path: String!, $content: String!) {
    editDraft(
      input: { workflowId: $workflowId, expectedRevision: $expectedRevision, write: [{ path: $path, content: $content }] }
    ) {
      draft { id revision files { path content } }
      errors { __typename code message path ... on StaleRevisionError { actual } }
    }
  }
`);

export const Refine = graphql(`
  mutation RefineMutation($workflowId: ID!, $prompt: String!) {
    refineWorkflow(input: { workflowId: $workflowId, prompt: $prompt }) {
      proposal { id status }
      errors { code message path }
    }
  }
`);

export const OneProposal = graphql(`
  query OneProposalQuery($id: ID!) {
    proposal(id: $id) { id status eventHead impactAnalysis mergePreview { digest changes { path unifiedDiff } } }
  }
`);

export const Watch = graphql(`
  subscription WatchSubscription($proposalId: ID!, $after: EventCursor) {
    proposalEvents(proposalId: $proposalId, after: $after) {
      __typename
      cursor
      sequence
      proposal { id status }
      ... on AgentMessageDelta { messageId offset text }
      ... on FilesChanged { changes { path kind additions deletions } }
      ... on ProposalFailed { failure { code message retryable } }
    }
  }
`);
