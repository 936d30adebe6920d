import { strict as assert } from "node:assert";
import { before, test } from "node:test";

import { CreateWorkflow, EditDraft, OneWorkflow, Refine, SignIn } from "../../docs/examples/documents";
import { follow, orchestrator } from "../../docs/examples/urql/client";
import { assertWhole, demo, prompt, url } from "./setup";

let token: string | undefined;
const client = orchestrator({ url, token: () => token });

before(async () => {
  const { data } = await client.mutation(SignIn, demo);
  token = data!.login.session!.accessToken;
});

async function workflow(name: string) {
  const { data } = await client.mutation(CreateWorkflow, { name, templateSlug: "multi-agent" });
  return data!.createWorkflow.workflow!.id;
}

test("urql: a mutation makes the queries of its types fresh", async () => {
  const id = await workflow("urql");
  const read = async () => (await client.query(OneWorkflow, { id })).data!.workflow!.draft!.revision;
  assert.equal(await read(), 1);

  const { data } = await client.mutation(EditDraft, { workflowId: id, expectedRevision: 1, path: "a.md", content: "" });

  assert.deepEqual(data!.editDraft.errors, []);
  assert.equal(await read(), 2);
});

test("urql: a refusal is data, and a bad document an error", async () => {
  const refused = await client.mutation(SignIn, { ...demo, password: "wrong-password" });
  assert.equal(refused.data!.login.errors[0]!.code, "INVALID_CREDENTIALS");
  const { error } = await client.query("{ nothing }", {});
  assert.equal(error!.graphQLErrors[0]!.extensions.code, "VALIDATION_FAILED");
});

test("urql: a subscription over server-sent events brings every event", async () => {
  const { data } = await client.mutation(Refine, { workflowId: await workflow("urql"), prompt });
  const events = [];
  for await (const event of follow(client, data!.refineWorkflow.proposal!.id)) events.push(event);
  assertWhole(events);
});

test("urql: a subscription that is refused ends with the error", async () => {
  const none = follow(client, "UHJvcG9zYWw6bm9uZQ==").next();
  await assert.rejects(none, (error: { graphQLErrors: { extensions: { code: string } }[] }) => {
    assert.equal(error.graphQLErrors[0]!.extensions.code, "NOT_FOUND");
    return true;
  });
});
