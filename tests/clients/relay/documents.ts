// What only Relay has a use for. `conftest.py` puts the examples' operations beside it, each into a module of its own.
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
