import { strict as assert } from "node:assert";
import { before, test } from "node:test";

import {
  commitMutation,
  createOperationDescriptor,
  fetchQuery,
  getRequest,
  getSingularSelector,
  requestSubscription,
  type GraphQLTaggedNode,
  type MutationParameters,
} from "relay-runtime";

import { orchestrator } from "../../docs/examples/relay/client";
import create, { type CreateWorkflowMutation } from "./relay/__generated__/CreateWorkflowMutation.graphql";
import listFragment, { type documentsList$data } from "./relay/__generated__/documentsList.graphql";
import next, { type documentsListNextQuery } from "./relay/__generated__/documentsListNextQuery.graphql";
import list, { type documentsListQuery } from "./relay/__generated__/documentsListQuery.graphql";
import refine, { type RefineMutation } from "./relay/__generated__/RefineMutation.graphql";
import signIn, { type SignInMutation } from "./relay/__generated__/SignInMutation.graphql";
import watch, { type WatchSubscription } from "./relay/__generated__/WatchSubscription.graphql";
import { assertWhole, demo, prompt, url } from "./setup";

let token: string | undefined;
const environment = orchestrator({ url, token: () => token });

before(async () => {
  token = (await mutate<SignInMutation>(signIn, demo)).login.session!.accessToken;
});

function mutate<T extends MutationParameters>(mutation: GraphQLTaggedNode, variables: T["variables"]) {
  return new Promise<T["response"]>((onCompleted, onError) =>
    commitMutation<T>(environment, { mutation, variables, onCompleted, onError }),
  );
}

async function workflow(name: string) {
  const { createWorkflow } = await mutate<CreateWorkflowMutation>(create, { name, templateSlug: "multi-agent" });
  return createWorkflow.workflow!.id;
}

test("Relay: a refusal is data", async () => {
  const { createWorkflow } = await mutate<CreateWorkflowMutation>(create, { name: "" });
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
  const { refineWorkflow } = await mutate<RefineMutation>(refine, { workflowId: await workflow("Watched"), prompt });
  const proposalId = refineWorkflow.proposal!.id;
  const events: { __typename: string; sequence: number }[] = [];
  await new Promise<void>((resolve, reject) =>
    requestSubscription<WatchSubscription>(environment, {
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
