import { strict as assert } from "node:assert";
import { before, test } from "node:test";

import { createClient } from "graphql-ws";
import {
  Environment,
  Network,
  Observable,
  RecordSource,
  Store,
  commitMutation,
  createOperationDescriptor,
  fetchQuery,
  getRequest,
  getSingularSelector,
  requestSubscription,
  type GraphQLTaggedNode,
  type MutationParameters,
} from "relay-runtime";

import create, { type documentsCreateMutation } from "./relay/__generated__/documentsCreateMutation.graphql";
import listFragment, { type documentsList$data } from "./relay/__generated__/documentsList.graphql";
import next, { type documentsListNextQuery } from "./relay/__generated__/documentsListNextQuery.graphql";
import list, { type documentsListQuery } from "./relay/__generated__/documentsListQuery.graphql";
import refine, { type documentsRefineMutation } from "./relay/__generated__/documentsRefineMutation.graphql";
import watch, { type documentsWatchSubscription } from "./relay/__generated__/documentsWatchSubscription.graphql";
import { assertWhole, demo, prompt, url } from "./setup";

let authorization: string;
const socket = createClient({ url: url.replace("http", "ws"), connectionParams: () => ({ authorization }), lazyCloseTimeout: 0 });
const environment = new Environment({
  store: new Store(new RecordSource()),
  network: Network.create(
    async ({ text: query }, variables) => {
      const headers = { "content-type": "application/json", authorization };
      return (await fetch(url, { method: "POST", headers, body: JSON.stringify({ query, variables }) })).json();
    },
    ({ text: query }, variables) =>
      Observable.create((sink) => socket.subscribe({ query: query!, variables }, sink as never)),
  ),
});

before(async () => {
  const query = "mutation($email: String!, $password: String!) { login(input: { email: $email, password: $password }) { session { accessToken } } }";
  const headers = { "content-type": "application/json" };
  const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify({ query, variables: demo }) });
  authorization = `Bearer ${(await answer.json()).data.login.session.accessToken}`;
});

function mutate<T extends MutationParameters>(mutation: GraphQLTaggedNode, variables: T["variables"]) {
  return new Promise<T["response"]>((onCompleted, onError) =>
    commitMutation<T>(environment, { mutation, variables, onCompleted, onError }),
  );
}

async function workflow(name: string) {
  return (await mutate<documentsCreateMutation>(create, { name })).createWorkflow.workflow!.id;
}

test("Relay: a refusal is data", async () => {
  const { createWorkflow } = await mutate<documentsCreateMutation>(create, { name: "" });
  assert.equal(createWorkflow.workflow, null);
  assert.deepEqual(createWorkflow.errors[0]!.path, ["input", "name"]);
});

test("Relay: a connection grows page by page, in a store that knows objects by their ids", async () => {
  const ids = [await workflow("Relay 1"), await workflow("Relay 2")];
  const variables = { count: 1 };
  const operation = createOperationDescriptor(getRequest(list), variables);
  environment.retain(operation);
  const shown = () => {
    const query = environment.lookup(operation.fragment).data as documentsListQuery["response"];
    return environment.lookup(getSingularSelector(listFragment, query)!).data as unknown as documentsList$data;
  };
  await fetchQuery<documentsListQuery>(environment, list, variables).toPromise();
  assert.deepEqual(shown().workflows.edges.map(({ node }) => node.id), [ids[1]]);

  const { endCursor } = shown().workflows.pageInfo;
  await fetchQuery<documentsListNextQuery>(environment, next, { count: 1, after: endCursor }).toPromise();

  assert.deepEqual(shown().workflows.edges.map(({ node }) => node.id), ids.toReversed());
  assert.equal(environment.getStore().getSource().get(ids[0]!)!.name, "Relay 1");
});

test("Relay: a subscription brings every event, and the store what they tell", async () => {
  const variables = { workflowId: await workflow("Watched"), prompt };
  const { refineWorkflow } = await mutate<documentsRefineMutation>(refine, variables);
  const proposalId = refineWorkflow.proposal!.id;
  const events: { __typename: string; sequence: number }[] = [];
  await new Promise<void>((resolve, reject) =>
    requestSubscription<documentsWatchSubscription>(environment, {
      subscription: watch,
      variables: { proposalId },
      onNext: (data) => events.push(data!.proposalEvents),
      onCompleted: resolve,
      onError: reject,
    }),
  );
  assertWhole(events);
  assert.equal(environment.getStore().getSource().get(proposalId)!.status, "COMPLETED");
});
