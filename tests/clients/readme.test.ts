import { strict as assert } from "node:assert";
import { test } from "node:test";

import type { TypedDocumentNode } from "@graphql-typed-document-node/core";
import { Kind, type DocumentNode } from "graphql";
import { toAsyncIterable } from "wonka";

import * as apollo from "../../docs/examples/apollo/client";
import * as urql from "../../docs/examples/urql/client";
import {
  ApproveDocument,
  CreateDocument,
  DeployDocument,
  PublishDocument,
  RefineDocument,
  ReviewDocument,
  SignInDocument,
  WatchDocument,
  type WatchSubscription,
  type WatchSubscriptionVariables,
} from "./readme/gql/graphql";
import { assertWhole, url } from "./setup";

type Client = {
  run<D, V extends {}>(document: TypedDocumentNode<D, V>, variables: V): Promise<D | undefined>;
  watch(variables: WatchSubscriptionVariables): Promise<WatchSubscription["proposalEvents"][]>;
};

/** Walks the journey that the README prints, in its words. */
async function walk(make: (token: () => string | undefined) => Client) {
  let token: string | undefined;
  const { run, watch } = make(() => token);
  token = (await run(SignInDocument, {}))!.login.session!.accessToken;

  const workflowId = (await run(CreateDocument, {}))!.createWorkflow.workflow!.id;
  const proposalId = (await run(RefineDocument, { workflowId }))!.refineWorkflow.proposal!.id;
  assertWhole(await watch({ proposalId }));
  const { digest } = (await run(ReviewDocument, { proposalId }))!.proposal!.mergePreview!;
  const approved = (await run(ApproveDocument, { proposalId, digest }))!.approveProposal;
  const published = (await run(PublishDocument, { workflowId }))!.publishDraft;
  const deployed = (await run(DeployDocument, { workflowId }))!.deployVersion;

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
          const seen: WatchSubscription["proposalEvents"][] = [];
          client.subscribe({ query: WatchDocument, variables }).subscribe({
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
        const seen: WatchSubscription["proposalEvents"][] = [];
        for await (const { data, error } of toAsyncIterable(client.subscription(WatchDocument, variables))) {
          if (error) throw error;
          seen.push(data!.proposalEvents);
          // At the end of the stream urql would give its last result once more.
          if (seen.at(-1)!.__typename === "ProposalCompleted") break;
        }
        return seen;
      },
    };
  }));
