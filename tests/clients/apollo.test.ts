import { strict as assert } from "node:assert";
import { createHash } from "node:crypto";
import { after, before, test } from "node:test";

import { ApolloClient, ApolloLink, CombinedGraphQLErrors, HttpLink, InMemoryCache, gql } from "@apollo/client";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";
import type { ResultOf } from "@graphql-typed-document-node/core";
import { of } from "rxjs";

import { orchestrator, orchestratorOverHttp } from "../../docs/examples/apollo/client";
import { resume } from "../../docs/examples/apollo/resume";
import {
  CreateWorkflow,
  EditDraft,
  OneProposal,
  OneWorkflow,
  Refine,
  SignIn,
  Watch,
  Workflows,
} from "../../docs/examples/documents";
import { assertWhole, demo, prompt, url } from "./setup";

let token: string | undefined;
const clients: ApolloClient[] = [];

function client(make = orchestrator) {
  clients.push(make({ url, token: () => token }));
  return clients.at(-1)!;
}

before(async () => {
  const { data } = await client().mutate({ mutation: SignIn, variables: demo });
  token = data!.login.session!.accessToken;
});
after(() => clients.forEach((each) => each.stop()));

async function workflow(name: string) {
  const { data } = await client().mutate({
    mutation: CreateWorkflow,
    variables: { name, templateSlug: "multi-agent" },
  });
  return data!.createWorkflow.workflow!.id;
}

async function proposal() {
  const variables = { workflowId: await workflow("Watched"), prompt };
  const { data } = await client().mutate({ mutation: Refine, variables });
  return data!.refineWorkflow.proposal!.id;
}

async function watched(subscriber: ApolloClient) {
  const id = await proposal();
  await subscriber.query({ query: OneProposal, variables: { id } });
  const events = await new Promise<{ __typename: string; sequence: number }[]>((resolve, reject) => {
    const seen: { __typename: string; sequence: number }[] = [];
    subscriber.subscribe({ query: Watch, variables: { proposalId: id } }).subscribe({
      next: ({ data, error }) => (error ? reject(error) : seen.push(data!.proposalEvents)),
      error: reject,
      complete: () => resolve(seen),
    });
  });
  assertWhole(events);
  const cached = subscriber.cache.readQuery({ query: OneProposal, variables: { id } });
  assert.equal(cached?.proposal?.status, "COMPLETED");
  const extracted = subscriber.cache.extract() as Record<string, object>;
  assert.deepEqual(Object.keys(extracted).sort(), [subscriber.cache.identify(cached!.proposal!), "ROOT_QUERY", "ROOT_SUBSCRIPTION"]);
  assert.equal(Object.keys(extracted.ROOT_SUBSCRIPTION!).length, 2, "its __typename, and one field for all events");
}

test("Apollo: a refusal is data, with a code and a message", async () => {
  const { data, error } = await client().mutate({ mutation: SignIn, variables: { ...demo, password: "wrong-password" } });
  assert.equal(error, undefined);
  assert.equal(data!.login.session, null);
  assert.equal(data!.login.errors[0]!.code, "INVALID_CREDENTIALS");
});

test("Apollo: what is no data is an error with a code", async () => {
  const anonymous = orchestrator({ url, token: () => undefined });
  await assert.rejects(anonymous.query({ query: gql`{ viewer { id } }` }), (error) => {
    assert.ok(CombinedGraphQLErrors.is(error));
    assert.equal(error.errors[0]!.extensions?.code, "UNAUTHENTICATED");
    return true;
  });
});

test("Apollo: a mutation's answer changes what queries have in the cache", async () => {
  const own = client();
  const id = await workflow("Cached");
  const { data } = await own.query({ query: OneWorkflow, variables: { id } });
  const draft = data!.workflow!.draft!;
  assert.equal(draft.revision, 1);

  await own.mutate({
    mutation: EditDraft,
    variables: { workflowId: id, expectedRevision: 1, path: "THE_SPEC/notes.md", content: "Be kind.\n" },
  });

  const cached = own.cache.readQuery({ query: OneWorkflow, variables: { id } })!.workflow!.draft!;
  assert.equal(cached.revision, 2);
  assert.equal(cached.files.length, draft.files.length + 1);
});

test("Apollo: fragments on concrete errors match, thanks to possible-types.json", async () => {
  const variables = { workflowId: await workflow("Stale"), expectedRevision: 7, path: "a.md", content: "" };
  const { data } = await client().mutate({ mutation: EditDraft, variables });
  const error = data!.editDraft.errors[0]!;
  assert.equal(error.code, "STALE_REVISION");
  assert.equal(error.__typename === "StaleRevisionError" && error.actual, 1);
});

test("Apollo: relayStylePagination puts pages together", async () => {
  const names = ["Page 1", "Page 2", "Page 3"];
  for (const name of names) await workflow(name);
  const own = client();
  const list = own.watchQuery({ query: Workflows, variables: { first: 2, search: "Page " } });
  const shown = () => (list.getCurrentResult().data as ResultOf<typeof Workflows> | undefined)?.workflows;
  const has = (count: number) =>
    new Promise<void>((resolve) => list.subscribe(() => shown()?.edges.length === count && resolve()));
  await has(2);

  await list.fetchMore({ variables: { after: shown()!.pageInfo.endCursor } });
  await has(3);

  const { edges, pageInfo } = shown()!;
  assert.deepEqual(edges.map(({ node }) => node.name), names.toReversed());
  assert.equal(pageInfo.hasNextPage, false);
});

test("Apollo: a subscription over WebSocket brings every event, and the cache what they tell", () => watched(client()));

test("Apollo: a subscription over multipart HTTP does the same", () => watched(client(orchestratorOverHttp)));

test("Apollo: the resume link drops what was seen and asks for what comes later", async () => {
  const event = (sequence: number, __typename = "PlanUpdated") => ({
    data: { proposalEvents: { __typename, sequence, cursor: `cursor ${sequence}` } },
  });
  let asked: unknown;
  const repeating = new ApolloLink(({ variables }) => {
    asked = variables;
    return of(event(1), event(2), event(2, "AgentMessageDelta"), event(1), event(2), event(3));
  });
  const own = new ApolloClient({ link: resume.concat(repeating), cache: new InMemoryCache() });
  const seen: unknown[] = [];
  await new Promise<void>((resolve) =>
    own
      .subscribe({ query: Watch, variables: { proposalId: "any" } })
      .subscribe({ next: ({ data }) => seen.push(data?.proposalEvents.sequence), complete: resolve }),
  );
  assert.deepEqual(seen, [1, 2, 2, 3]);
  assert.deepEqual(asked, { proposalId: "any", after: "cursor 3" });
});

test("Apollo: a persisted query is sent by its hash, and its text once", async () => {
  const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");
  const sent: boolean[] = [];
  const http = new HttpLink({
    uri: url,
    fetch: (input, init) => {
      sent.push("query" in JSON.parse(init!.body as string));
      return fetch(input, init);
    },
  });
  const headers = { authorization: `Bearer ${token}` };
  const ask = () =>
    new ApolloClient({ link: new PersistedQueryLink({ sha256 }).concat(http), cache: new InMemoryCache() }).query({
      query: gql`query PersistedViewer { viewer { name } }`,
      context: { headers },
    });
  assert.deepEqual((await ask()).data, { viewer: { __typename: "User", name: "Demo" } });
  assert.equal((await ask()).error, undefined);
  assert.deepEqual(sent, [false, true, false]);
});
