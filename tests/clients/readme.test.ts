import { strict as assert } from "node:assert";
import { test } from "node:test";

import type { ResultOf, TypedDocumentNode, VariablesOf } from "@graphql-typed-document-node/core";
import { Kind, type DocumentNode } from "graphql";
import { commitMutation, fetchQuery, requestSubscription } from "relay-runtime";
import { toAsyncIterable } from "wonka";

import * as apollo from "../../docs/examples/apollo/client";
import * as relay from "../../docs/examples/relay/client";
import * as urql from "../../docs/examples/urql/client";
import {
  ApproveMutationDocument as Approve,
  CreateWorkflowMutationDocument as CreateWorkflow,
  DeployMutationDocument as Deploy,
  PublishMutationDocument as Publish,
  RefineMutationDocument as Refine,
  ReviewQueryDocument as Review,
  SignInMutationDocument as SignIn,
  WatchSubscriptionDocument as Watch,
} from "./readme/gql/graphql";
import { assertWhole, url } from "./setup";

type Event = ResultOf<typeof Watch>["proposalEvents"];
type Client = {
  run<D, V extends {}>(document: TypedDocumentNode<D, V>, variables: V): Promise<D | undefined>;
  watch(variables: VariablesOf<typeof Watch>): Promise<Event[]>;
};

/** Walks the journey that the README prints, in its words. */
async function walk(make: (token: () => string | undefined) => Client) {
  let token: string | undefined;
  const { run, watch } = make(() => token);
  token = (await run(SignIn, {}))!.login.session!.accessToken;

  const workflowId = (await run(CreateWorkflow, {}))!.createWorkflow.workflow!.id;
  const proposalId = (await run(Refine, { workflowId }))!.refineWorkflow.proposal!.id;
  assertWhole(await watch({ proposalId }));
  const { digest } = (await run(Review, { proposalId }))!.proposal!.mergePreview!;
  const approved = (await run(Approve, { proposalId, digest }))!.approveProposal;
  const published = (await run(Publish, { workflowId }))!.publishDraft;
  const deployed = (await run(Deploy, { workflowId }))!.deployVersion;

  assert.equal(approved.proposal!.status, "APPROVED");
  assert.equal(published.version!.number, 1);
  assert.equal(deployed.workflow!.productionVersion!.number, 1);
}

function isQuery({ definitions }: DocumentNode) {
  return definitions.some((each) => each.kind === Kind.OPERATION_DEFINITION && each.operation === "query");
}

function walkWithApollo(make: typeof apollo.orchestrator) {
  return walk((token) => {
    const client = make({ url, token });
    return {
      run: async (document, variables) => {
        if (isQuery(document)) return (await client.query({ query: document, variables } as never)).data as never;
        return (await client.mutate({ mutation: document, variables } as never)).data as never;
      },
      watch: (variables) =>
        new Promise((resolve, reject) => {
          const seen: Event[] = [];
          client.subscribe({ query: Watch, variables }).subscribe({
            next: ({ data, error }) => (error ? reject(error) : seen.push(data!.proposalEvents)),
            error: reject,
            complete: () => (client.stop(), resolve(seen)),
          });
        }),
    };
  });
}

test("The README's journey: Apollo over WebSocket", () => walkWithApollo(apollo.orchestrator));

test("The README's journey: Apollo over multipart HTTP", () => walkWithApollo(apollo.orchestratorOverHttp));

test("The README's journey: urql over server-sent events", () =>
  walk((token) => {
    const client = urql.orchestrator({ url, token });
    return {
      run: async (document, variables) =>
        (await (isQuery(document) ? client.query(document, variables) : client.mutation(document, variables))).data,
      watch: async (variables) => {
        const seen: Event[] = [];
        for await (const { data, error } of toAsyncIterable(client.subscription(Watch, variables))) {
          if (error) throw error;
          seen.push(data!.proposalEvents);
          // At the end of the stream urql would give its last result once more.
          if (seen.at(-1)!.__typename === "ProposalCompleted") break;
        }
        return seen;
      },
    };
  }));

test("The README's journey: Relay over WebSocket", () =>
  walk((token) => {
    const environment = relay.orchestrator({ url, token });
    return {
      run: async (document, variables) => {
        const node = await compiled(document);
        if (isQuery(document)) return (await fetchQuery(environment, node, variables).toPromise()) as never;
        return new Promise((onCompleted, onError) =>
          commitMutation(environment, { mutation: node, variables, onCompleted: onCompleted as never, onError }),
        );
      },
      watch: async (variables) => {
        const subscription = await compiled(Watch);
        const seen: Event[] = [];
        await new Promise<void>((onCompleted, onError) =>
          requestSubscription(environment, {
            ...{ subscription, variables, onCompleted, onError },
            onNext: (data) => seen.push((data as ResultOf<typeof Watch>).proposalEvents),
          }),
        );
        return seen;
      },
    };
  }));

/** What relay-compiler made of an operation. */
async function compiled({ definitions }: DocumentNode) {
  const [operation] = definitions.filter((each) => each.kind === Kind.OPERATION_DEFINITION);
  return (await import(`./relay-readme/__generated__/${operation!.name!.value}.graphql.ts`)).default;
}
