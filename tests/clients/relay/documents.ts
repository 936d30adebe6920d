// What relay-compiler makes artifacts of; the tests run those.
import { graphql } from "relay-runtime";

graphql`
  query documentsListQuery($count: Int!, $after: String) {
    ...documentsList
  }
`;

graphql`
  fragment documentsList on Query @refetchable(queryName: "documentsListNextQuery") {
    workflows(first: $count, after: $after, filter: { search: "Relay" }) @connection(key: "documentsList_workflows") {
      edges {
        node {
          id
          ...documentsWorkflow
        }
      }
      pageInfo {
        endCursor
        hasNextPage
      }
    }
  }
`;

graphql`
  fragment documentsWorkflow on Workflow @refetchable(queryName: "documentsWorkflowQuery") {
    name
    draft {
      revision
    }
    owner {
      name
    }
  }
`;

graphql`
  mutation documentsCreateMutation($name: String!) {
    createWorkflow(input: { name: $name, templateSlug: "multi-agent" }) {
      workflow {
        id
        name
      }
      errors {
        code
        message
        ... on ValidationError {
          path
        }
      }
    }
  }
`;

graphql`
  mutation documentsRefineMutation($workflowId: ID!, $prompt: String!) {
    refineWorkflow(input: { workflowId: $workflowId, prompt: $prompt }) {
      proposal {
        id
        status
      }
      errors {
        message
      }
    }
  }
`;

graphql`
  subscription documentsWatchSubscription($proposalId: ID!, $after: EventCursor) {
    proposalEvents(proposalId: $proposalId, after: $after) {
      __typename
      cursor
      sequence
      proposal {
        id
        status
      }
      ... on PlanUpdated {
        items {
          content
          status
        }
      }
    }
  }
`;
