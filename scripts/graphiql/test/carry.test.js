import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { Carried, missing } from "../src/carry.js";

class Store extends Map {
  getItem = (key) => this.get(key) ?? null;
  setItem = (key, value) => this.set(key, value);
}

const created = { createWorkflow: { workflow: { id: "W1" } } };
const refined = (id) => ({ refineWorkflow: { proposal: { id } } });
const reviewed = { proposal: { mergePreview: { digest: "d1" } } };

describe("carrying values between steps", () => {
  test("what a step answered fills its placeholder, however deep", () => {
    const carried = new Carried(new Store());
    carried.keep(created);
    const variables = { input: { workflowId: "<workflow id from step 2>", number: 1, files: [null] } };
    assert.deepEqual(carried.fillAll(variables), { input: { workflowId: "W1", number: 1, files: [null] } });
  });

  test("a placeholder whose step did not run is missing", () => {
    assert.deepEqual(missing({ proposalId: "<proposal id from step 3>" }), ["<proposal id from step 3>"]);
    assert.deepEqual(missing({ proposalId: "P1" }), []);
    assert.deepEqual(missing(undefined), []);
  });

  test("a refused step changes nothing", () => {
    const carried = new Carried(new Store());
    carried.keep(created);
    carried.keep({ createWorkflow: { workflow: null } });
    carried.keep(undefined);
    assert.equal(carried.fill("<workflow id from step 2>"), "W1");
  });

  test("the digest of one proposal does not approve the next", () => {
    const carried = new Carried(new Store());
    carried.keep(refined("P1"));
    carried.keep(reviewed);
    assert.equal(carried.fill("<digest from step 5>"), "d1");
    carried.keep(refined("P2"));
    assert.deepEqual(missing(carried.fill("<digest from step 5>")), ["<digest from step 5>"]);
  });

  test("a reload keeps the ids and forgets the token", () => {
    const store = new Store();
    const before = new Carried(store);
    assert.equal(before.keep(created), false);
    assert.equal(before.keep({ login: { session: { accessToken: "t1" } } }), true);
    assert.equal(before.fill("Bearer <access token from step 1>"), "Bearer t1");
    const after = new Carried(store);
    assert.equal(after.fill("Bearer <access token from step 1>"), "Bearer <access token from step 1>");
    assert.equal(after.fill("<workflow id from step 2>"), "W1");
  });
});
